// A replica moves from a rich stage to a poor one, in real programs whose engines wait instead of
// computing: the round goes on through it, and nobody moves back.
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "protocol/base/limits.h"
#include "tests/support/round_fixture.h"
#include "tests/support/round_reference.h"

namespace coshard::test {
namespace {

using std::chrono::seconds;

/// Steps in which the move comes to be wanted; that no other may follow in; in which one back would
/// come to be wanted; and some.
constexpr std::uint64_t kSteps = 40 + limits::kMovePauseSteps + 2 * limits::kMoveAfterSteps;

/// Whoever holds the last stage is three times as slow there: with a fourth replica that stage is a
/// third stronger, and with a fifth it would leave the other one the weaker.
class MoveProcess : public testing::Test {
 protected:
  Handicap paced(std::size_t node) {
    const Path own = round_.path() / ("slow-" + std::to_string(node));
    return {.environment = {{"COSHARD_PACE", "4 6 1 3 " + own.string()}},
            .program = "coshard-paced-node"};
  }
  std::size_t times_said(const std::string& what) {
    return count_of(round_.coordinator().output(), what);
  }
  /// Who was admitted a second time.
  std::optional<std::size_t> who_moved() {
    for (std::size_t i = 0; i < round_.node_count(); ++i)
      if (count_of(round_.node(i).output(), "admitted to") > 1) return i;
    return std::nullopt;
  }
  std::uint64_t units_of(std::size_t node, StageIndex stage) {
    const ledger::Accounts accounts = expect_verified(round_).accounts;
    std::uint64_t units = 0;
    for (const ledger::EpochState& epoch : accounts.epochs())
      for (const ledger::NodeTotal& total : epoch.close.totals)
        if (total.node.hex() == round_.node_status(node, "node") && total.stage == stage)
          units += total.units;
    return units;
  }

  RoundFixture round_{{.stages = 2,
                       .replicas = 3,
                       .steps = kSteps,
                       .microbatches = 6,
                       .epoch_steps = 20,
                       .replicas_max = 4}};
};

TEST_F(MoveProcess, AReplicaOfTheRichStageComesToThePoorOneAndStays) {
  ASSERT_TRUE(round_.start_coordinator({.flags = {"--move-patience", "1"}}));
  std::map<std::size_t, Handicap> all;
  for (std::size_t node = 0; node < round_.seats(); ++node) all[node] = paced(node);
  ASSERT_TRUE(round_.start_nodes(all)) << round_.outputs();
  ASSERT_TRUE(wait_for_text(round_.coordinator().output_file(), " works from step ", seconds(120)))
      << round_.outputs();
  const auto moved = who_moved();
  ASSERT_TRUE(moved.has_value()) << round_.outputs();
  EXPECT_EQ(*moved % 2, 0U) << "it was of the first stage";
  expect_done_once(round_, {*moved});
  EXPECT_EQ(round_.node(*moved).wait_exit(seconds(30)), 0) << round_.outputs();

  EXPECT_EQ(times_said(" moves to stage "), 1U) << round_.outputs();
  EXPECT_EQ(times_said(" moves to stage 1"), 1U) << round_.outputs();
  EXPECT_EQ(times_said(" works from step "), 1U) << round_.outputs();
  EXPECT_EQ(times_said("lost node"), 0U) << round_.outputs();
  EXPECT_EQ(count_of(round_.node(*moved).output(), "admitted to"), 2U) << round_.outputs();
  EXPECT_EQ(count_of(round_.node(*moved).output(), "copies the state of stage 1"), 1U);
  EXPECT_EQ(round_.node_status(*moved, "stage"), "1");
  EXPECT_GT(units_of(*moved, StageIndex(0)), 0U) << "it worked before";
  EXPECT_GT(units_of(*moved, StageIndex(1)), 0U) << "and after";
}

}  // namespace
}  // namespace coshard::test
