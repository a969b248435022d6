// Whole rounds with the real programs on loopback: CURVE, journal, ledger, checkpoints, and what
// happens when a node is lost.
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "tests/support/round_fixture.h"
#include "tests/support/round_reference.h"

namespace coshard::test {
namespace {

using std::chrono::seconds;
using SteadyClock = std::chrono::steady_clock;

constexpr auto kPatience = seconds(240);

/// The round is over and every program ended with 0.
void expect_finished(RoundFixture& round) {
  ASSERT_EQ(round.coordinator().wait_exit(kPatience), 0) << round.outputs();
  for (std::size_t i = 0; i < round.node_count(); ++i)
    EXPECT_EQ(round.node(i).wait_exit(seconds(20)), 0) << "node " << i << "\n" << round.outputs();
}

TEST(Round, TwoStagesTrainLikeOneProcessBitForBit) {
  RoundFixture round({.stages = 2, .replicas = 1, .steps = 7, .epoch_steps = 3});
  ASSERT_TRUE(round.start_all());
  expect_finished(round);
  const ReferenceRun reference = reference_run(round.round(), round.manifest());
  expect_same_bits(round, reference);
  EXPECT_LT(reference.lines.back().loss, reference.lines.front().loss);

  const ledger::VerifiedLedger log = expect_verified(round);
  const ledger::UnitTotals totals = log.accounts.totals();
  EXPECT_EQ(totals.posted + totals.burnt, totals.cap);
  EXPECT_EQ(totals.pending, 0U);
  EXPECT_EQ(log.accounts.epochs().size(), 3U);
  EXPECT_EQ(log.accounts.balances().size(), 2U);
}

TEST(Round, TwoReplicasFollowTheLossOfOneProcess) {
  RoundFixture round({.stages = 2, .replicas = 2, .steps = 6, .microbatches = 8});
  ASSERT_TRUE(round.start_all());
  expect_finished(round);
  expect_same_losses(round, reference_run(round.round(), round.manifest()));

  // Every claim is its node's own, with receipts that both ends signed.
  const ledger::VerifiedLedger log = expect_verified(round);
  std::size_t batches = 0;
  for (const ledger::VerifiedEntry& entry : log.entries) {
    const auto* batch = std::get_if<ledger::WorkBatch>(&entry.body.leaf);
    if (batch == nullptr) continue;
    ++batches;
    EXPECT_EQ(entry.body.author, batch->node);
    EXPECT_EQ(batch->countersigned, batch->receipts);
    EXPECT_EQ(batch->receipts, batch->units);  // a unit of two stages sends one tensor
  }
  EXPECT_GE(batches, 4U);
}

/// A coordinator that does not wait for a stage that was lost.
const Handicap kImpatient{.flags = {"--stage-patience", "0"}};

/// Ends node 1 in the middle of a run, then goes on with the same folders.
void lose_a_node_and_resume(int signal_number) {
  RoundFixture round({.stages = 2, .replicas = 1, .steps = 400, .epoch_steps = 2});
  ASSERT_TRUE(round.start_coordinator(kImpatient) && round.start_nodes());
  ASSERT_TRUE(round.wait_for_step(5, kPatience)) << round.outputs();
  const auto lost_at = SteadyClock::now();
  round.node(1).signal(signal_number);
  ASSERT_TRUE(wait_for_text(round.coordinator().output_file(), "lost node ", seconds(20)))
      << round.outputs();
  EXPECT_LT(SteadyClock::now() - lost_at, seconds(5)) << "a loss is named within 5 s";
  ASSERT_EQ(round.coordinator().wait_exit(kPatience), 3) << round.outputs();
  EXPECT_EQ(round.node(0).wait_exit(seconds(20)), 3) << round.outputs();
  const std::string said = round.coordinator().output();
  const std::string lost_node = round.node_status(1, "node");
  EXPECT_NE(said.find("lost node " + lost_node + " (stage "), std::string::npos) << said;
  EXPECT_NE(said.find(", replica 0) at tcp://127.0.0.1:"), std::string::npos) << said;
  EXPECT_NE(said.find("it can go on from step "), std::string::npos) << said;
  EXPECT_NE(said.find("coshard-coordinator --round "), std::string::npos) << said;
  round.node(1).signal(SIGKILL);
  ASSERT_TRUE(round.node(1).wait_exit(seconds(20)).has_value());
  expect_verified(round);
}

TEST(Round, AKilledNodeIsNamedWithinFiveSeconds) { lose_a_node_and_resume(SIGKILL); }
TEST(Round, AFrozenNodeIsNamedWithinFiveSeconds) { lose_a_node_and_resume(SIGSTOP); }

TEST(Round, AResumedRoundEndsWithTheBitsOfAnUninterruptedOne) {
  RoundFixture round({.stages = 2, .replicas = 1, .steps = 60, .epoch_steps = 2});
  ASSERT_TRUE(round.start_coordinator(kImpatient) && round.start_nodes());
  ASSERT_TRUE(round.wait_for_step(5, kPatience)) << round.outputs();
  round.node(1).signal(SIGKILL);
  ASSERT_EQ(round.coordinator().wait_exit(kPatience), 3) << round.outputs();
  ASSERT_TRUE(round.node(0).wait_exit(seconds(20)).has_value());
  ASSERT_TRUE(round.start_all()) << round.outputs();
  expect_finished(round);
  expect_same_bits(round, reference_run(round.round(), round.manifest()));
  const ledger::VerifiedLedger log = expect_verified(round);
  EXPECT_EQ(log.accounts.totals().posted + log.accounts.totals().burnt, log.accounts.totals().cap);
}

}  // namespace
}  // namespace coshard::test
