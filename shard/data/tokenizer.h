// Text to token numbers and back. Immutable once made: any thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/base/bytes.h"
#include "protocol/base/error.h"

namespace coshard::shard {

class Tokenizer {
 public:
  virtual ~Tokenizer() = default;
  /// As in the manifest: "bytes" or "sentencepiece".
  virtual std::string id() const = 0;
  virtual std::int64_t vocab() const = 0;
  /// The model's bytes as they were read; empty for the byte tokenizer.
  virtual ByteView model() const = 0;
  /// The token that ends a document, if the tokenizer has one.
  virtual std::optional<std::uint32_t> end_of_document() const = 0;
  /// Appends the tokens of `text`. kInternal when the library fails.
  virtual Result<void> encode(std::string_view text, std::vector<std::uint32_t>& tokens) const = 0;
  /// The text of `tokens`; those outside the vocabulary are left out.
  virtual std::string decode(std::span<const std::int32_t> tokens) const = 0;
};

/// Token n is byte n: needs no model, takes any bytes, valid UTF-8 or not.
std::unique_ptr<Tokenizer> make_byte_tokenizer();

/// A SentencePiece .model file. kNotFound, or kInvalidArgument when it is no such model.
Result<std::unique_ptr<Tokenizer>> load_sentencepiece(const std::filesystem::path& model);

/// "bytes", or the path of a SentencePiece model: what `--tokenizer` takes.
Result<std::unique_ptr<Tokenizer>> make_tokenizer(const std::string& name);

/// SHA-256 of the model, or of the id where there is no model.
Hash tokenizer_hash(const Tokenizer& tokenizer);

}  // namespace coshard::shard
