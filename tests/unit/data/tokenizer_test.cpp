// Tokenizers: bytes, and SentencePiece on a model that the library's own trainer makes here.
// SPDX-License-Identifier: Apache-2.0
#include "shard/data/tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "crypto/hash.h"
#include "tests/unit/data/sentencepiece_model.h"
#include "tests/unit/data/temp_folder.h"

namespace coshard::shard {
namespace {

using ::testing::HasSubstr;

std::string round_trip(const Tokenizer& tokenizer, const std::string& text) {
  std::vector<std::uint32_t> tokens;
  EXPECT_TRUE(tokenizer.encode(text, tokens));
  for (const std::uint32_t token : tokens) EXPECT_LT(token, tokenizer.vocab());
  return tokenizer.decode(std::vector<std::int32_t>(tokens.begin(), tokens.end()));
}

TEST(ByteTokenizer, KeepsEveryByte) {
  const auto tokenizer = make_tokenizer("bytes").value();
  std::string all;
  for (int byte = 0; byte < 256; ++byte) all += static_cast<char>(byte);
  EXPECT_EQ(round_trip(*tokenizer, all), all);
  EXPECT_EQ(tokenizer->vocab(), 256);
  EXPECT_EQ(tokenizer_hash(*tokenizer), crypto::sha256(as_bytes("bytes")));
  EXPECT_EQ(tokenizer->decode(std::vector<std::int32_t>{-1, 65, 256}), "A");
}

TEST(SentencePieceTokenizer, EncodesAsTheLibraryDoes) {
  const TempFolder folder;
  const auto path = train_sentencepiece(folder);
  const auto tokenizer = make_tokenizer(path.string()).value();
  EXPECT_EQ(tokenizer->id(), "sentencepiece");
  EXPECT_EQ(tokenizer->vocab(), kTrainedVocab);
  EXPECT_EQ(tokenizer->end_of_document(), 2U);
  EXPECT_EQ(round_trip(*tokenizer, "the quick brown fox"), "the quick brown fox");
  EXPECT_EQ(tokenizer_hash(*tokenizer), crypto::sha256(as_bytes(read_text(path))));
  std::vector<std::uint32_t> tokens;
  EXPECT_TRUE(tokenizer->encode(std::string("bad \xff\xfe utf-8 \0 zero", 18), tokens));
  EXPECT_FALSE(tokens.empty());
}

TEST(SentencePieceTokenizer, RefusesOtherFiles) {
  const TempFolder folder;
  const auto garbage = make_tokenizer(folder.write("x.model", "not a model").string());
  ASSERT_FALSE(garbage);
  EXPECT_THAT(garbage.error().message, HasSubstr("x.model"));
  const auto missing = make_tokenizer((folder / "none.model").string());
  ASSERT_FALSE(missing);
  EXPECT_THAT(missing.error().message, HasSubstr("expected \"bytes\""));
  EXPECT_FALSE(make_tokenizer(folder.write("empty.model", "").string()));
}

}  // namespace
}  // namespace coshard::shard
