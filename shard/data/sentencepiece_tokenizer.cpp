// The SentencePiece tokenizer behind tokenizer.h; the only file that includes the library, whose
// exceptions stop here.
// SPDX-License-Identifier: Apache-2.0
#include <sentencepiece_processor.h>

#include <exception>

#include "protocol/base/limits.h"
#include "shard/data/file.h"
#include "shard/data/tokenizer.h"

namespace coshard::shard {
namespace {

class SentencePieceTokenizer final : public Tokenizer {
 public:
  explicit SentencePieceTokenizer(Bytes model) : model_(std::move(model)) {}

  Result<void> load() {
    const auto status = processor_.LoadFromSerializedProto(as_text(model_));
    if (status.ok()) return {};
    return fail(ErrorCode::kInvalidArgument, "it is no SentencePiece model: " + status.ToString());
  }

  std::string id() const override { return "sentencepiece"; }
  std::int64_t vocab() const override { return processor_.GetPieceSize(); }
  ByteView model() const override { return model_; }
  std::optional<std::uint32_t> end_of_document() const override {
    if (processor_.eos_id() < 0) return std::nullopt;
    return static_cast<std::uint32_t>(processor_.eos_id());
  }

  Result<void> encode(std::string_view text, std::vector<std::uint32_t>& tokens) const override {
    try {
      std::vector<int> ids;
      const auto status = processor_.Encode(text, &ids);
      if (!status.ok()) return fail(ErrorCode::kInternal, "SentencePiece: " + status.ToString());
      for (const int token : ids) tokens.push_back(static_cast<std::uint32_t>(token));
      return {};
    } catch (const std::exception& error) {
      return fail(ErrorCode::kInternal, std::string("SentencePiece: ") + error.what());
    }
  }

  std::string decode(std::span<const std::int32_t> tokens) const override {
    std::vector<int> ids;
    for (const std::int32_t token : tokens)
      if (token >= 0 && token < processor_.GetPieceSize()) ids.push_back(token);
    std::string text;
    return processor_.Decode(ids, &text).ok() ? text : std::string();
  }

 private:
  Bytes model_;
  sentencepiece::SentencePieceProcessor processor_;
};

}  // namespace

Result<std::unique_ptr<Tokenizer>> load_sentencepiece(const std::filesystem::path& model) {
  COSHARD_ASSIGN(Bytes bytes,
                 read_whole(model, limits::kTokenizerModelBytesMax, Symlinks::kFollow));
  try {
    auto tokenizer = std::make_unique<SentencePieceTokenizer>(std::move(bytes));
    const auto loaded = tokenizer->load();
    if (!loaded) return tl::unexpected(loaded.error().within(model.string()));
    return std::unique_ptr<Tokenizer>(std::move(tokenizer));
  } catch (const std::exception& error) {
    return fail(ErrorCode::kInvalidArgument,
                model.string() + ": it is no SentencePiece model: " + error.what());
  }
}

}  // namespace coshard::shard
