// Who may read a stage's state, and how it is fetched from several holders, some of which are slow,
// gone or lying. The fetch is checked against what any copy must be: every byte once, in order.
// SPDX-License-Identifier: Apache-2.0
#include "protocol/round/state_transfer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>

#include "protocol/base/rng.h"
#include "protocol/round/state_fetch.h"

namespace coshard::round {
namespace {

constexpr std::uint64_t kPiece = limits::kStatePieceBytes;
const StepId kStep(20);
const StageIndex kStage(1);

TimePoint at(std::int64_t milliseconds) {
  return TimePoint(std::chrono::milliseconds(milliseconds));
}
NodeId node(std::uint8_t number) { return NodeId{Hash{number}}; }
StateAsk ask(std::uint64_t offset, std::uint64_t bytes = kPiece) {
  return {kStep, kStage, offset, bytes};
}

TEST(StateAccess, ReadersOfOpenRoundsOnly) {
  const StateHolder open{"mite", true, kStage};
  const StateHolder closed{"mite", false, kStage};
  EXPECT_TRUE(may_read(ask(0), Asker::kReader, open));
  const auto stranger = may_read(ask(0), Asker::kStranger, open);
  ASSERT_FALSE(stranger);
  EXPECT_EQ(stranger.error().code, ErrorCode::kPermissionDenied);
  for (const Asker asker : {Asker::kStranger, Asker::kReader}) {
    const auto refused = may_read(ask(0), asker, closed);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, ErrorCode::kPermissionDenied);
    EXPECT_NE(refused.error().message.find("mite is protected"), std::string::npos);
  }
  EXPECT_TRUE(may_read(ask(0), Asker::kJoiner, closed)) << "it will hold this stage itself";
  EXPECT_EQ(may_read({kStep, StageIndex(0), 0, 1}, Asker::kJoiner, open).error().code,
            ErrorCode::kNotFound);
}

TEST(StateAccess, APieceEndsWithTheState) {
  EXPECT_EQ(piece_bytes(ask(0), 3 * kPiece), kPiece);
  EXPECT_EQ(piece_bytes(ask(2 * kPiece), 2 * kPiece + 7), 7U);
  EXPECT_EQ(piece_bytes(ask(~0ULL - 1), ~0ULL), 1U);
  EXPECT_EQ(piece_bytes(ask(8), 8).error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(piece_bytes(ask(~0ULL), 8).error().code, ErrorCode::kInvalidArgument);
}

TEST(StateAccess, LeasesEndUnlessTheyAreRenewed) {
  ReaderBook book;
  const Reader reader{node(1), Incarnation(1), {1}};
  EXPECT_TRUE(book.name(reader, at(0)).value());
  EXPECT_FALSE(book.name(reader, at(6000)).value());
  EXPECT_TRUE(book.expire(at(10'000)).empty());
  EXPECT_EQ(book.list().readers, std::vector{reader});
  EXPECT_TRUE(book.name({node(1), Incarnation(2), {1}}, at(10'000)).value());  // it has changed
  EXPECT_EQ(book.expire(at(20'000)), std::vector{node(1)});
  EXPECT_FALSE(book.holds(node(1)));
  for (std::size_t i = 0; i < limits::kReadersMax; ++i)
    EXPECT_TRUE(book.name({node(static_cast<std::uint8_t>(i)), {}, {}}, at(0)).value());
  EXPECT_EQ(book.name({node(99), {}, {}}, at(0)).error().code, ErrorCode::kResourceExhausted);
  EXPECT_FALSE(book.name({node(1), {}, {}}, at(0)).value());
}

TEST(StateFetch, AsksForTheFirstPieceUntilTheSizeIsKnown) {
  StateFetch fetch({kStep, kStage, 100 * kPiece, 5});
  EXPECT_TRUE(fetch.asks(at(0)).empty());
  fetch.add(node(1));
  const auto first = fetch.asks(at(0));
  ASSERT_EQ(first.size(), 1U);
  EXPECT_EQ(first[0].ask, ask(5));
  EXPECT_TRUE(fetch.asks(at(1)).empty());
  EXPECT_TRUE(fetch.on_piece(node(1), {kStep, kStage, 5, 20 * kPiece}, kPiece, at(2)).value());
  EXPECT_EQ(fetch.asks(at(2)).size(), limits::kStatePiecesPerNode);
  fetch.add(node(2));
  const auto more = fetch.asks(at(2));
  ASSERT_EQ(more.size(), limits::kStatePiecesPerNode);
  EXPECT_EQ(more[0].holder, node(2));
  EXPECT_EQ(more[0].ask, ask(5 + 5 * kPiece));
}

TEST(StateFetch, WhatAHolderOwesIsAskedOfAnotherWhenItFallsSilentOrLeaves) {
  StateFetch fetch({kStep, kStage, kPiece, 0});
  fetch.add(node(1));
  ASSERT_EQ(fetch.asks(at(0)).size(), 1U);
  fetch.add(node(2));
  EXPECT_TRUE(fetch.asks(at(9999)).empty());
  fetch.remove(node(1));
  const auto again = fetch.asks(at(10'000));
  ASSERT_EQ(again.size(), 1U);
  EXPECT_EQ(again[0].holder, node(2));
  EXPECT_TRUE(fetch.asks(at(19'999)).empty());
  EXPECT_EQ(fetch.asks(at(20'000)).size(), 1U);  // silent for kStatePatience
  // The late answer is as good as any; the second one is no news.
  EXPECT_TRUE(fetch.on_piece(node(2), {kStep, kStage, 0, 9}, 9, at(20'001)).value());
  EXPECT_TRUE(fetch.complete());
  EXPECT_FALSE(fetch.on_piece(node(2), {kStep, kStage, 0, 9}, 9, at(20'002)).value());
}

TEST(StateFetch, RefusalsEndAHolderUnlessItIsOnlyBusy) {
  StateFetch fetch({kStep, kStage, kPiece, 0});
  fetch.add(node(1));
  ASSERT_EQ(fetch.asks(at(0)).size(), 1U);
  fetch.on_refused(node(1), {kStep, kStage, 0, ErrorCode::kResourceExhausted, "busy"}, at(1));
  EXPECT_TRUE(fetch.asks(at(500)).empty());
  ASSERT_EQ(fetch.asks(at(501)).size(), 1U);
  fetch.on_refused(node(1), {kStep, kStage, 0, ErrorCode::kNotFound, "gone"}, at(502));
  EXPECT_FALSE(fetch.has_holders());
  ASSERT_EQ(fetch.refusals().size(), 1U);
  EXPECT_EQ(fetch.refusals()[0].code, ErrorCode::kNotFound);
}

TEST(StateFetch, LiesAboutSizesEndAHolder) {
  const auto lie = [](std::uint64_t offset, std::uint64_t total, std::uint64_t bytes) {
    StateFetch fetch({kStep, kStage, 4 * kPiece, 0});
    fetch.add(node(1));
    (void)fetch.asks(at(0));
    const auto taken = fetch.on_piece(node(1), {kStep, kStage, offset, total}, bytes, at(1));
    EXPECT_FALSE(taken.has_value());
    EXPECT_FALSE(fetch.has_holders());
    EXPECT_EQ(fetch.bytes_done(), 0U);
  };
  lie(0, 5 * kPiece, kPiece);  // larger than any such state
  lie(0, 2 * kPiece, 9);       // cut short
  lie(kPiece, kPiece + 3, 4);
  StateFetch fetch({kStep, kStage, 4 * kPiece, 0});
  fetch.add(node(1));
  fetch.add(node(2));
  EXPECT_TRUE(fetch.on_piece(node(1), {kStep, kStage, 0, 3 * kPiece}, kPiece, at(1)).value());
  EXPECT_FALSE(fetch.on_piece(node(2), {kStep, kStage, kPiece, 2 * kPiece}, kPiece, at(1)));
  EXPECT_FALSE(fetch.on_piece(node(1), {StepId(1), kStage, kPiece, 9 * kPiece}, 1, at(1)).value());
}

/// Holders that lose, repeat, reorder and refuse at random, until the copy is complete.
TEST(StateFetch, EveryByteComesOnceWhateverHolders) {
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Rng rng(seed);
    const std::uint64_t total = 1 + rng.below(40 * kPiece);
    const std::uint64_t have = rng.below(total);
    StateFetch fetch({kStep, kStage, total, have});
    for (std::uint8_t i = 0; i < 3; ++i) fetch.add(node(i));
    std::vector<std::pair<std::uint64_t, std::uint64_t>> taken;  // in the order of the file
    std::deque<StateFetch::Ask> under_way;
    std::int64_t now = 0;
    for (int turn = 0; turn < 100'000 && !fetch.complete(); ++turn, now += 50) {
      for (auto& one : fetch.asks(at(now))) under_way.push_back(one);
      EXPECT_LE(under_way.size(), 200U);
      if (under_way.empty()) continue;
      const std::size_t pick = rng.below(under_way.size());
      const StateFetch::Ask one = under_way[pick];
      const std::uint64_t fate = rng.below(8);
      if (fate != 0) under_way.erase(under_way.begin() + static_cast<std::ptrdiff_t>(pick));
      if (fate == 1) continue;  // lost
      if (fate == 2) {
        fetch.on_refused(one.holder,
                         {kStep, kStage, one.ask.offset, ErrorCode::kResourceExhausted, ""},
                         at(now));
        continue;
      }
      const std::uint64_t bytes = piece_bytes(one.ask, total).value();
      const auto news =
          fetch.on_piece(one.holder, {kStep, kStage, one.ask.offset, total}, bytes, at(now));
      ASSERT_TRUE(news.has_value());
      if (*news) taken.emplace_back(one.ask.offset, bytes);
      EXPECT_LE(one.ask.offset, fetch.bytes_done() + kStateWindow * kPiece);
    }
    ASSERT_TRUE(fetch.complete());
    std::ranges::sort(taken);
    std::uint64_t end = have;
    for (const auto& [offset, bytes] : taken) {
      EXPECT_EQ(offset, end);
      end += bytes;
    }
    EXPECT_EQ(end, total);
  }
}

}  // namespace
}  // namespace coshard::round
