// Rounds of real programs that are stopped, and of which one node never comes back, nor does its
// disk: what it alone had saved when it stopped is kept sealed by a node of the other stage, a
// stranger with nothing takes its seat, and the round goes on where it stopped. Needs a build with
// COSHARD_FAILPOINTS, which says when.
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <ostream>

#include "node/checkpoint_path.h"
#include "tests/support/round_fixture.h"
#include "tests/support/round_reference.h"

namespace coshard::test {
namespace {

using std::chrono::seconds;

constexpr auto kPatience = seconds(240);
constexpr auto kStopped = seconds(10);  // what is promised to whoever asks

/// Who is asked to stop, about the sixteenth step, and all end for it; a checkpoint every ten.
struct Asked {
  const char* name;
  const char* coordinator;
  const char* node;  ///< the only one of stage 1
};

void PrintTo(const Asked& asked, std::ostream* out) { *out << asked.name; }

Handicap with_failpoint(const char* failpoint) {
  Handicap handicap;
  if (*failpoint != '\0') handicap.environment = {{"COSHARD_FAILPOINTS", failpoint}};
  return handicap;
}

class KeptShardProcess : public testing::TestWithParam<Asked> {
  void SetUp() override {
#ifndef COSHARD_FAILPOINTS
    GTEST_SKIP() << "this build has no failpoints; configure with -DCOSHARD_FAILPOINTS=ON";
#endif
  }

 protected:
  /// Until everybody has stopped; the last step that was committed.
  void stop_all() {
    const bool leaves = *GetParam().node != '\0';
    ASSERT_TRUE(round_.start_coordinator(with_failpoint(GetParam().coordinator)));
    ASSERT_TRUE(round_.start_nodes({{0, {}}, {1, with_failpoint(GetParam().node)}}));
    ChildProcess& asked = leaves ? round_.node(1) : round_.coordinator();
    ASSERT_TRUE(
        wait_for_text(asked.output_file(), leaves ? "asked to stop" : "the round ends", kPatience))
        << round_.outputs();
    EXPECT_EQ(round_.node(1).wait_exit(kStopped), leaves ? 0 : 3) << round_.outputs();
    EXPECT_EQ(round_.node(0).wait_exit(kStopped), 3) << round_.outputs();
    EXPECT_EQ(round_.coordinator().wait_exit(kStopped), 3) << round_.outputs();
  }

  static constexpr std::uint64_t kSteps = 30;
  RoundFixture round_{{.stages = 2, .replicas = 1, .steps = kSteps, .epoch_steps = 10}};
};

TEST_P(KeptShardProcess, AStrangerTakesTheSeatAndTheRoundGoesOnWhereItStopped) {
  stop_all();
  if (HasFailure()) return;
  const StepId last(round_.metrics().back().step);
  ASSERT_LT(last.value, kSteps);
  const Path kept = node::checkpoint_path(round_.node_dir(0) / "checkpoints", last, StageIndex(1))
                        .replace_extension(".sealed");
  EXPECT_TRUE(std::filesystem::exists(kept)) << kept << round_.outputs();
  std::filesystem::remove_all(round_.node_dir(1));
  Handicap hurried;
  hurried.flags = {"--admission-patience", "2"};
  ASSERT_TRUE(round_.start_coordinator(hurried)) << round_.outputs();
  round_.start_node(2);
  round_.start_node(0);
  ASSERT_EQ(round_.coordinator().wait_exit(kPatience), 0) << round_.outputs();
  for (const std::size_t i : {0U, 2U})
    EXPECT_EQ(round_.node(i).wait_exit(seconds(30)), 0) << "node " << i << round_.outputs();
  EXPECT_EQ(round_.metrics().size(), kSteps) << "no step was done twice, and none lost";
  expect_same_losses(round_, reference_run(round_.round(), round_.manifest()));
  const ledger::Accounts accounts = expect_verified(round_).accounts;
  EXPECT_EQ(accounts.totals().posted + accounts.totals().burnt, accounts.totals().cap);
}

INSTANTIATE_TEST_SUITE_P(Stops, KeptShardProcess,
                         testing::Values(Asked{"TheCoordinatorIs", "commit.half_sent=term@31", ""},
                                         Asked{"ItsOwnerIs", "", "update.done=term@16"}),
                         [](const auto& asked) { return std::string(asked.param.name); });

}  // namespace
}  // namespace coshard::test
