// Nodes that are asked to stop (SIGTERM) in the middle of a round: gone within ten seconds with
// exit code 0, lost by nobody, paid for what counted; the round comes to what an undisturbed one
// comes to. Needs a build with COSHARD_FAILPOINTS where the moment is a place of a step.
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <csignal>

#include "tests/support/failpoint_fixture.h"
#include "tests/support/round_reference.h"

namespace coshard::test {
namespace {

using std::chrono::seconds;

constexpr auto kPatience = seconds(240);
constexpr auto kStopped = seconds(10);  // what is promised to whoever asks
const TinyRound kRound{
    .stages = 2, .replicas = 3, .steps = 50, .microbatches = 8, .epoch_steps = 10};

/// A place that a node passes, and at which passage it is asked to stop.
struct Place {
  const char* name;
  const char* failpoint;
  int passage;
};

constexpr Place kPlaces[] = {
    {"BeforeSend", "tensor.send", 7},          {"BetweenForwardAndBackward", "backward.begin", 7},
    {"Averaging", "average.reduce", 20},       {"OptimizerStep", "update.half", 65},
    {"CheckpointWrite", "checkpoint.half", 5},
};

void expect_stops(RoundFixture& round, std::size_t node) {
  ASSERT_TRUE(wait_for_text(round.node(node).output_file(), "asked to stop", kPatience))
      << "the place was not passed" << round.outputs();
  EXPECT_EQ(round.node(node).wait_exit(kStopped), 0) << "node " << node << round.outputs();
}

void expect_nobody_lost(RoundFixture& round, const std::set<std::size_t>& asked) {
  expect_survived(round, asked);
  const std::string said = round.coordinator().output();
  EXPECT_EQ(said.find("lost node"), std::string::npos) << said;
}

class LeaveProcess : public FailpointTest<Place> {};
using LoadingProcess = FailpointTest<Place>;

/// One node of the first stage and one of the last.
TEST_P(LeaveProcess, WhoLeavesIsMissedByNobody) {
  RoundFixture round(kRound);
  const Handicap asked = struck_at(GetParam().failpoint, "term", GetParam().passage);
  ASSERT_TRUE(round.start_coordinator());
  ASSERT_TRUE(round.start_nodes({{0, asked}, {1, asked}})) << round.outputs();
  for (const std::size_t i : {0U, 1U}) {
    expect_stops(round, i);
    EXPECT_EQ(round.node_status(i, "stage"), std::to_string(i));
  }
  expect_nobody_lost(round, {0, 1});
}

std::string name_of(const testing::TestParamInfo<Place>& info) { return info.param.name; }

INSTANTIATE_TEST_SUITE_P(Places, LeaveProcess, testing::ValuesIn(kPlaces), name_of);

/// Its seat is free again before the others have come.
TEST_F(LoadingProcess, WhileOthersAreWaitedFor) {
  RoundFixture round(kRound);
  const Handicap asked = struck_at("stage.raise", "term", 1);
  ASSERT_TRUE(round.start_coordinator());
  ASSERT_TRUE(round.start_nodes({{0, asked}, {1, asked}})) << round.outputs();
  for (const std::size_t i : {0U, 1U}) expect_stops(round, i);
  for (const std::size_t i : {6U, 7U}) round.start_node(i);
  expect_nobody_lost(round, {0, 1});
}

/// Everybody was there, and loads: the round begins without it.
TEST_F(LoadingProcess, WhileAllLoad) {
  RoundFixture round(kRound);
  ASSERT_TRUE(round.start_coordinator());
  ASSERT_TRUE(round.start_nodes({{5, struck_at("stage.raise", "term", 1)}})) << round.outputs();
  expect_stops(round, 5);
  expect_nobody_lost(round, {5});
}

/// Nobody can answer: it goes all the same, and the round goes on without it.
TEST(Leave, WhileTheCoordinatorIsDead) {
  RoundFixture round(kRound);
  ASSERT_TRUE(round.start_coordinator() && round.start_nodes({{0, {}}, {1, {}}}));
  ASSERT_TRUE(round.wait_for_step(5, kPatience)) << round.outputs();
  round.coordinator().signal(SIGKILL);
  ASSERT_TRUE(round.coordinator().wait_exit(kPatience).has_value());
  for (const std::size_t i : {0U, 1U}) round.node(i).signal(SIGTERM);
  for (const std::size_t i : {0U, 1U})
    EXPECT_EQ(round.node(i).wait_exit(kStopped), 0) << "node " << i << round.outputs();
  ASSERT_TRUE(round.start_coordinator());
  expect_survived(round, {0, 1});
}

/// A microbatch that takes longer than the promise holds nobody.
TEST(Leave, InTheMiddleOfALongMicrobatch) {
  RoundFixture round({.stages = 2, .replicas = 2});
  ASSERT_TRUE(round.start_coordinator());
  Handicap slow{
      .environment = {{"COSHARD_PACE", "60000 0 0 1 " + (round.path() / "none").string()}},
      .program = "coshard-paced-node"};
  ASSERT_TRUE(round.start_nodes({{0, slow}, {1, slow}, {2, slow}, {3, slow}})) << round.outputs();
  FolderWatch watch({round.node_dir(0)});
  ASSERT_TRUE(
      watch.wait_until([&] { return round.node_status(0, "activity") == "computing"; }, kPatience))
      << round.outputs();
  round.node(0).signal(SIGTERM);
  EXPECT_EQ(round.node(0).wait_exit(kStopped), 0) << round.outputs();
  EXPECT_NE(round.coordinator().output().find(" has left"), std::string::npos) << round.outputs();
}

}  // namespace
}  // namespace coshard::test
