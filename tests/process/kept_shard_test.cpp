// Rounds of real programs of which the only node of a stage never comes back, nor does its disk:
// what it alone had saved is kept sealed by a node of the other stage, and a stranger with nothing
// takes its seat; in the middle of the round, or after a stop, from which the round goes on where
// it was. The stops need a build with COSHARD_FAILPOINTS, which says when.
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <csignal>
#include <ostream>

#include "node/checkpoint_path.h"
#include "tests/support/bad_links.h"
#include "tests/support/failpoint_fixture.h"
#include "tests/support/round_reference.h"

namespace coshard::test {
namespace {

using std::chrono::seconds;

constexpr auto kPatience = seconds(240);
constexpr auto kStopped = seconds(10);  // what is promised to whoever asks

/// Who is asked to stop, about the sixteenth step, and all end for it; a checkpoint every ten.
struct Asked {
  const char* name;
  bool node;  ///< the only one of stage 1; else the coordinator
  const char* failpoint;
  int passage;
};

void PrintTo(const Asked& asked, std::ostream* out) { *out << asked.name; }

/// The stranger has brought the stage back, and all is as if nothing had been.
void expect_brought_back(RoundFixture& round, std::size_t keeper, std::size_t stranger) {
  ASSERT_EQ(round.coordinator().wait_exit(kPatience), 0) << round.outputs();
  for (const std::size_t i : {keeper, stranger})
    EXPECT_EQ(round.node(i).wait_exit(seconds(30)), 0) << "node " << i << round.outputs();
  expect_same_losses(round, reference_run(round.round(), round.manifest()));
  const ledger::Accounts accounts = expect_verified(round).accounts;
  EXPECT_EQ(accounts.totals().posted + accounts.totals().burnt, accounts.totals().cap);
}

TEST(KeptShard, ANewcomerBringsBackAStageOfWhichNobodyHasTheFile) {
  constexpr std::uint64_t kSaved = 20;
  constexpr std::size_t kKeeper = 0, kLost = 1, kNewcomer = 2;
  RoundFixture round(
      {.stages = 2, .replicas = 1, .steps = 4 * kSaved, .epoch_steps = kSaved, .layers = 4});
  ASSERT_TRUE(round.start_coordinator());
  BadLinks far(round);  // so that the round is not over before the stage is lost
  const LinkFaults late{.delay = std::chrono::milliseconds(5)};
  far.set_home(late, late);
  ASSERT_TRUE(round.start_nodes({{kKeeper, far.handicap()}})) << round.outputs();
  ASSERT_TRUE(wait_for_text(round.coordinator().output_file(),
                            "keeps the shard of stage 1 after step ", kPatience))
      << round.outputs();
  ASSERT_TRUE(round.wait_for_step(kSaved + 5, kPatience));
  round.node(kLost).signal(SIGKILL);
  ASSERT_TRUE(round.node(kLost).wait_exit(seconds(30)).has_value());
  std::filesystem::remove_all(round.node_dir(kLost));
  ASSERT_TRUE(wait_for_text(round.coordinator().output_file(), "keeps it sealed", seconds(30)))
      << round.outputs();
  round.start_node(kNewcomer);
  expect_brought_back(round, kKeeper, kNewcomer);
  EXPECT_GT(round.metrics().size(), 4 * kSaved) << "steps after the checkpoint were done again";
}

class KeptShardProcess : public FailpointTest<Asked> {
 protected:
  /// Until everybody has stopped; the last step that was committed.
  void stop_all() {
    const bool leaves = GetParam().node;
    const Handicap struck = struck_at(GetParam().failpoint, "term", GetParam().passage);
    ASSERT_TRUE(round_.start_coordinator(leaves ? Handicap{} : struck));
    ASSERT_TRUE(round_.start_nodes({{0, {}}, {1, leaves ? struck : Handicap{}}}));
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
  expect_brought_back(round_, 0, 2);
  EXPECT_EQ(round_.metrics().size(), kSteps) << "no step was done twice, and none lost";
}

INSTANTIATE_TEST_SUITE_P(Stops, KeptShardProcess,
                         testing::Values(Asked{"TheCoordinatorIs", false, "commit.half_sent", 31},
                                         Asked{"ItsOwnerIs", true, "update.done", 16}),
                         [](const auto& asked) { return std::string(asked.param.name); });

}  // namespace
}  // namespace coshard::test
