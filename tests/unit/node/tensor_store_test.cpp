// What is kept until the commit, and what goes first when room is short.
// SPDX-License-Identifier: Apache-2.0
#include "node/daemon/tensor_store.h"

#include <gtest/gtest.h>

#include "crypto/hash.h"

namespace coshard::node {
namespace {

using round::ChunkKey;
using round::TensorKey;

TensorKey key(std::uint64_t step, std::uint32_t microbatch) {
  return {Unit{StepId(step), MicrobatchIndex(microbatch), StageIndex(0), Attempt(0)},
          round::Direction::kForward};
}

KeptTensor tensor(std::size_t bytes) {
  return {{DType::kU8, BoundaryEncoding::kNone, {}, share(Bytes(bytes, 1))}, std::nullopt, {}, 0};
}

TEST(TensorStore, KeepsUntilTheStepIsReleased) {
  TensorStore store(1000);
  ASSERT_TRUE(store.put(key(1, 0), tensor(100)));
  ASSERT_TRUE(store.put(key(2, 0), tensor(200)));
  EXPECT_EQ(store.bytes(), 300U);
  store.release(StepId(1));
  EXPECT_EQ(store.find(key(1, 0)), nullptr);
  ASSERT_NE(store.find(key(2, 0)), nullptr);
  EXPECT_EQ(store.bytes(), 200U);
}

TEST(TensorStore, ReplacingCountsBytesOnce) {
  TensorStore store(1000);
  ASSERT_TRUE(store.put(key(1, 0), tensor(600)));
  ASSERT_TRUE(store.put(key(1, 0), tensor(700)));
  EXPECT_EQ(store.bytes(), 700U);
  EXPECT_EQ(store.size(), 1U);
}

TEST(TensorStore, UsedTensorsMakeRoomOldestStepFirstAndNeededOnesNever) {
  TensorStore store(300);
  ASSERT_TRUE(store.put(key(1, 0), tensor(100)));
  ASSERT_TRUE(store.put(key(2, 0), tensor(100)));
  ASSERT_TRUE(store.put(key(2, 1), tensor(100)));
  store.mark_used(key(2, 0));
  store.mark_used(key(1, 0));
  ASSERT_TRUE(store.put(key(3, 0), tensor(100)));
  EXPECT_EQ(store.find(key(1, 0)), nullptr);
  EXPECT_NE(store.find(key(2, 0)), nullptr);
  EXPECT_EQ(store.evicted(), 1U);
  const auto refused = store.put(key(3, 1), tensor(150));  // only 100 of 300 may go
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kResourceExhausted);
  EXPECT_LE(store.bytes(), 300U);
  EXPECT_NE(store.find(key(2, 1)), nullptr);
  EXPECT_NE(store.find(key(3, 0)), nullptr);
}

TEST(TensorStore, WhatCameFromOthersGoesBeforeWhatWasMadeHereAndEvictionsAreTold) {
  std::vector<round::PayloadKey> gone;
  TensorStore store(300, [&](const round::PayloadKey& key) { gone.push_back(key); });
  KeptTensor received = tensor(100);
  received.sender = NodeId{{5}};
  ASSERT_TRUE(store.put(key(1, 0), tensor(100)));
  ASSERT_TRUE(store.put(key(2, 0), tensor(100)));
  ASSERT_TRUE(store.put(key(2, 1), received));
  for (const TensorKey& used : {key(1, 0), key(2, 0), key(2, 1)}) store.mark_used(used);
  ASSERT_TRUE(store.put(key(3, 0), tensor(100)));
  EXPECT_EQ(gone, (std::vector<round::PayloadKey>{key(2, 1)}));
  ASSERT_TRUE(store.put(key(3, 1), tensor(100)));
  EXPECT_EQ(gone.back(), round::PayloadKey(key(1, 0)));
  EXPECT_EQ(store.evicted(), 2U);
  store.erase(key(2, 0));
  store.release(StepId(3));
  EXPECT_EQ(gone.size(), 2U) << "what is let go of was not evicted";
}

TEST(TensorStore, DropsTheChunksOfOneAttempt) {
  TensorStore store(1000);
  const auto chunk = [&](std::uint64_t step, std::uint32_t attempt, std::uint32_t index) {
    return ChunkKey{StepId(step), Attempt(attempt), ChunkIndex(index), NodeId{{1}}, index == 1};
  };
  for (const std::uint64_t step : {1U, 2U})
    for (const std::uint32_t attempt : {0U, 1U, 2U})
      for (const std::uint32_t index : {0U, 1U})
        ASSERT_TRUE(store.put(chunk(step, attempt, index), tensor(10)));
  ASSERT_TRUE(store.put(key(1, 0), tensor(10)));
  store.drop_chunks(StepId(1), Attempt(1));
  EXPECT_EQ(store.size(), 11U);
  EXPECT_EQ(store.bytes(), 110U);
  EXPECT_EQ(store.find(chunk(1, 1, 0)), nullptr);
  EXPECT_EQ(store.find(chunk(1, 1, 1)), nullptr);
  EXPECT_NE(store.find(chunk(1, 0, 1)), nullptr);
  EXPECT_NE(store.find(chunk(1, 2, 0)), nullptr);
  EXPECT_NE(store.find(chunk(2, 1, 0)), nullptr);
  EXPECT_NE(store.find(key(1, 0)), nullptr);
  store.drop_chunks(StepId(9), Attempt(0));
  store.drop_chunks(StepId(1), Attempt(2));
  EXPECT_EQ(store.size(), 9U);
}

TEST(TensorStore, HashesOnceAndRight) {
  KeptTensor kept = tensor(50);
  const wire::Payload payload = kept.payload();
  EXPECT_EQ(payload.hash, crypto::sha256(Bytes(50, 1)));
  EXPECT_EQ(kept.hash, payload.hash);
  EXPECT_EQ(kept.payload().bytes, payload.bytes);
}

TEST(TensorStore, FindsAnAverageWhoeverReducedIt) {
  TensorStore store(1000);
  const NodeId first{{1}};
  const NodeId second{{2}};
  const auto chunk = [&](std::uint32_t index, const NodeId& from, bool averaged) {
    return ChunkKey{StepId(1), Attempt(0), ChunkIndex(index), from, averaged};
  };
  ASSERT_TRUE(store.put(chunk(0, first, false), tensor(10)));
  ASSERT_TRUE(store.put(chunk(0, second, true), tensor(10)));
  ASSERT_TRUE(store.put(chunk(1, first, false), tensor(10)));
  const auto average = store.find_average(StepId(1), Attempt(0), ChunkIndex(0));
  ASSERT_TRUE(average.has_value());
  EXPECT_EQ(average->reducer, second);
  EXPECT_FALSE(store.find_average(StepId(1), Attempt(0), ChunkIndex(1)).has_value());
  EXPECT_FALSE(store.find_average(StepId(1), Attempt(1), ChunkIndex(0)).has_value());
}

}  // namespace
}  // namespace coshard::node
