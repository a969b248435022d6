// Any bytes as the header of a foreign token shard: the first byte chooses llm.c or Megatron, for
// which the next eight
// are the size of the .bin. Refused, or a claim that fits.
// SPDX-License-Identifier: Apache-2.0
#include <cstdint>

#include "protocol/base/check.h"
#include "shard/data/shard_header.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  using namespace coshard;
  if (size < 9) return 0;
  const ByteView input(bytes, size);
  const auto bin_bytes = get_le<std::uint64_t>(input.subspan(1));
  if (bytes[0] % 2 == 0) {
    const auto header = shard::parse_llm_c_header(input.subspan(1));
    COSHARD_CHECK(!header || header->tokens <= 0x7fffffffU);
    return 0;
  }
  const auto header = shard::parse_megatron_index(input.subspan(9), bin_bytes);
  if (header) COSHARD_CHECK_OP(header->tokens * item_bytes(header->dtype), ==, bin_bytes);
  return 0;
}
