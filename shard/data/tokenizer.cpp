// See tokenizer.h.
// SPDX-License-Identifier: Apache-2.0
#include "shard/data/tokenizer.h"

#include "crypto/hash.h"

namespace coshard::shard {
namespace {

class ByteTokenizer final : public Tokenizer {
 public:
  std::string id() const override { return "bytes"; }
  std::int64_t vocab() const override { return 256; }
  ByteView model() const override { return {}; }
  std::optional<std::uint32_t> end_of_document() const override { return std::nullopt; }
  Result<void> encode(std::string_view text, std::vector<std::uint32_t>& tokens) const override {
    for (const char c : text) tokens.push_back(static_cast<unsigned char>(c));
    return {};
  }
  std::string decode(std::span<const std::int32_t> tokens) const override {
    std::string text;
    for (const std::int32_t token : tokens)
      if (token >= 0 && token < 256) text += static_cast<char>(token);
    return text;
  }
};

}  // namespace

std::unique_ptr<Tokenizer> make_byte_tokenizer() { return std::make_unique<ByteTokenizer>(); }

Result<std::unique_ptr<Tokenizer>> make_tokenizer(const std::string& name) {
  if (name == "bytes") return make_byte_tokenizer();
  auto loaded = load_sentencepiece(name);
  if (loaded || loaded.error().code != ErrorCode::kNotFound) return loaded;
  return fail(
      ErrorCode::kNotFound,
      "tokenizer: expected \"bytes\" or a SentencePiece .model file; " + loaded.error().message);
}

Hash tokenizer_hash(const Tokenizer& tokenizer) {
  const std::string id = tokenizer.id();
  return crypto::sha256(tokenizer.model().empty() ? as_bytes(id) : tokenizer.model());
}

}  // namespace coshard::shard
