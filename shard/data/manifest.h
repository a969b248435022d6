// The data manifest: which token shards a round trains on, each with its hash (design 5; bytes:
// shard/README.md). Pure functions.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/base/bytes.h"
#include "protocol/base/error.h"
#include "protocol/base/tensor_blob.h"

namespace coshard::shard {

/// How a shard's file lays out its tokens.
enum class ShardFormat {
  kFlat,      ///< "flat": the tokens alone, as `coshard data prepare` writes them
  kLlmC,      ///< "llm.c": llm.c and modded-nanogpt .bin, 256 header words
  kMegatron,  ///< "megatron": Megatron .bin with its .idx next to it
};

struct TokenizerIdentity {
  std::string
      id;  ///< "bytes", "sentencepiece", or the name of a tokenizer that made the shards elsewhere
  std::string file;  ///< relative to the manifest; empty when there is none
  Hash sha256{};     ///< of the file, or of the id where there is none
  bool operator==(const TokenizerIdentity&) const = default;
};

struct ShardEntry {
  std::string path;  ///< relative to the manifest, or absolute
  std::uint64_t tokens = 0;
  Hash sha256{};  ///< of the whole file
  bool operator==(const ShardEntry&) const = default;
};

struct Manifest {
  ShardFormat format = ShardFormat::kFlat;
  TokenizerIdentity tokenizer;
  std::int64_t vocab = 0;
  DType dtype = DType::kU16;  ///< of one token: kU8, kU16, kU32, kI32 (Megatron)
  std::vector<ShardEntry> shards;

  std::uint64_t tokens() const;
  bool operator==(const Manifest&) const = default;
};

/// The smallest token type that prepare() writes for a vocabulary: u16 up to 65,536, u32 above.
DType token_dtype(std::int64_t vocab);

/// kInvalidArgument saying what was expected and found.
Result<Manifest> parse_manifest(std::string_view text);
/// JSON, the same bytes for the same manifest; parse_manifest() reads it back.
std::string manifest_text(const Manifest& manifest);

}  // namespace coshard::shard
