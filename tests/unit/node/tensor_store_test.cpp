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
