// The coordinator freezes, and later dies, while a node of the first stage or of the last is at a
// place of a step that could be left half done (protocol/base/failpoint.h), and at each of its own:
// the round comes to what an undisturbed one comes to, and no node is lost or started again. Needs
// a build with COSHARD_FAILPOINTS.
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <map>

#include "tests/support/failpoint_fixture.h"
#include "tests/support/round_reference.h"

namespace coshard::test {
namespace {

constexpr auto kPatience = std::chrono::seconds(120);

/// The coordinator was killed, and another one takes over.
void replace_killed_coordinator(RoundFixture& round) {
  ASSERT_EQ(round.coordinator().wait_exit(kPatience), 128 + SIGKILL)
      << "the place was not passed" << round.outputs();
  ASSERT_TRUE(round.start_coordinator()) << round.outputs();
}

/// The coordinator was frozen, and goes on when it has been given up.
void thaw_missed_coordinator(RoundFixture& round) {
  ASSERT_TRUE(wait_for_text(round.node(0).output_file(), "the coordinator is gone", kPatience))
      << "the place was not passed" << round.outputs();
  ASSERT_TRUE(round.coordinator().is_stopped());
  round.coordinator().signal(SIGCONT);
}

/// A place of a step that nodes come by: at which passage one freezes the coordinator and, many
/// steps later, another kills it. While it is frozen nobody comes further than a step.
struct Place {
  const char* name;
  const char* failpoint;
  int freezes, kills;
};

constexpr Place kPlaces[] = {
    {"BeforeSend", "tensor.send", 16, 70},
    {"MidMessage", "message.half", 60, 200},
    {"BetweenForwardAndBackward", "backward.begin", 16, 70},
    {"Averaging", "average.reduce", 8, 40},
    {"OptimizerStep", "update.half", 65, 245},
    {"CheckpointWrite", "checkpoint.half", 5, 65},
};

using MissedCase = std::tuple<Place, bool>;  ///< whether the first stage kills, or freezes

class MissedCoordinatorProcess : public FailpointTest<MissedCase> {};

TEST_P(MissedCoordinatorProcess, TheRoundGoesOnAsIfNothingHadBeen) {
  const auto& [place, first_kills] = GetParam();
  RoundFixture round(
      {.stages = 2, .replicas = 3, .steps = 50, .microbatches = 8, .epoch_steps = 10});
  ASSERT_TRUE(round.start_coordinator());
  // Any node of the stage may do it: work goes where it is done soonest.
  std::map<std::size_t, Handicap> strikes;
  for (const std::size_t stage : {0U, 1U}) {
    const bool kills = (stage == 0) == first_kills;
    const Path pid_file = round.path() / (kills ? "killed.pid" : "frozen.pid");
    write_text(pid_file, std::to_string(round.coordinator().pid()));
    for (const std::size_t node : {stage, stage + 2, stage + 4})
      strikes[node] = struck_at(place.failpoint, kills ? "kill" : "stop",
                                kills ? place.kills : place.freezes, pid_file);
  }
  ASSERT_TRUE(round.start_nodes(strikes)) << round.outputs();
  ASSERT_NO_FATAL_FAILURE(thaw_missed_coordinator(round));
  ASSERT_NO_FATAL_FAILURE(replace_killed_coordinator(round));
  expect_survived(round, {});
  for (const auto& [node, strike] : strikes)
    EXPECT_EQ(round.node_status(node, "stage"), std::to_string(node % 2));
}

std::string name_of_missed(const testing::TestParamInfo<MissedCase>& info) {
  const auto& [place, first_kills] = info.param;
  return std::string(place.name) +
         (first_kills ? "LastFreezesFirstKills" : "FirstFreezesLastKills");
}

INSTANTIATE_TEST_SUITE_P(Places, MissedCoordinatorProcess,
                         testing::Combine(testing::ValuesIn(kPlaces), testing::Bool()),
                         name_of_missed);

/// Of the coordinator: at which passage it is struck, in the middle of the round.
struct Desk {
  const char* name;
  const char* failpoint;
  int passage;
};

constexpr Desk kDesks[] = {
    {"CloseHalfSent", "close.half_sent", 62},    // six a step
    {"BeforeTheJournal", "journal.write", 33},   // once a step, after seven that admit
    {"AfterTheJournal", "journal.written", 33},  //
    {"CommitHalfSent", "commit.half_sent", 99},  // six a step
    {"EpochClosed", "epoch.closed", 2},          // once in ten steps
};

using DeskCase = std::tuple<Desk, bool>;  ///< whether it is killed, or frozen

class CoordinatorFailpointProcess : public FailpointTest<DeskCase> {};

TEST_P(CoordinatorFailpointProcess, TheRoundGoesOnAsIfNothingHadBeen) {
  const auto& [desk, killed] = GetParam();
  RoundFixture round(
      {.stages = 2, .replicas = 3, .steps = 50, .microbatches = 8, .epoch_steps = 10});
  ASSERT_TRUE(
      round.start_coordinator(struck_at(desk.failpoint, killed ? "kill" : "stop", desk.passage)));
  ASSERT_TRUE(round.start_nodes()) << round.outputs();
  if (killed)
    replace_killed_coordinator(round);
  else
    thaw_missed_coordinator(round);
  expect_survived(round, {});
}

std::string name_of_desk(const testing::TestParamInfo<DeskCase>& info) {
  const auto& [desk, killed] = info.param;
  return std::string(desk.name) + (killed ? "Kill" : "Freeze");
}

INSTANTIATE_TEST_SUITE_P(Desks, CoordinatorFailpointProcess,
                         testing::Combine(testing::ValuesIn(kDesks), testing::Bool()),
                         name_of_desk);

}  // namespace
}  // namespace coshard::test
