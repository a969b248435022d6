// Who is asked for a file, in which order of tries, and when that comes to nothing.
// SPDX-License-Identifier: Apache-2.0
#include "protocol/round/state_copy.h"

#include <gtest/gtest.h>

#include "tests/unit/round/round_nodes.h"

namespace coshard::round {
namespace {

constexpr StepId kStep(7);
constexpr StageIndex kStage(1);
constexpr std::uint64_t kPiece = limits::kStatePieceBytes;
constexpr std::uint64_t kBytes = 3 * kPiece;

class StateCopyTest : public testing::Test {
 protected:
  void begin(std::initializer_list<std::uint32_t> holders, std::uint64_t have = 0) {
    std::vector<NodeId> nodes;
    for (const std::uint32_t n : holders) nodes.push_back(node(n));
    copy.emplace(ShardFile{kStep, kStage, {}, kBytes}, nodes);
    begin_try(have);
  }
  void begin_try(std::uint64_t have = 0) {
    copy->begin(have, now);
    for (const NodeId& holder : copy->holders()) copy->set_connected(holder, true);
  }
  std::vector<std::uint32_t> tried() const {
    std::vector<std::uint32_t> numbers;
    for (const NodeId& holder : copy->holders()) numbers.push_back(holder.bytes[1]);
    return numbers;
  }
  /// All pieces come, from whoever is asked.
  void come() {
    while (!copy->complete())
      for (const StateFetch::Ask& one : copy->asks(now))
        ASSERT_TRUE(copy->on_piece(one.holder, {kStep, kStage, one.ask.offset, kBytes},
                                   std::min(kPiece, kBytes - one.ask.offset), now));
  }
  void refuse(std::uint32_t n, ErrorCode code) {
    copy->on_refused(node(n), {kStep, kStage, 0, code, "no"}, now);
  }

  std::optional<StateCopy> copy;
  TimePoint now{};
  const Error false_whole{ErrorCode::kCorruption, "another hash"};
};

TEST_F(StateCopyTest, AllAtOnceAndEachAloneWhereTheWholeIsFalse) {
  begin({1, 2, 3});
  std::vector<std::vector<std::uint32_t>> tries;
  do {
    tries.push_back(tried());
    begin_try();
    come();
  } while (copy->try_again(false_whole));
  EXPECT_EQ(tries, (std::vector<std::vector<std::uint32_t>>{{1, 2, 3}, {1}, {2}, {3}}));
}

TEST_F(StateCopyTest, OneHolderHasOneTry) {
  begin({1});
  come();
  EXPECT_FALSE(copy->try_again(false_whole));
}

TEST_F(StateCopyTest, WhatWasThereMayBeAnotherFilesBeginning) {
  begin({1}, kPiece);
  come();
  EXPECT_EQ(copy->bytes_come(), 2 * kPiece);
  ASSERT_TRUE(copy->try_again(false_whole));
  EXPECT_EQ(tried(), (std::vector<std::uint32_t>{1}));
  begin_try();
  come();
  EXPECT_EQ(copy->bytes_come(), kBytes);
  EXPECT_FALSE(copy->try_again(false_whole)) << "this time it was all theirs";
}

/// A beginning that is as long as the whole, and yet not it: nothing follows on it.
TEST_F(StateCopyTest, AWholeThatIsFalseIsNotAskedForTheRest) {
  begin({1, 2}, kBytes);
  EXPECT_FALSE(copy->failure(now).has_value());
  ASSERT_EQ(copy->asks(now).size(), 1U);
  refuse(1, ErrorCode::kInvalidArgument);
  ASSERT_TRUE(copy->failure(now).has_value());
  EXPECT_EQ(copy->failure(now)->code, ErrorCode::kCorruption);
  ASSERT_TRUE(copy->try_again(*copy->failure(now)));
  EXPECT_EQ(tried(), (std::vector<std::uint32_t>{1, 2}));
}

TEST_F(StateCopyTest, WhenAllHaveRefusedTheLastReasonStands) {
  begin({1, 2});
  refuse(1, ErrorCode::kNotFound);
  EXPECT_FALSE(copy->failure(now).has_value()) << "one is left";
  refuse(2, ErrorCode::kPermissionDenied);
  ASSERT_TRUE(copy->failure(now).has_value());
  EXPECT_EQ(copy->failure(now)->code, ErrorCode::kPermissionDenied);
  EXPECT_FALSE(copy->try_again(*copy->failure(now))) << "they would say so again";
}

TEST_F(StateCopyTest, NothingForLongEndsItAndAPieceBeginsTheTimeAnew) {
  begin({1});
  const StateFetch::Ask first = copy->asks(now).at(0);
  now += kCopyPatience - std::chrono::seconds(1);
  EXPECT_FALSE(copy->failure(now).has_value());
  ASSERT_TRUE(copy->on_piece(node(1), {kStep, kStage, first.ask.offset, kBytes}, kPiece, now));
  now += kCopyPatience - std::chrono::seconds(1);
  EXPECT_FALSE(copy->failure(now).has_value());
  ASSERT_TRUE(copy->on_piece(node(1), {kStep, kStage, 0, kBytes}, kPiece, now));  // no news
  now += std::chrono::seconds(1);
  ASSERT_TRUE(copy->failure(now).has_value());
  EXPECT_EQ(copy->failure(now)->code, ErrorCode::kDeadlineExceeded);
}

TEST_F(StateCopyTest, OnlyWhoIsConnectedIsAsked) {
  begin({1, 2});
  copy->set_connected(node(1), false);
  copy->set_connected(node(9), true);
  EXPECT_EQ(copy->asks(now).at(0).holder, node(2));
  copy->set_connected(node(2), false);
  EXPECT_FALSE(copy->failure(now).has_value()) << "who has not refused may come back";
  copy->set_connected(node(1), true);
  EXPECT_EQ(copy->asks(now).at(0).holder, node(1));
}

}  // namespace
}  // namespace coshard::round
