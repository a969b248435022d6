// The book of one step.
// SPDX-License-Identifier: Apache-2.0
#include "protocol/round/step.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/unit/round/round_nodes.h"

namespace coshard::round {
namespace {

const RoundShape kShape{2, 2, 3, 16};

UnitDone done(std::uint32_t microbatch, double loss = 0) {
  return {MicrobatchIndex(microbatch), Attempt(0), 16, loss};
}

std::vector<std::uint32_t> numbers(const std::vector<GrantedMicrobatch>& granted) {
  std::vector<std::uint32_t> numbers;
  for (const auto& each : granted) numbers.push_back(each.microbatch.value);
  return numbers;
}

TEST(StepBook, GrantsEachMicrobatchOnceLowestFirstAndRepeatsItself) {
  StepBook book(StepId(1), kShape, {});
  EXPECT_EQ(numbers(book.grant(node(0), 1)), (std::vector<std::uint32_t>{0}));
  EXPECT_EQ(numbers(book.grant(node(1), 1)), (std::vector<std::uint32_t>{1}));
  EXPECT_EQ(numbers(book.grant(node(0), 1)), (std::vector<std::uint32_t>{0}));
  EXPECT_EQ(numbers(book.grant(node(0), 9)), (std::vector<std::uint32_t>{0, 2}));
  EXPECT_EQ(numbers(book.grant(node(1), 9)), (std::vector<std::uint32_t>{1}));
}

TEST(StepBook, CountsAUnitExactlyOnce) {
  StepBook book(StepId(1), kShape, {});
  book.grant(node(0), 3);
  EXPECT_EQ(book.done(StageIndex(0), node(0), done(0)), Entry::kEntered);
  EXPECT_EQ(book.done(StageIndex(0), node(0), done(0)), Entry::kRepeated);
  EXPECT_EQ(book.done(StageIndex(0), node(1), done(1)), Entry::kFalse) << "never granted";
  EXPECT_EQ(book.done(StageIndex(1), node(2), done(1)), Entry::kEntered);
  EXPECT_EQ(book.done(StageIndex(1), node(3), done(1)), Entry::kConflict);
  EXPECT_EQ(book.done(StageIndex(1), node(3), done(3)), Entry::kFalse);
  EXPECT_EQ(book.done(StageIndex(2), node(3), done(0)), Entry::kFalse);
  UnitDone short_of_tokens = done(0);
  short_of_tokens.tokens = 15;
  EXPECT_EQ(book.done(StageIndex(1), node(3), short_of_tokens), Entry::kFalse);
  UnitDone later = done(0);
  later.attempt = Attempt(1);
  EXPECT_EQ(book.done(StageIndex(1), node(3), later), Entry::kFalse) << "never ordered";
  EXPECT_EQ(book.units_done(), 2U);
  EXPECT_EQ(book.units_done_by(node(2)), 1U);
}

StepBook averaging_book() {
  StepBook book(StepId(1), kShape, {});
  book.grant(node(0), 3);
  for (std::uint32_t m = 0; m < 3; ++m) {
    book.done(StageIndex(0), node(0), done(m));
    book.done(StageIndex(1), node(m == 1 ? 3 : 2), done(m, std::ldexp(1.0, static_cast<int>(m))));
  }
  book.close(StageIndex(0), {node(0), node(1)}, {});
  book.close(StageIndex(1), {node(2), node(3)}, {});
  return book;
}

TEST(StepBook, ClosesAStageOverItsContributorsOnly) {
  const StepBook book = averaging_book();
  const StageClosed& first = *book.closed(StageIndex(0));
  ASSERT_EQ(first.contributions.size(), 1U) << "node 1 did nothing";
  EXPECT_EQ(first.contributions[0].microbatches.size(), 3U);
  EXPECT_EQ(first.reducers, (std::vector{node(0), node(1)}));
  EXPECT_EQ(first.tokens, 48U);
  const StageClosed& second = *book.closed(StageIndex(1));
  ASSERT_EQ(second.contributions.size(), 2U);
  EXPECT_EQ(second.contributions[0].node, node(2));
  EXPECT_EQ(second.contributions[1].microbatches, std::vector{MicrobatchIndex(1)});
  EXPECT_EQ(book.loss_sum(), 7.0);
  EXPECT_EQ(book.units().size(), 6U);
  EXPECT_EQ(book.units()[4].node, node(3));
}

TEST(StepBook, AveragesMustAgreeBitForBit) {
  StepBook book = averaging_book();
  const double nan = std::nan("");
  AverageReport report{StepId(1), StageIndex(0), Attempt(0), Hash{1}, {1.0, nan}};
  EXPECT_EQ(book.averaged(node(0), report), Entry::kEntered);
  EXPECT_EQ(book.averaged(node(0), report), Entry::kRepeated);
  EXPECT_EQ(book.averaged(node(2), report), Entry::kFalse) << "of another stage";
  EXPECT_EQ(book.phase(StageIndex(0)), StagePhase::kAveraging);
  AverageReport other = report;
  other.average_hash = Hash{2};
  EXPECT_EQ(book.averaged(node(1), other), Entry::kConflict);
  other = report;
  other.squared_norms[0] = 2;
  EXPECT_EQ(book.averaged(node(1), other), Entry::kConflict);
  other = report;
  other.attempt = Attempt(1);
  EXPECT_EQ(book.averaged(node(1), other), Entry::kStale);
  EXPECT_EQ(book.averaged(node(1), report), Entry::kEntered);
  EXPECT_EQ(book.phase(StageIndex(0)), StagePhase::kAveraged);
  EXPECT_FALSE(book.all_averaged());
  for (const auto& each : {node(2), node(3)})
    book.averaged(each, {StepId(1), StageIndex(1), Attempt(0), Hash{3}, {4.0}});
  EXPECT_TRUE(book.all_averaged());
  EXPECT_EQ(book.squared_norms()[1], std::vector{4.0});
}

/// Three replicas of one stage, each with one of three microbatches; the book is closed.
StepBook book_of_three() {
  StepBook book(StepId(1), {1, 3, 3, 16}, TimePoint{});
  for (std::uint32_t n = 0; n < 3; ++n) {
    book.grant(node(n), 1);
    book.done(StageIndex(0), node(n), {MicrobatchIndex(n), Attempt(0), 16, 1});
  }
  book.close(StageIndex(0), {node(0), node(1), node(2)}, {});
  return book;
}

TEST(StepBook, AnAverageThatALiveReplicaHoldsIsFetchedAndNothingReopens) {
  const AverageReport report{StepId(1), StageIndex(0), Attempt(0), Hash{1}, {2}};
  StepBook book = book_of_three();
  book.averaged(node(1), report);
  book.lose(StageIndex(0), node(0));
  book.settle(StageIndex(0), {});
  ASSERT_NE(book.closed(StageIndex(0)), nullptr);
  EXPECT_EQ(book.closed(StageIndex(0))->holders, std::vector{node(1)});
  EXPECT_EQ(book.closed(StageIndex(0))->reducers.size(), 3U) << "says who reduced what";
  EXPECT_EQ(book.units_done(), 3U);
  EXPECT_EQ(book.phase(StageIndex(0)), StagePhase::kAveraging);
  book.averaged(node(2), report);
  EXPECT_EQ(book.phase(StageIndex(0)), StagePhase::kAveraged);
}

TEST(StepBook, WhenTheHolderDiesAsWellTheUnitsOfAllWhoAreGoneReopen) {
  StepBook book = book_of_three();
  book.lose(StageIndex(0), node(0));
  book.settle(StageIndex(0), {node(1)});  // by what it said that it holds
  EXPECT_EQ(book.closed(StageIndex(0))->holders, std::vector{node(1)});
  book.lose(StageIndex(0), node(1));
  book.settle(StageIndex(0), {});
  EXPECT_EQ(book.closed(StageIndex(0)), nullptr);
  EXPECT_EQ(book.units_done(), 1U);
  EXPECT_FALSE(book.is_done(StageIndex(0), MicrobatchIndex(0)));
  EXPECT_TRUE(book.is_done(StageIndex(0), MicrobatchIndex(2)));
}

}  // namespace
}  // namespace coshard::round
