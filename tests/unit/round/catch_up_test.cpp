// A node that joins: what it notes while its state is on the way, and what it replays, against the
// one order in which a replica that was always there would have done it.
// SPDX-License-Identifier: Apache-2.0
#include "protocol/round/catch_up.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>

#include "protocol/base/limits.h"
#include "protocol/base/rng.h"

namespace coshard::round {
namespace {

using std::chrono_literals::operator""s;
using std::chrono_literals::operator""ms;

constexpr std::uint32_t kChunks = 3;
constexpr StageIndex kStage{};

NodeId node(std::uint8_t number) { return NodeId{Hash{number}}; }
TimePoint at(Duration since) { return TimePoint(since); }

StageClosed closed(std::uint64_t step, std::uint32_t attempt = 0) {
  return {StepId(step),       kStage,   Attempt(attempt), 64, {{node(1), {MicrobatchIndex(0)}}},
          {node(1), node(2)}, {node(9)}};
}
Commit commit(std::uint64_t step) {
  Commit message;
  message.scalars.step = StepId(step);
  return message;
}
AveragedChunk average(std::uint64_t step, std::uint32_t chunk, std::uint32_t attempt = 0) {
  return {StepId(step), kStage, Attempt(attempt), ChunkIndex(chunk), 1.0};
}
bool everybody(const NodeId&) { return true; }
NodeId reducer(std::uint32_t chunk) { return node(static_cast<std::uint8_t>(1 + chunk % 2)); }

/// Everything of one step, in the order in which it usually comes.
void note(CatchUp& it, std::uint64_t step) {
  it.closed(closed(step));
  for (std::uint32_t chunk = 0; chunk < kChunks; ++chunk)
    EXPECT_EQ(it.average_arrived(reducer(chunk), average(step, chunk)), Arrival::kAccepted);
  EXPECT_TRUE(it.committed(commit(step), at(0s)));
}

/// Answers what the engine would; which steps were applied, in which order.
std::vector<std::uint64_t> replay(CatchUp& it) {
  std::vector<std::uint64_t> applied;
  for (;;) {
    const ParticipantActions set = it.advance();
    if (set.empty()) return applied;
    const auto wanted = std::get<SetAverage>(set.at(0));
    EXPECT_TRUE(it.advance().empty()) << "one thing at a time";
    const auto update = it.average_set({wanted.step, wanted.attempt, {}});
    EXPECT_EQ(std::get<ApplyUpdate>(update.at(0)).scalars.step, wanted.step);
    const auto done = it.update_applied(wanted.step);
    EXPECT_EQ(std::get<Release>(done.at(0)).step, wanted.step);
    applied.push_back(wanted.step.value);
  }
}

TEST(CatchUp, ReplaysWhatCameAfterItsStateAndNothingElse) {
  CatchUp it{StepId(10)};
  for (std::uint64_t step = 11; step <= 14; ++step) note(it, step);
  EXPECT_TRUE(replay(it).empty()) << "there is no state yet";
  const ParticipantActions freed = it.loaded(StepId(12), kChunks);  // a later checkpoint than asked
  EXPECT_EQ(freed.size(), 2U);
  EXPECT_EQ(replay(it), (std::vector<std::uint64_t>{13, 14}));
  EXPECT_EQ(it.applied(), StepId(14));
  note(it, 15);
  EXPECT_EQ(replay(it), (std::vector<std::uint64_t>{15}));
}

/// Averages come from nodes, commits from the coordinator: only each link keeps its order.
TEST(CatchUp, AnyOrderOfLinksEndsInTheSameOrderOfUpdates) {
  for (std::uint64_t seed = 0; seed < 500; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Rng rng(seed, 1);
    CatchUp it{StepId(0)};
    std::vector<std::vector<std::function<void()>>> links(4);
    for (std::uint64_t step = 1; step <= 2; ++step) {  // nobody is further ahead
      links[0].push_back([&, step] { it.closed(closed(step)); });
      links[0].push_back([&, step] { EXPECT_TRUE(it.committed(commit(step), at(0s))); });
      for (std::uint32_t chunk = 0; chunk < kChunks; ++chunk)
        links[1 + chunk % 2].push_back(
            [&, step, chunk] { it.average_arrived(reducer(chunk), average(step, chunk)); });
    }
    links[3].push_back([&] { it.loaded(StepId(0), kChunks); });
    std::vector<std::uint64_t> applied;
    while (std::ranges::any_of(links, [](const auto& link) { return !link.empty(); })) {
      auto& link = links[rng.below(links.size())];
      if (link.empty()) continue;
      link.front()();
      link.erase(link.begin());
      for (const std::uint64_t step : replay(it)) applied.push_back(step);
    }
    EXPECT_EQ(applied, (std::vector<std::uint64_t>{1, 2}));
  }
}

TEST(CatchUp, AStepThatWasMissedCannotBeReplayed) {
  CatchUp it{StepId(10)};
  note(it, 11);
  const auto gap = it.committed(commit(13), at(0s));
  ASSERT_FALSE(gap);
  EXPECT_NE(gap.error().message.find("step 12"), std::string::npos);
  CatchUp other{StepId(10)};
  EXPECT_FALSE(other.committed(commit(11), at(0s))) << "who counted was never said";
}

TEST(CatchUp, OnlyTheAttemptThatTheCoordinatorNamedIsReplayed) {
  CatchUp it{StepId(0)};
  it.loaded(StepId(0), kChunks);
  it.closed(closed(1, 0));
  EXPECT_EQ(it.average_arrived(reducer(0), average(1, 0, 0)), Arrival::kAccepted);
  const ParticipantActions dropped = it.closed(closed(1, 1));  // a contributor was lost
  ASSERT_EQ(dropped.size(), 1U);
  EXPECT_EQ(std::get<DropChunks>(dropped[0]).attempt, Attempt(0));
  EXPECT_EQ(it.average_arrived(reducer(1), average(1, 1, 0)), Arrival::kRepeated);
  EXPECT_EQ(it.average_arrived(node(7), average(1, 1, 1)), Arrival::kRefused) << "no reducer";
  for (std::uint32_t chunk = 0; chunk < kChunks; ++chunk)
    it.average_arrived(reducer(chunk), average(1, chunk, 1));
  EXPECT_TRUE(it.advance().empty()) << "not committed";
  ASSERT_TRUE(it.committed(commit(1), at(0s)));
  EXPECT_EQ(std::get<SetAverage>(it.advance().at(0)).attempt, Attempt(1));
}

TEST(CatchUp, AnAverageThatDoesNotComeIsNoticed) {
  CatchUp it{StepId(0)};
  it.closed(closed(1));
  it.average_arrived(reducer(0), average(1, 0));
  ASSERT_TRUE(it.committed(commit(1), at(2s)));
  EXPECT_FALSE(it.is_stuck(at(60s), 10s, everybody)) << "its state is still on the way";
  it.loaded(StepId(0), kChunks);
  EXPECT_FALSE(it.is_stuck(at(11s), 10s, everybody));
  EXPECT_TRUE(it.is_stuck(at(12s), 10s, everybody));
  const auto without = [](const NodeId& gone) {
    return [gone](const NodeId& other) { return other != gone; };
  };
  EXPECT_TRUE(it.is_stuck(at(2s), 10s, without(reducer(1)))) << "nobody will send it";
  EXPECT_FALSE(it.is_stuck(at(2s), 10s, without(node(7))));
  for (const std::uint32_t chunk : {1U, 2U}) it.average_arrived(reducer(chunk), average(1, chunk));
  EXPECT_FALSE(it.is_stuck(at(60s), 10s, everybody));
}

TEST(CatchUp, WhatComesEarlyForItsFirstStepIsHandedOver) {
  CatchUp it{StepId(4)};
  it.loaded(StepId(4), kChunks);
  const GradientChunk early{StepId(6), kStage, Attempt(0), ChunkIndex(0)};
  EXPECT_EQ(it.contribution_arrived(node(2), early), Arrival::kAccepted) << "ahead of the commit";
  note(it, 5);
  EXPECT_EQ(it.contribution_arrived(node(2), {StepId(5), kStage, Attempt(0), ChunkIndex(0)}),
            Arrival::kRepeated);
  EXPECT_EQ(it.average_arrived(node(1), average(6, 0)), Arrival::kAccepted);
  it.closed(closed(6));
  replay(it);
  CatchUp::Early handed = it.take_early(StepId(6));
  EXPECT_EQ(handed.closed, closed(6));
  ASSERT_EQ(handed.contributions[Attempt(0)].size(), 1U);
  EXPECT_EQ(handed.contributions[Attempt(0)][0], std::pair(node(2), ChunkIndex(0)));
  EXPECT_EQ(handed.averages[Attempt(0)].size(), 1U);
}

TEST(CatchUp, WhatCannotBeTrueIsNotNoted) {
  CatchUp it{StepId(10)};
  EXPECT_EQ(it.average_arrived(node(1), average(13, 0)), Arrival::kRepeated) << "far ahead";
  it.closed(closed(11));
  EXPECT_EQ(it.average_arrived(node(1), average(11, 0, limits::kAttemptsAhead + 1)),
            Arrival::kRefused);
}

/// 300 MB of gradient each 10 s need 60 MB/s, 480 Mbit/s.
TEST(CheckLink, AsksForTwiceTheGradientPerStep) {
  EXPECT_TRUE(check_link(600'000'000, 10s, 300'000'000, 10s));
  const auto slow = check_link(25'000'000, 10s, 300'000'000, 10s);
  ASSERT_FALSE(slow);
  EXPECT_NE(slow.error().message.find("480.0 Mbit/s"), std::string::npos) << slow.error().message;
  EXPECT_NE(slow.error().message.find("found 20.0 Mbit/s"), std::string::npos);
}

}  // namespace
}  // namespace coshard::round
