// Any bytes as a data manifest: refused, or accepted and then written and read back the same.
// SPDX-License-Identifier: Apache-2.0
#include <cstdint>

#include "protocol/base/check.h"
#include "shard/data/manifest.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  using namespace coshard;
  const auto manifest = shard::parse_manifest(as_text({bytes, size}));
  if (!manifest) return 0;
  const auto again = shard::parse_manifest(shard::manifest_text(*manifest));
  COSHARD_CHECK(again.has_value());
  COSHARD_CHECK(*again == *manifest);
  return 0;
}
