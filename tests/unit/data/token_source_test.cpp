// Batches: every window once per pass, shifted targets, all shard formats alike, damage named.
// SPDX-License-Identifier: Apache-2.0
#include "shard/data/token_source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "crypto/hash.h"
#include "shard/data/manifest.h"
#include "shard/data/prepare.h"
#include "tests/unit/data/shard_bytes.h"
#include "tests/unit/data/temp_folder.h"

namespace coshard::shard {
namespace {

using ::testing::HasSubstr;

constexpr TokenOrder kOrder{
    .seed = 5, .sequence = 4, .microbatches = 3, .microbatch_sequences = 2, .vocab = 60'000};

/// Tokens first, first + 1, ...
Bytes counting(std::uint32_t first, std::uint32_t count, std::size_t item) {
  Bytes bytes;
  for (std::uint32_t i = first; i < first + count; ++i) {
    if (item == 2)
      put_le(bytes, static_cast<std::uint16_t>(i));
    else
      put_le(bytes, i);
  }
  return bytes;
}

ShardEntry add_shard(const TempFolder& folder, const std::string& name, const Bytes& bytes,
                     std::uint64_t tokens) {
  folder.write(name, std::string(as_text(bytes)));
  return {name, tokens, crypto::sha256(bytes)};
}

std::filesystem::path write_manifest(const TempFolder& folder, const Manifest& manifest) {
  return folder.write("manifest.json", manifest_text(manifest));
}

/// Two shards of 41 and 23 tokens: 10 and 5 windows of 4 + 1, the last tokens of the second unused.
Manifest counting_manifest(const TempFolder& folder) {
  Manifest manifest;
  manifest.tokenizer.id = "bytes";
  manifest.vocab = 2000;
  manifest.shards = {add_shard(folder, "a.bin", counting(0, 41, 2), 41),
                     add_shard(folder, "b.bin", counting(1000, 23, 2), 23)};
  return manifest;
}

TEST(TokenSource, EachPassTakesEachWindowOnceInAnotherOrder) {
  const TempFolder folder;
  const auto path = write_manifest(folder, counting_manifest(folder));
  const TokenSource source = TokenSource::open(path, kOrder).value();
  EXPECT_EQ(source.windows(), 15U);
  EXPECT_EQ(source.tokens(), 64U);
  // 15 windows, 6 sequences a step: 5 steps are two passes.
  std::vector<std::int32_t> starts;
  for (std::uint64_t step = 1; step <= 5; ++step) {
    for (std::uint32_t m = 0; m < 3; ++m) {
      const TokenBatch batch = source.batch(StepId(step), MicrobatchIndex(m)).value();
      ASSERT_EQ(batch.sequences, 2);
      ASSERT_EQ(batch.length, 4);
      ASSERT_EQ(batch.inputs.size(), 8U);
      for (std::size_t i = 0; i < 8; ++i) {
        EXPECT_EQ(batch.targets[i], batch.inputs[i] + 1);
        EXPECT_EQ(batch.inputs[i], batch.inputs[i / 4 * 4] + static_cast<std::int32_t>(i % 4));
      }
      starts.push_back(batch.inputs[0]);
      starts.push_back(batch.inputs[4]);
    }
  }
  ASSERT_EQ(starts.size(), 30U);
  std::vector<std::int32_t> expected;
  for (int w = 0; w < 10; ++w) expected.push_back(4 * w);
  for (int w = 0; w < 5; ++w) expected.push_back(1000 + 4 * w);
  const std::vector<std::int32_t> first(starts.begin(), starts.begin() + 15);
  const std::vector<std::int32_t> second(starts.begin() + 15, starts.end());
  EXPECT_THAT(first, ::testing::UnorderedElementsAreArray(expected));
  EXPECT_THAT(second, ::testing::UnorderedElementsAreArray(expected));
  EXPECT_NE(first, second);
  EXPECT_NE(first, expected);
}

TEST(TokenSource, IsAFunctionOfSeedStepAndMicrobatch) {
  const TempFolder folder;
  const auto path = write_manifest(folder, counting_manifest(folder));
  const TokenSource a = TokenSource::open(path, kOrder).value();
  const TokenSource b = TokenSource::open(path, kOrder).value();
  TokenOrder other = kOrder;
  other.seed = 6;
  const TokenSource c = TokenSource::open(path, other).value();
  const auto at = [](const TokenSource& source, std::uint64_t step, std::uint32_t m) {
    return source.batch(StepId(step), MicrobatchIndex(m)).value();
  };
  const TokenBatch late = at(a, 1'000'000, 2);
  at(a, 1, 0);
  EXPECT_EQ(at(b, 1'000'000, 2), late);
  EXPECT_EQ(at(a, 1'000'000, 2), late);
  EXPECT_NE(at(c, 1, 0), at(a, 1, 0));
  EXPECT_FALSE(a.batch(StepId(0), MicrobatchIndex(0)));
  EXPECT_FALSE(a.batch(StepId(1), MicrobatchIndex(3)));
}

TEST(TokenSource, TheCutIntoMicrobatchesDoesNotChangeTheStep) {
  const TempFolder folder;
  const auto path = write_manifest(folder, counting_manifest(folder));
  TokenOrder halves = kOrder;
  halves.microbatches = 6;
  halves.microbatch_sequences = 1;
  const TokenSource a = TokenSource::open(path, kOrder).value();
  const TokenSource b = TokenSource::open(path, halves).value();
  std::vector<std::int32_t> of_a, of_b;
  const auto gather = [](const TokenSource& source, std::uint32_t count, auto& out) {
    for (std::uint32_t m = 0; m < count; ++m) {
      const auto inputs = source.batch(StepId(4), MicrobatchIndex(m)).value().inputs;
      out.insert(out.end(), inputs.begin(), inputs.end());
    }
  };
  gather(a, 3, of_a);
  gather(b, 6, of_b);
  EXPECT_EQ(of_a, of_b);
}

TEST(TokenSource, TakesForeignShardsAsTheyLie) {
  const TempFolder folder;
  Bytes gpt2 = llm_c_header(20240520, 1, 41), llama3 = llm_c_header(20240801, 7, 41);
  append(gpt2, counting(0, 41, 2));
  append(llama3, counting(0, 41, 4));
  folder.write("gpt2.bin", std::string(as_text(gpt2)));
  folder.write("llama3.bin", std::string(as_text(llama3)));
  folder.write("meg.bin", std::string(as_text(counting(0, 41, 4))));
  folder.write("meg.idx", std::string(as_text(megatron_index(4, {1, 20, 20}))));
  folder.write("flat.bin", std::string(as_text(counting(0, 41, 2))));
  const auto first_batch = [&](ShardFormat format, const std::string& name) {
    const auto manifest = adopt_shards(format, {folder / name}, 50'257, "gpt2");
    EXPECT_TRUE(manifest) << manifest.error().message;
    return TokenSource::open(write_manifest(folder, *manifest), kOrder)
        .value()
        .batch(StepId(1), MicrobatchIndex(0))
        .value();
  };
  const TokenBatch expected = first_batch(ShardFormat::kFlat, "flat.bin");
  EXPECT_EQ(first_batch(ShardFormat::kLlmC, "gpt2.bin"), expected);
  EXPECT_EQ(first_batch(ShardFormat::kLlmC, "llama3.bin"), expected);
  EXPECT_EQ(first_batch(ShardFormat::kMegatron, "meg.bin"), expected);
}

TEST(TokenSource, DamageIsRefusedByName) {
  const TempFolder folder;
  const Manifest manifest = counting_manifest(folder);
  const auto path = write_manifest(folder, manifest);
  const auto message = [&](const TokenOrder& order = kOrder) {
    const auto result = TokenSource::open(path, order);
    return result ? std::string("opened") : result.error().message;
  };
  EXPECT_EQ(message(), "opened");
  Bytes flipped = counting(1000, 23, 2);
  flipped[7] ^= 1;
  folder.write("b.bin", std::string(as_text(flipped)));
  EXPECT_THAT(message(), ::testing::AllOf(HasSubstr("b.bin"), HasSubstr("SHA-256")));
  folder.write("b.bin", std::string(as_text(counting(1000, 22, 2))));
  EXPECT_THAT(message(), ::testing::AllOf(HasSubstr("b.bin"), HasSubstr("expected 23 tokens")));
  folder.write("b.bin", std::string(as_text(counting(1000, 23, 2))) + "x");
  EXPECT_THAT(message(), HasSubstr("b.bin"));
  std::filesystem::remove(folder / "b.bin");
  EXPECT_THAT(message(), HasSubstr("b.bin"));
  EXPECT_EQ(TokenSource::open(path, kOrder).error().code, ErrorCode::kNotFound);
  TokenOrder narrow = kOrder;
  narrow.vocab = 1999;
  EXPECT_THAT(message(narrow), HasSubstr("vocabulary of 2000"));
  EXPECT_FALSE(TokenSource::open(folder / "none.json", kOrder));
  folder.write("manifest.json", "{}");
  EXPECT_THAT(message(), HasSubstr("manifest.json"));
}

TEST(TokenSource, TokensOutsideTheVocabularyAreRefused) {
  const TempFolder folder;
  Manifest manifest = counting_manifest(folder);
  manifest.vocab = 1010;
  const TokenSource source = TokenSource::open(write_manifest(folder, manifest), kOrder).value();
  std::map<bool, int> outcomes;
  for (std::uint32_t m = 0; m < 3; ++m) {
    const auto batch = source.batch(StepId(1), MicrobatchIndex(m));
    ++outcomes[batch.has_value()];
    if (!batch) {
      EXPECT_EQ(batch.error().code, ErrorCode::kCorruption);
      EXPECT_THAT(batch.error().message, HasSubstr("b.bin"));
    }
  }
  EXPECT_GT(outcomes[false], 0);
}

TEST(TokenSource, TooLittleDataSaysHowMuchIsNeeded) {
  const TempFolder folder;
  TokenOrder order = kOrder;
  order.sequence = 41;
  const auto result = TokenSource::open(write_manifest(folder, counting_manifest(folder)), order);
  ASSERT_FALSE(result);
  EXPECT_THAT(result.error().message, HasSubstr("one shard of 42 tokens"));
}

}  // namespace
}  // namespace coshard::shard
