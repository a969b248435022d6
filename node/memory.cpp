// SPDX-License-Identifier: Apache-2.0
#include "node/memory.h"

#include <malloc.h>

#include "protocol/base/check.h"

namespace coshard::node {

namespace {

/// The largest threshold that glibc takes: smaller blocks come from the heap.
constexpr int kMappedBlockBytes = 32 << 20;
/// Free memory at the end of a heap beyond this goes back to the kernel after all.
constexpr int kKeptBytesMax = 256 << 20;

}  // namespace

void keep_freed_memory() {
  COSHARD_CHECK(mallopt(M_MMAP_THRESHOLD, kMappedBlockBytes) == 1);
  COSHARD_CHECK(mallopt(M_TRIM_THRESHOLD, kKeptBytesMax) == 1);
}

}  // namespace coshard::node
