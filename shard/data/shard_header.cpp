// See shard_header.h.
// SPDX-License-Identifier: Apache-2.0
#include "shard/data/shard_header.h"

#include <algorithm>
#include <string>

namespace coshard::shard {
namespace {

constexpr std::array<std::uint8_t, 9> kMegatronMagic{'M', 'M', 'I', 'D', 'I', 'D', 'X', 0, 0};
constexpr std::size_t kMegatronHeaderBytes = 9 + 8 + 1 + 8 + 8;

tl::unexpected<Error> corrupt(std::string message) {
  return fail(ErrorCode::kCorruption, std::move(message));
}

/// Megatron's numbering of NumPy types, as far as tokens have them.
Result<DType> megatron_dtype(std::uint8_t code) {
  switch (code) {
    case 1:
      return DType::kU8;
    case 4:
      return DType::kI32;
    case 8:
      return DType::kU16;
    default:
      return corrupt(
          "Megatron index: expected tokens of type 1 (uint8), 4 (int32) or 8 (uint16), "
          "found type " +
          std::to_string(code));
  }
}

}  // namespace

Result<ShardHeader> parse_llm_c_header(ByteView header) {
  if (header.size() < kLlmCHeaderBytes)
    return corrupt("llm.c header: expected 1024 bytes, found " + std::to_string(header.size()));
  const auto magic = get_le<std::uint32_t>(header);
  const auto version = get_le<std::uint32_t>(header.subspan(4));
  const auto tokens = get_le<std::uint32_t>(header.subspan(8));
  const bool gpt2 = magic == 20240520 && version == 1;
  const bool llama3 = magic == 20240801 && version == 7;
  if (!gpt2 && !llama3)
    return corrupt("llm.c header: expected magic 20240520 version 1 or 20240801 version 7, found " +
                   std::to_string(magic) + " version " + std::to_string(version));
  if (tokens > 0x7fffffffU) return corrupt("llm.c header: the token count is negative");
  return ShardHeader{gpt2 ? DType::kU16 : DType::kU32, tokens, kLlmCHeaderBytes};
}

Result<ShardHeader> parse_megatron_index(ByteView index, std::uint64_t bin_bytes) {
  if (index.size() < kMegatronHeaderBytes ||
      !std::equal(kMegatronMagic.begin(), kMegatronMagic.end(), index.begin()))
    return corrupt("Megatron index: expected it to begin with MMIDIDX");
  const auto version = get_le<std::uint64_t>(index.subspan(9));
  if (version != 1)
    return corrupt("Megatron index: expected version 1, found " + std::to_string(version));
  ShardHeader header;
  COSHARD_ASSIGN(header.dtype, megatron_dtype(index[17]));
  const auto sequences = get_le<std::uint64_t>(index.subspan(18));
  const auto documents = get_le<std::uint64_t>(index.subspan(26));
  const std::uint64_t rest = index.size() - kMegatronHeaderBytes;
  // Each count alone is bounded by the bytes present, so that the products below cannot overflow.
  if (sequences > rest / 12 || documents > rest / 8)
    return corrupt("Megatron index: it is shorter than its counts say");
  const std::uint64_t body = sequences * 12 + documents * 8;
  if (rest != body && rest != body + sequences)
    return corrupt("Megatron index: expected " + std::to_string(body) +
                   " bytes after the header, "
                   "found " +
                   std::to_string(rest));
  const ByteView lengths = index.subspan(kMegatronHeaderBytes);
  const ByteView offsets = lengths.subspan(static_cast<std::size_t>(sequences) * 4);
  const std::uint64_t item = item_bytes(header.dtype);
  for (std::size_t i = 0; i < sequences; ++i) {
    const auto length = get_le<std::uint32_t>(lengths.subspan(i * 4));
    const auto offset = get_le<std::uint64_t>(offsets.subspan(i * 8));
    if (length > 0x7fffffffU || offset != header.tokens * item)
      return corrupt("Megatron index: sequence " + std::to_string(i) +
                     " does not follow the one before it");
    header.tokens += length;
  }
  if (header.tokens * item != bin_bytes)
    return corrupt("Megatron index: expected a .bin of " + std::to_string(header.tokens * item) +
                   " bytes, found " + std::to_string(bin_bytes));
  return header;
}

}  // namespace coshard::shard
