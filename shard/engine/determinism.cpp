// See determinism.h.
// SPDX-License-Identifier: Apache-2.0
#include "shard/engine/determinism.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>

#if defined(__GLIBC__)
#include <malloc.h>
#endif

#include <mutex>

namespace coshard::shard {

void settle_torch(int threads) {
  static std::once_flag once;
  std::call_once(once, [threads] {
    at::set_num_threads(threads);
#if defined(__GLIBC__)
    // A microbatch frees what the next one needs again: keep the pages instead of faulting them in
    // anew (3 % of a step). One threshold given stops glibc from moving the other, so both are.
    constexpr int kKeptBytes = 512 << 20, kMappedBytes = 32 << 20;
    ::mallopt(M_TRIM_THRESHOLD, kKeptBytes);
    ::mallopt(M_MMAP_THRESHOLD, kMappedBytes);
#endif
    at::globalContext().setFlushDenormal(false);
    at::globalContext().setBenchmarkCuDNN(false);
    at::globalContext().setDeterministicCuDNN(true);
  });
}

}  // namespace coshard::shard
