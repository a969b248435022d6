// How the only copy of a shard finds a keeper, and how somebody else brings its stage back, one
// situation after the other; whole rounds run in tests/sim/rollback_sim_test.cpp.
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "tests/unit/round/coordinator_fixture.h"

namespace coshard::round {
namespace {

/// Two stages of one replica: node 0 holds stage 0, node 1 stage 1.
class KeeperTest : public CoordinatorTest {
 protected:
  KeeperTest() {
    config.shape = {2, 1, 1, 16};
    config.ledger_epoch_steps = 1;
    config.stage_patience = 60s;
    config.seal_key = [](StageIndex stage, StepId step) {
      return SealKey{static_cast<std::uint8_t>(1 + stage.value),
                     static_cast<std::uint8_t>(step.value)};
    };
  }
  static Hash saved(std::uint32_t stage) { return {static_cast<std::uint8_t>(10 + stage)}; }
  static Hash sealed(std::uint32_t stage) { return {static_cast<std::uint8_t>(20 + stage)}; }

  void do_step_of_two(std::uint64_t step) {
    for (const std::uint32_t n : {0U, 1U}) {
      if (n == 0) hear(n, MicrobatchPull{StepId(step), 1, 1});
      hear(n, UnitReport{StepId(step), StageIndex(n), {{MicrobatchIndex(0), Attempt(0), 16, 1}}});
    }
    for (const std::uint32_t n : {0U, 1U})
      hear(n, AverageReport{StepId(step), StageIndex(n), Attempt(0), Hash{1}, {8}});
    for (const std::uint32_t n : {0U, 1U}) hear(n, UpdateReport{StepId(step), StageIndex(n), {1}});
  }
  /// Step 1 is committed and saved by both.
  void open_saved() {
    open();
    for (const std::uint32_t n : {0U, 1U}) hear(n, JoinRequest{});
    for (const std::uint32_t n : {0U, 1U}) hear(n, UpdateReport{StepId(0), StageIndex(n), {}});
    do_step_of_two(1);
    for (const std::uint32_t n : {0U, 1U})
      hear(n, CheckpointReport{StepId(1), StageIndex(n), saved(n), 10, ""});
  }
  void answer(std::uint32_t node, std::uint32_t stage, const std::string& error = "") {
    hear(node, ShardSealed{{StepId(1), StageIndex(stage), sealed(stage), 27}, error});
  }
  /// And each keeps the other's shard.
  void open_kept() {
    open_saved();
    for (const std::uint32_t stage : {1U, 0U}) {
      EXPECT_EQ(machine->status().resumable_step.value, 0U) << "it could be lost with its node";
      answer(stage, stage);
      answer(1 - stage, stage);
    }
    ASSERT_EQ(machine->status().resumable_step.value, 1U);
  }
  std::optional<ShardKept> journaled() const {
    std::optional<ShardKept> found;
    for (const auto& record : journal)
      if (const auto* kept = std::get_if<ShardKept>(&record)) found = *kept;
    return found;
  }
  void ask(std::uint32_t n, std::optional<std::uint32_t> holds = {}) {
    JoinRequest request;
    if (holds) request.checkpoints.push_back({StageIndex(*holds), StepId(1), saved(*holds)});
    hear(n, request);
  }
};

TEST_F(KeeperTest, TheOnlyCopyIsSealedAndKeptByAnotherStage) {
  open_saved();
  const auto order = last_to<SealOrder>(1);
  ASSERT_TRUE(order.has_value());
  EXPECT_EQ(*order,
            (SealOrder{StepId(1), StageIndex(1), config.seal_key(StageIndex(1), StepId(1))}));
  EXPECT_FALSE(last_to<KeepOrder>(0).has_value()) << "there is nothing to keep yet";
  answer(1, 1);
  EXPECT_EQ(*last_to<KeepOrder>(0),
            (KeepOrder{{StepId(1), StageIndex(1), sealed(1), 27}, node(1)}));
  EXPECT_FALSE(journaled().has_value());
  answer(0, 1);
  EXPECT_EQ(*journaled(), (ShardKept{{StepId(1), StageIndex(1), sealed(1), 27}, node(0)}));
  for (const auto& action : said)
    if (const auto* send = std::get_if<Send>(&action); send != nullptr && send->to == node(0))
      if (const auto* seal = std::get_if<SealOrder>(&send->message)) {
        EXPECT_EQ(seal->stage.value, 0U) << "a keeper never has the key of what it keeps";
      }
  said.clear();
  pass(limits::kRepeatInterval * 2);
  EXPECT_FALSE(last_to<KeepOrder>(0).has_value()) << "once is enough";
}

TEST_F(KeeperTest, OrdersAreSaidAgainUntilTheyAreAnswered) {
  open_saved();
  said.clear();
  pass(limits::kRepeatInterval * 2);
  EXPECT_TRUE(last_to<SealOrder>(1).has_value());
  answer(1, 1);
  said.clear();
  pass(limits::kRepeatInterval * 2);
  EXPECT_TRUE(last_to<KeepOrder>(0).has_value());
  EXPECT_FALSE(last_to<SealOrder>(1).has_value());
}

TEST_F(KeeperTest, WhatCannotBeKeptWaitsForTheNextCheckpoint) {
  open_saved();
  answer(0, 0);
  answer(1, 0);
  answer(1, 1);
  answer(0, 1, "no space left");
  EXPECT_EQ(machine->status().resumable_step.value, 0U) << "the holder may be lost";
  pass(limits::kSilenceMax + 1100ms);
  EXPECT_EQ(machine->status().resumable_step.value, 1U) << "better than none";
  said.clear();
  pass(limits::kRepeatInterval * 2);
  EXPECT_FALSE(last_to<KeepOrder>(0).has_value());
  do_step_of_two(2);
  for (const std::uint32_t n : {0U, 1U})
    hear(n, CheckpointReport{StepId(2), StageIndex(n), saved(n), 10, ""});
  EXPECT_EQ(last_to<SealOrder>(1)->step.value, 2U);
}

TEST_F(KeeperTest, ANewcomerBringsTheLostStageBack) {
  open_kept();
  happen(PeerLost{node(1), "its house burnt down"});
  ASSERT_EQ(machine->phase(), CoordinatorPhase::kAdmitting);
  EXPECT_NE(machine->status().waiting_for.find("keeps it sealed"), std::string::npos)
      << machine->status().waiting_for;
  ask(7);
  EXPECT_FALSE(last_to<Welcome>(7).has_value()) << "its keeper is not back yet";
  ask(0, 0);
  EXPECT_FALSE(last_to<Welcome>(0)->restores);
  ask(7);
  const auto welcome = last_to<Welcome>(7);
  ASSERT_TRUE(welcome.has_value());
  EXPECT_TRUE(welcome->restores);
  EXPECT_EQ(welcome->stage.value, 1U);
  EXPECT_EQ(welcome->resume_step.value, 1U);
  EXPECT_EQ(welcome->resume_file_hash, saved(1));
  ASSERT_EQ(machine->phase(), CoordinatorPhase::kLoading);
  EXPECT_EQ(*last_to<ShardReturn>(7), (ShardReturn{{StepId(1), StageIndex(1), sealed(1), 27},
                                                   node(0),
                                                   config.seal_key(StageIndex(1), StepId(1)),
                                                   saved(1)}));
  for (const std::uint32_t n : {0U, 7U})
    hear(n, UpdateReport{StepId(1), StageIndex(n == 0 ? 0 : 1), {1}});
  EXPECT_EQ(last_to<StepOpen>(7)->step.value, 2U);
  EXPECT_EQ(last_to<SealOrder>(7), std::nullopt) << "its shard is kept already";
}

TEST_F(KeeperTest, WhoCannotBringItBackIsSentAwayAndTheRoundWaits) {
  open_kept();
  happen(PeerLost{node(1), "silent"});
  ask(0, 0);
  ask(7);
  ASSERT_EQ(machine->phase(), CoordinatorPhase::kLoading);
  said.clear();
  hear(7, ShardSealed{{StepId(1), StageIndex(1), {}, 0}, "not what was sealed"});
  EXPECT_EQ(machine->phase(), CoordinatorPhase::kAdmitting);
  EXPECT_TRUE(last_to<Refused>(7).has_value());
  ask(0, 0);
  ask(8);
  EXPECT_FALSE(last_to<Welcome>(8).has_value()) << "what is kept is of no use";
  ask(1, 1);
  EXPECT_EQ(machine->phase(), CoordinatorPhase::kLoading) << "who held it suffices";
}

/// A seat sticks: nobody collects the stages one after the other.
TEST_F(KeeperTest, ANodeOfAnotherStageNeverGetsIt) {
  open_kept();
  happen(PeerLost{node(1), "silent"});
  ask(0, 0);
  ask(7);
  for (const std::uint32_t n : {0U, 7U})
    hear(n, UpdateReport{StepId(1), StageIndex(n == 0 ? 0 : 1), {1}});
  answer(0, 0);
  answer(7, 0);
  ASSERT_EQ(journaled()->keeper, node(7));
  happen(PeerLost{node(0), "silent"});
  ask(7, 1);
  said.clear();
  ask(1);
  EXPECT_FALSE(last_to<Welcome>(1).has_value()) << "it has had stage 1";
  ask(8);
  ASSERT_TRUE(last_to<Welcome>(8).has_value());
  EXPECT_EQ(last_to<Welcome>(8)->stage.value, 0U);
}

/// A restart of the coordinator does not forget who keeps what.
TEST_F(KeeperTest, TheJournalRemembersTheKeeper) {
  open_kept();
  open(journal);
  JoinRequest claims;
  claims.seat = {Incarnation(1), StepId(1), true};
  for (const std::uint32_t n : {0U, 1U}) hear(n, claims);
  for (const std::uint32_t n : {0U, 1U})
    hear(n, Holdings{StepId(2),
                     MembershipEpoch(machine->status().epoch),
                     StageIndex(n),
                     false,
                     {},
                     {},
                     false});
  ASSERT_EQ(machine->phase(), CoordinatorPhase::kTraining);
  said.clear();
  happen(PeerLost{node(1), "silent"});
  ask(0, 0);
  ask(7);
  EXPECT_TRUE(last_to<Welcome>(7).has_value() && last_to<Welcome>(7)->restores);
}

/// A newer copy is of no use before its checkpoint is complete; until then the older one counts.
TEST_F(KeeperTest, ACheckpointThatIsNotKeptWholeIsNone) {
  open_kept();
  do_step_of_two(2);
  for (const std::uint32_t n : {0U, 1U})
    hear(n, CheckpointReport{StepId(2), StageIndex(n), saved(n), 10, ""});
  for (const std::uint32_t n : {1U, 0U})
    hear(n, ShardSealed{{StepId(2), StageIndex(1), sealed(1), 27}, ""});
  ASSERT_EQ(journaled()->sealed.step.value, 2U);
  happen(PeerLost{node(1), "silent"});
  EXPECT_EQ(*last<RolledBack>(), (RolledBack{StepId(1), LedgerEpoch(2)}));
  ask(0, 0);
  ask(7);
  EXPECT_EQ(last_to<Welcome>(7)->resume_step.value, 1U);
  EXPECT_EQ(last_to<ShardReturn>(7)->sealed.step.value, 1U);
}

// ---- at the end of a life, and after it ---------------------------------------------------------

/// What a stop saves may be the only copy as well, and nobody knows who comes back.
TEST_F(KeeperTest, WhatAStopSavesIsKeptBeforeAnybodyLeaves) {
  config.ledger_epoch_steps = 5;
  open_saved();
  EXPECT_FALSE(last_to<SealOrder>(1).has_value()) << "step 1 was not to be saved";
  happen(Control{ControlVerb::kStop});
  ASSERT_TRUE(last_to<RoundEnd>(1)->checkpoint);
  for (const std::uint32_t n : {0U, 1U})
    hear(n, CheckpointReport{StepId(1), StageIndex(n), saved(n), 10, ""});
  happen(EpochSettled{LedgerEpoch(0)});
  for (const std::uint32_t stage : {0U, 1U}) {
    EXPECT_EQ(machine->phase(), CoordinatorPhase::kEnding);
    EXPECT_EQ(last_to<SealOrder>(stage)->step.value, 1U);
    answer(stage, stage);
    EXPECT_EQ(last_to<KeepOrder>(1 - stage)->holder, node(stage));
    answer(1 - stage, stage);
  }
  ASSERT_TRUE(last<EpochFinished>().has_value());
  happen(EpochSettled{last<EpochFinished>()->epoch});
  ASSERT_EQ(machine->phase(), CoordinatorPhase::kEnded);
  EXPECT_EQ(last<RoundFinished>()->resumable_step.value, 1U);
  EXPECT_EQ(replay(journal).kept.size(), 2U);
}

TEST_F(KeeperTest, ARoundIsFinishedOnceItsLastStateIsKept) {
  config.steps = 1;
  open_saved();
  for (const std::uint32_t stage : {0U, 1U}) {
    EXPECT_FALSE(last_to<RoundEnd>(0).has_value());
    answer(stage, stage);
    answer(1 - stage, stage);
  }
  EXPECT_EQ(last_to<RoundEnd>(0)->reason, EndReason::kFinished);
  EXPECT_EQ(machine->status().resumable_step.value, 1U);
}

/// Who was asked to stop leaves within ten seconds, kept or not.
TEST_F(KeeperTest, AStopDoesNotWaitForEverForAKeeper) {
  config.ledger_epoch_steps = 5;
  open_saved();
  hear(1, LeaveNotice{"stopped by its operator"});
  for (const std::uint32_t n : {0U, 1U})
    hear(n, CheckpointReport{StepId(1), StageIndex(n), saved(n), 10, ""});
  pass(limits::kLeaveTimeout - 100ms);
  EXPECT_FALSE(last<CheckpointComplete>().has_value());
  pass(200ms);
  EXPECT_EQ(last<CheckpointComplete>()->record.step.value, 1U) << "better than none";
  happen(EpochSettled{last<EpochFinished>()->epoch});
  EXPECT_EQ(machine->phase(), CoordinatorPhase::kEnded);
}

/// Everybody was stopped, and one never comes back, nor does its disk.
TEST_F(KeeperTest, WhereNobodyComesBackAnyNodeGetsTheSeatInTheEnd) {
  open_kept();
  happen(Control{ControlVerb::kStop});
  pass(limits::kSettleTimeout + 1s);
  ASSERT_EQ(machine->phase(), CoordinatorPhase::kEnded);
  open(journal);
  said.clear();
  ask(7);
  ask(0, 0);
  EXPECT_EQ(last_to<Welcome>(0)->resume_step.value, 1U);
  pass(limits::kAdmissionTimeout - 1s);
  ask(7);
  EXPECT_FALSE(last_to<Welcome>(7).has_value()) << "who holds the stage may be on its way";
  EXPECT_FALSE(last_to<Refused>(7).has_value()) << "and may not";
  const auto waits = machine->status().waits;
  ASSERT_EQ(waits.size(), 1U) << "stage 0 has its node";
  EXPECT_EQ(sentence(waits[0], now),
            "a node that holds stage 1 after step 1: 59.0 s; in 1.0 s any node may take its seat: "
            "node " +
                node(0).short_hex() + " keeps its shard");
  pass(2s);
  ask(7);
  ASSERT_TRUE(last_to<Welcome>(7).has_value());
  EXPECT_TRUE(last_to<Welcome>(7)->restores);
  ASSERT_EQ(machine->phase(), CoordinatorPhase::kLoading);
  EXPECT_EQ(last_to<ShardReturn>(7)->keeper, node(0));
  for (const std::uint32_t n : {0U, 7U})
    hear(n, UpdateReport{StepId(1), StageIndex(n == 0 ? 0 : 1), {1}});
  EXPECT_EQ(last_to<StepOpen>(7)->step.value, 2U);
}

TEST_F(KeeperTest, WhoComesBackWithTheShardIsFirst) {
  open_kept();
  happen(Control{ControlVerb::kStop});
  pass(limits::kSettleTimeout + 1s);
  open(journal);
  said.clear();
  ask(7);
  ask(0, 0);
  pass(limits::kAdmissionTimeout + 1s);
  ask(1, 1);
  EXPECT_FALSE(last_to<Welcome>(1)->restores);
  ASSERT_EQ(machine->phase(), CoordinatorPhase::kLoading);
  ask(7);
  EXPECT_FALSE(last_to<Welcome>(7).has_value());
}

TEST_F(KeeperTest, WhoHasTooLittleMemoryDoesNotGetIt) {
  config.needs = {{100, 100}, {200, 200}};
  open_kept();
  happen(PeerLost{node(1), "silent"});
  ask(0, 0);
  JoinRequest small;
  small.memory_bytes = 150;
  hear(7, small);
  EXPECT_FALSE(last_to<Welcome>(7).has_value());
  EXPECT_NE(last_to<Refused>(7)->reason.find("stage 1 needs"), std::string::npos);
  small.memory_bytes = 250;
  hear(8, small);
  EXPECT_TRUE(last_to<Welcome>(8)->restores);
}

/// Where a stage has two replicas, both have the file.
TEST_F(KeeperTest, TwoReplicasNeedNoKeeper) {
  config.shape = {2, 2, 2, 16};
  open_training();
  do_step(1);
  for (std::uint32_t n = 0; n < 4; ++n)
    hear(n, CheckpointReport{StepId(1), StageIndex(n % 2), saved(n % 2), 10, ""});
  EXPECT_EQ(machine->status().resumable_step.value, 1U);
  for (std::uint32_t n = 0; n < 4; ++n) EXPECT_FALSE(last_to<SealOrder>(n).has_value());
  happen(PeerLost{node(3), "silent"});
  EXPECT_TRUE(last_to<SealOrder>(1).has_value()) << "now there is one copy alone";
}

}  // namespace
}  // namespace coshard::round
