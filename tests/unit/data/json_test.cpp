// JSON under limits, and the manifest on top of it.
// SPDX-License-Identifier: Apache-2.0
#include "shard/data/json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "protocol/base/limits.h"
#include "shard/data/manifest.h"

namespace coshard::shard {
namespace {

using ::testing::HasSubstr;

TEST(Json, ReadsWhatItWrites) {
  const Json json = Json::Object{{"text", "a \"quoted\" \\ \n\x01 \xc3\xa9"},
                                 {"numbers", Json::Array{std::uint64_t{18446744073709551615U},
                                                         std::int64_t{-5}, 1e-5, 10000.0, 0.1}},
                                 {"empty", Json::Object{}},
                                 {"list", Json::Array{}},
                                 {"flag", true},
                                 {"nothing", Json()}};
  for (const int indent : {0, 2}) {
    const auto back = Json::parse(json.text(indent));
    ASSERT_TRUE(back) << back.error().message;
    EXPECT_EQ(*back, json);
  }
  EXPECT_EQ(Json(10000.0).text(), "10000.0");
  EXPECT_EQ((Json(Json::Object{{"a", Json::Array{1.5, "x"}}}).text()), "{\"a\":[1.5,\"x\"]}");
}

TEST(Json, RefusesWhatIsNotJsonOrTooMuch) {
  for (const char* bad : {"", "{", "[1,]", "{\"a\":1}x", "nul", "\"\xff\"", "{'a':1}", "[1] [2]"})
    EXPECT_FALSE(Json::parse(bad)) << bad;
  EXPECT_THAT(Json::parse("{\"a\":1,\"a\":2}").error().message, HasSubstr("appears twice"));
  const std::string deep(limits::kJsonDepthMax + 1, '[');
  EXPECT_THAT(Json::parse(deep).error().message, HasSubstr("levels"));
  EXPECT_TRUE(Json::parse(std::string(limits::kJsonDepthMax, '[') +
                          std::string(limits::kJsonDepthMax, ']')));
  std::string many = "[0";
  for (std::size_t i = 0; i < limits::kJsonValuesMax; ++i) many += ",0";
  EXPECT_THAT(Json::parse(many + "]").error().message, HasSubstr("values"));
}

TEST(Json, TypedMembersSayWhatTheyFound) {
  const Json json = Json::parse("{\"n\":-1,\"s\":\"x\",\"f\":1.5}").value();
  EXPECT_THAT(json.natural_at("n").error().message, HasSubstr("\"n\": expected a non-negative"));
  EXPECT_THAT(json.natural_at("n").error().message, HasSubstr("found -1"));
  EXPECT_THAT(json.string_at("t").error().message, HasSubstr("found nothing"));
  EXPECT_EQ(json.number_at("n").value(), -1.0);
  EXPECT_EQ(json.number_at("f").value(), 1.5);
  EXPECT_FALSE(json.array_at("s"));
  EXPECT_FALSE(json.object_at("s"));
}

Manifest small_manifest() {
  Manifest manifest;
  manifest.tokenizer = {"bytes", "", {}};
  manifest.tokenizer.sha256[0] = 0xab;
  manifest.vocab = 256;
  manifest.shards = {{"shard-00000.bin", 1000, {}}, {"b \"c\".bin", 7, {}}};
  manifest.shards[1].sha256[31] = 1;
  return manifest;
}

TEST(Manifest, ReadsWhatItWrites) {
  Manifest manifest = small_manifest();
  EXPECT_EQ(parse_manifest(manifest_text(manifest)).value(), manifest);
  EXPECT_EQ(manifest.tokens(), 1007U);
  manifest.format = ShardFormat::kMegatron;
  manifest.dtype = DType::kI32;
  manifest.tokenizer.file = "tokenizer.model";
  EXPECT_EQ(parse_manifest(manifest_text(manifest)).value(), manifest);
}

TEST(Manifest, RefusesByName) {
  const std::string text = manifest_text(small_manifest());
  const auto broken = [&](const std::string& from, const std::string& to) {
    std::string changed = text;
    changed.replace(changed.find(from), from.size(), to);
    const auto result = parse_manifest(changed);
    return result ? std::string("accepted") : result.error().message;
  };
  EXPECT_THAT(broken("\"version\": 1", "\"version\": 2"), HasSubstr("version 1"));
  EXPECT_THAT(broken("\"flat\"", "\"round\""), HasSubstr("flat, llm.c, megatron"));
  EXPECT_THAT(broken("\"u16\"", "\"f32\""), HasSubstr("u8, u16, u32, i32"));
  EXPECT_THAT(broken("\"vocab\": 256", "\"vocab\": 0"), HasSubstr("vocab"));
  EXPECT_THAT(broken("\"tokens\": 1000", "\"tokens\": -1"), HasSubstr("tokens"));
  EXPECT_THAT(broken("\"tokens\": 1000", "\"tokens\": 9000000000000000000"), HasSubstr("absurd"));
  EXPECT_THAT(broken("ab000", "AB000"), HasSubstr("lower-case"));
  EXPECT_THAT(broken("shard-00000.bin", "https://example.org/a.bin"), HasSubstr("URL"));
  EXPECT_THAT(broken("shard-00000.bin", ""), HasSubstr("path"));
}

TEST(Manifest, TokenWidthFollowsTheVocabulary) {
  EXPECT_EQ(token_dtype(256), DType::kU16);
  EXPECT_EQ(token_dtype(65'536), DType::kU16);
  EXPECT_EQ(token_dtype(65'537), DType::kU32);
}

}  // namespace
}  // namespace coshard::shard
