// One node dies and another freezes at each place of a step that a death could leave half done
// (protocol/base/failpoint.h), once in the first stage and once in the last: the round comes to
// what an undisturbed one comes to. Needs a build with COSHARD_FAILPOINTS.
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "tests/support/failpoint_fixture.h"
#include "tests/support/round_reference.h"

namespace coshard::test {
namespace {

/// A place of a step, and at which passage it is struck first and, a while later, again. A replica
/// passes most places a few times a step, the rest as noted.
struct Place {
  const char* name;
  const char* failpoint;
  int sooner, later;
};

constexpr Place kPlaces[] = {
    {"BeforeSend", "tensor.send", 5, 11},
    {"MidMessage", "message.half", 60, 150},  // tensors, chunks, receipts
    {"BetweenForwardAndBackward", "backward.begin", 5, 11},
    {"Averaging", "average.reduce", 20, 50},
    {"AverageHalfSent", "average.half_sent", 41, 81},  // odd: sent to one of two
    {"OptimizerStep", "update.half", 65, 125},         // ten or eleven parameters a step
    {"AfterOptimizerStep", "update.done", 7, 14},      // once a step
    {"CheckpointWrite", "checkpoint.half", 5, 65},     // thirty tensors and more a checkpoint
    {"AfterCheckpoint", "checkpoint.saved", 1, 2},     // once in ten steps
};

struct Strike {
  std::size_t node;  ///< 0 holds the first stage, 1 the last
  const char* verb;
  int passage;
};

using Case = std::tuple<Place, bool>;  ///< whether the first stage is killed, or frozen

class FailpointProcess : public FailpointTest<Case> {};

TEST_P(FailpointProcess, TheRoundGoesOnAsIfNothingHadBeen) {
  const auto& [place, first_is_killed] = GetParam();
  RoundFixture round(
      {.stages = 2, .replicas = 3, .steps = 50, .microbatches = 8, .epoch_steps = 10});
  std::map<std::size_t, Handicap> handicaps;
  for (const Strike& strike : {Strike{first_is_killed ? 0U : 1U, "kill", place.sooner},
                               Strike{first_is_killed ? 1U : 0U, "stop", place.later}})
    handicaps[strike.node] = struck_at(place.failpoint, strike.verb, strike.passage);
  ASSERT_TRUE(round.start_coordinator());
  ASSERT_TRUE(round.start_nodes(handicaps)) << round.outputs();
  expect_survived(round, {0, 1});
  const std::size_t killed = first_is_killed ? 0 : 1, frozen = 1 - killed;
  EXPECT_EQ(round.node(killed).wait_exit(std::chrono::seconds(0)), 128 + SIGKILL)
      << "the place was not passed" << round.outputs();
  EXPECT_TRUE(round.node(frozen).is_stopped()) << "the place was not passed" << round.outputs();
  for (const std::size_t node : {killed, frozen})
    EXPECT_EQ(round.node_status(node, "stage"), std::to_string(node));
}

std::string name_of(const testing::TestParamInfo<Case>& info) {
  const auto& [place, first_is_killed] = info.param;
  return std::string(place.name) +
         (first_is_killed ? "KillFirstFreezeLast" : "FreezeFirstKillLast");
}

INSTANTIATE_TEST_SUITE_P(Places, FailpointProcess,
                         testing::Combine(testing::ValuesIn(kPlaces), testing::Bool()), name_of);

}  // namespace
}  // namespace coshard::test
