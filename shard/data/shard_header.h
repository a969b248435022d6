// Headers of token shards that other tools wrote, as they are on disk: llm.c / modded-nanogpt .bin
// and Megatron .idx. Pure functions over bytes.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "protocol/base/bytes.h"
#include "protocol/base/error.h"
#include "protocol/base/tensor_blob.h"

namespace coshard::shard {

/// What a header claims about its tokens.
struct ShardHeader {
  DType dtype = DType::kU16;
  std::uint64_t tokens = 0;
  std::uint64_t data_offset = 0;  ///< of the first token in the .bin file
  bool operator==(const ShardHeader&) const = default;
};

/// llm.c: 256 little-endian int32: magic, version, tokens, zeros. Magic 20240520 version 1 has u16
/// tokens (GPT-2, modded-nanogpt), 20240801 version 7 has u32 tokens (LLaMA 3).
inline constexpr std::size_t kLlmCHeaderBytes = 256 * 4;
/// kCorruption unless `header` begins with kLlmCHeaderBytes bytes of a known header.
Result<ShardHeader> parse_llm_c_header(ByteView header);

/// Megatron .idx: "MMIDIDX\0\0", u64 version 1, u8 dtype, u64 sequences, u64 documents, int32
/// length of each sequence, int64 byte offset of each, int64 first sequence of each document,
/// optionally int8 mode of each sequence. The .bin is the sequences one after the other.
/// kCorruption unless `index` is whole and consistent; `bin_bytes` is the size of the .bin.
Result<ShardHeader> parse_megatron_index(ByteView index, std::uint64_t bin_bytes);

}  // namespace coshard::shard
