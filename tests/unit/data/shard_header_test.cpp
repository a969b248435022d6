// Headers of llm.c and Megatron, written here byte by byte as those tools write them, then broken.
// SPDX-License-Identifier: Apache-2.0
#include "shard/data/shard_header.h"

#include <gtest/gtest.h>

#include "tests/unit/data/shard_bytes.h"

namespace coshard::shard {
namespace {

TEST(LlmCHeader, BothKinds) {
  EXPECT_EQ(parse_llm_c_header(llm_c_header(20240520, 1, 77)).value(),
            (ShardHeader{DType::kU16, 77, 1024}));
  EXPECT_EQ(parse_llm_c_header(llm_c_header(20240801, 7, 77)).value(),
            (ShardHeader{DType::kU32, 77, 1024}));
}

TEST(LlmCHeader, OthersAreRefused) {
  EXPECT_FALSE(parse_llm_c_header(llm_c_header(20240520, 7, 77)));
  EXPECT_FALSE(parse_llm_c_header(llm_c_header(20240801, 1, 77)));
  EXPECT_FALSE(parse_llm_c_header(llm_c_header(20240522, 1, 77)));  // an evaluation file
  EXPECT_FALSE(parse_llm_c_header(llm_c_header(20240520, 1, 0x80000000U)));
  Bytes header = llm_c_header(20240520, 1, 77);
  header.pop_back();
  EXPECT_FALSE(parse_llm_c_header(header));
}

TEST(MegatronIndex, CountsItsTokens) {
  EXPECT_EQ(parse_megatron_index(megatron_index(8, {3, 0, 5}), 16).value(),
            (ShardHeader{DType::kU16, 8, 0}));
  EXPECT_EQ(parse_megatron_index(megatron_index(4, {3, 5}), 32).value(),
            (ShardHeader{DType::kI32, 8, 0}));
  EXPECT_EQ(parse_megatron_index(megatron_index(1, {2}), 2).value(),
            (ShardHeader{DType::kU8, 2, 0}));
  Bytes with_modes = megatron_index(8, {3, 5});
  with_modes.insert(with_modes.end(), 2, 0);
  EXPECT_TRUE(parse_megatron_index(with_modes, 16));
}

TEST(MegatronIndex, EveryTruncationIsRefused) {
  const Bytes index = megatron_index(8, {3, 5});
  for (std::size_t size = 0; size < index.size(); ++size)
    EXPECT_FALSE(parse_megatron_index(ByteView(index).first(size), 16)) << size;
}

TEST(MegatronIndex, LiesAreRefused) {
  const Bytes index = megatron_index(8, {3, 5});
  EXPECT_FALSE(parse_megatron_index(index, 15));
  EXPECT_FALSE(parse_megatron_index(index, 18));
  EXPECT_FALSE(parse_megatron_index(megatron_index(6, {3}), 24));  // doubles are no tokens
  const auto changed = [&](std::size_t at, std::uint8_t value) {
    Bytes copy = index;
    copy[at] = value;
    return parse_megatron_index(copy, 16).has_value();
  };
  EXPECT_FALSE(changed(0, 'X'));
  EXPECT_FALSE(changed(9, 2));           // version
  EXPECT_FALSE(changed(25, 0xff));       // sequences: 2^63
  EXPECT_FALSE(changed(33, 0xff));       // documents
  EXPECT_FALSE(changed(34 + 3, 0xff));   // a negative length
  EXPECT_FALSE(changed(34 + 8 + 8, 1));  // the second sequence elsewhere
}

}  // namespace
}  // namespace coshard::shard
