// Tokenizer files of a Hugging Face directory, which transformers loads unchanged. Pure but for
// write_hf_tokenizer().
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>

#include "shard/data/tokenizer.h"

namespace coshard::shard {

/// tokenizer.json of the byte tokenizer: a byte-level BPE without merges whose 256 tokens are
/// numbered as the bytes.
std::string byte_tokenizer_json();

/// Byte tokenizer: tokenizer.json; SentencePiece: tokenizer.model; both with tokenizer_config.json.
/// `sequence` is the model's.
Result<void> write_hf_tokenizer(const Tokenizer& tokenizer, std::int64_t sequence,
                                const std::filesystem::path& folder);

}  // namespace coshard::shard
