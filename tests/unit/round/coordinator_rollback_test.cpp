// How a round goes back to a checkpoint, in a coordinator that lives on and in one that comes back,
// one situation after the other; whole rounds run in tests/sim/rollback_sim_test.cpp.
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/unit/round/coordinator_fixture.h"

namespace coshard::round {
namespace {

class RollbackTest : public CoordinatorTest {
 protected:
  /// Step 1 is saved by all, step 2 is committed, step 3 is open.
  void open_with_checkpoint() {
    config.ledger_epoch_steps = 1;
    config.stage_patience = 60s;
    open_training();
    do_step(1);
    save(1);
    do_step(2);
    ASSERT_EQ(machine->status().resumable_step.value, 1U);
  }
  void save(std::uint64_t step) {
    for (std::uint32_t n = 0; n < 4; ++n) hear(n, report(n, step));
  }
  CheckpointReport report(std::uint32_t n, std::uint64_t step) {
    return {StepId(step), StageIndex(n % 2), file_of(n), 10, ""};
  }
  static Hash file_of(std::uint32_t n) { return {static_cast<std::uint8_t>(1 + n % 2)}; }
  /// Asks to be let in, with its stage's file of `step`.
  void ask(std::uint32_t n, std::uint64_t step, std::uint32_t stage) {
    JoinRequest request;
    if (step > 0) request.checkpoints.push_back({StageIndex(stage), StepId(step), file_of(stage)});
    hear(n, request);
  }
  void lose_stage_1() {
    happen(PeerLost{node(1), "silent"});
    said.clear();
    happen(PeerLost{node(3), "silent"});
  }
  std::size_t told(const std::string& text) const {
    return static_cast<std::size_t>(std::count_if(said.begin(), said.end(), [&](const auto& what) {
      const auto* note = std::get_if<Note>(&what);
      return note != nullptr && note->text.find(text) != std::string::npos;
    }));
  }
};

TEST_F(RollbackTest, WhoeverLivesGoesBackAndTheRoundLivesOn) {
  open_with_checkpoint();
  lose_stage_1();
  EXPECT_EQ(machine->phase(), CoordinatorPhase::kAdmitting);
  for (const std::uint32_t n : {0U, 2U}) EXPECT_EQ(last_to<Refused>(n)->code, ErrorCode::kAborted);
  EXPECT_FALSE(last_to<RoundEnd>(0).has_value());
  EXPECT_EQ(*last<RolledBack>(), (RolledBack{StepId(1), LedgerEpoch(2)}));
  EXPECT_EQ(machine->status().last_step.value, 1U);
  EXPECT_EQ(machine->status().newest_step.value, 2U);

  for (const std::uint32_t n : {0U, 2U}) {
    ask(n, 1, 0);
    EXPECT_EQ(last_to<Welcome>(n)->resume_step.value, 1U);
    EXPECT_EQ(last_to<Welcome>(n)->resume_file_hash, file_of(0));
    EXPECT_EQ(last_to<Welcome>(n)->incarnation.value, 2U);
  }
  const std::string waiting = machine->status().waiting_for;
  for (const std::string& word :
       {std::string("a node of stage 1"), std::string("its shard of step 1"), node(1).short_hex(),
        node(3).short_hex(), std::string("one of them suffices")})
    EXPECT_NE(waiting.find(word), std::string::npos) << waiting;
  pass(10s);
  EXPECT_EQ(machine->phase(), CoordinatorPhase::kAdmitting);

  ask(3, 1, 1);
  ASSERT_EQ(machine->phase(), CoordinatorPhase::kLoading) << "one replica is enough to go on";
  for (const std::uint32_t n : {0U, 2U, 3U})
    hear(n, UpdateReport{StepId(1), StageIndex(n % 2), {}});
  ASSERT_EQ(machine->phase(), CoordinatorPhase::kTraining);
  EXPECT_EQ(last_to<StepOpen>(3)->step.value, 2U);
  EXPECT_EQ(machine->status().nodes_lost, 2U) << "who was sent back is not lost";
}

TEST_F(RollbackTest, WithoutACheckpointTheRoundBeginsAnew) {
  config.stage_patience = 60s;
  open_training();
  do_step(1);
  lose_stage_1();
  EXPECT_EQ(last<EpochFinished>()->last_step.value, 1U) << "its work was done";
  EXPECT_EQ(*last<RolledBack>(), (RolledBack{StepId(0), LedgerEpoch(1)}));
  for (const std::uint32_t n : {0U, 2U, 9U}) ask(n, 0, 0);
  EXPECT_EQ(last_to<Welcome>(9)->stage.value, 1U);
  EXPECT_EQ(last_to<Welcome>(9)->resume_step.value, 0U);
  EXPECT_EQ(machine->phase(), CoordinatorPhase::kLoading);
}

/// The lost node was the last that had not saved: what it leaves behind is complete.
TEST_F(RollbackTest, ACheckpointThatWaitedForTheLostOneCounts) {
  open_with_checkpoint();
  for (const std::uint32_t n : {0U, 2U, 3U}) hear(n, report(n, 2));
  EXPECT_EQ(machine->status().resumable_step.value, 1U);
  happen(PeerLost{node(3), "silent"});
  said.clear();
  happen(PeerLost{node(1), "silent"});
  EXPECT_EQ(machine->status().resumable_step.value, 2U);
  EXPECT_FALSE(last<RolledBack>().has_value());
}

TEST_F(RollbackTest, ASurvivorsSeatIsNotGivenAway) {
  open_with_checkpoint();
  lose_stage_1();
  JoinRequest holds_all;
  for (const std::uint32_t stage : {0U, 1U})
    holds_all.checkpoints.push_back({StageIndex(stage), StepId(1), file_of(stage)});
  hear(9, holds_all);
  EXPECT_FALSE(last_to<Welcome>(9).has_value()) << "who lives is on its way";
  ask(0, 1, 0);
  ask(2, 1, 0);
  hear(9, holds_all);
  EXPECT_EQ(last_to<Welcome>(9)->stage.value, 1U);
  EXPECT_EQ(machine->phase(), CoordinatorPhase::kLoading);
}

TEST_F(RollbackTest, WhoLacksTheShardIsLetInOnceTheRoundGoesOn) {
  open_with_checkpoint();
  lose_stage_1();
  for (const std::uint32_t n : {0U, 2U}) ask(n, 1, 0);
  for (int i = 0; i < 3; ++i) hear(9, JoinRequest{});
  EXPECT_FALSE(last_to<Refused>(9).has_value());
  EXPECT_EQ(told("asks to join and waits"), 1U);
  ask(1, 1, 1);
  for (const std::uint32_t n : {0U, 1U, 2U})
    hear(n, UpdateReport{StepId(1), StageIndex(n % 2), {}});
  ASSERT_TRUE(last_to<Welcome>(9).has_value());
  EXPECT_TRUE(last_to<Welcome>(9)->joins);
  EXPECT_EQ(last_to<Welcome>(9)->stage.value, 1U);
}

TEST_F(RollbackTest, WaitingHasALimitAndNamesWhoDidNotCome) {
  open_with_checkpoint();
  lose_stage_1();
  for (const std::uint32_t n : {0U, 2U}) ask(n, 1, 0);
  pass(61s);
  expect_end(EndReason::kNodeLost, {node(3).short_hex(), "silent",
                                    "waited in vain for a node of "
                                    "stage 1",
                                    node(1).short_hex()});
}

/// Who was only frozen, and shows a commit that was given up, is no proof of a lost journal.
TEST_F(RollbackTest, TheNewestStepIsRememberedOverARestart) {
  open_with_checkpoint();
  lose_stage_1();
  const auto history = journal;
  open(history);
  EXPECT_EQ(machine->status().last_step.value, 1U);
  EXPECT_EQ(machine->status().newest_step.value, 2U);
}

/// Everything is written down, and nothing of it told to the ledger, when the coordinator dies.
TEST_F(RollbackTest, TheLedgerHearsOfARollbackThatACrashCutOff) {
  open_with_checkpoint();
  std::vector<JournalRecord> history;
  lose_stage_1();
  for (const auto& record : journal)
    if (!std::holds_alternative<EpochClosed>(record)) history.push_back(record);
  said.clear();
  open(history);
  std::vector<std::string> order;
  for (const auto& action : said) {
    if (const auto* epoch = std::get_if<EpochFinished>(&action))
      order.push_back("epoch " + std::to_string(epoch->epoch.value));
    if (const auto* saved = std::get_if<CheckpointComplete>(&action))
      order.push_back("checkpoint " + std::to_string(saved->record.step.value));
    if (const auto* back = std::get_if<RolledBack>(&action))
      order.push_back("back to " + std::to_string(back->to_step.value));
  }
  EXPECT_EQ(order, (std::vector<std::string>{"epoch 0", "epoch 1", "checkpoint 1", "back to 1",
                                             "checkpoint 1"}));
}

TEST_F(RollbackTest, ResumesAfterTheLastCompleteCheckpointAndRollsBackOnce) {
  config.ledger_epoch_steps = 1;
  open_training();
  for (const std::uint64_t step : {1U, 2U}) do_step(step);
  for (std::uint32_t n = 0; n < 4; ++n)
    hear(n, CheckpointReport{StepId(1), StageIndex(n % 2), Hash{static_cast<std::uint8_t>(n % 2)},
                             10, ""});
  const auto history = journal;
  said.clear();
  open_anew(history);
  EXPECT_EQ(last<CheckpointComplete>()->record.step.value, 1U) << "the ledger may lack it";
  EXPECT_EQ(last<RolledBack>()->to_step.value, 1U);
  EXPECT_EQ(machine->status().generation.value, 2U);
  JoinRequest request;
  hear(1, request);
  EXPECT_EQ(last_to<Refused>(1)->code, ErrorCode::kFailedPrecondition);
  request.checkpoints.push_back({StageIndex(1), StepId(1), Hash{1}});
  hear(1, request);
  EXPECT_EQ(last_to<Welcome>(1)->resume_step.value, 1U);
  EXPECT_EQ(last_to<Welcome>(1)->resume_file_hash, Hash{1});
  EXPECT_EQ(last_to<Welcome>(1)->incarnation.value, 2U);
  // It is written down once, and said until the ledger has closed an epoch after it.
  const RolledBack back = *last<RolledBack>();
  EXPECT_EQ(std::count(journal.begin(), journal.end(), JournalRecord(back)), 1);
  said.clear();
  auto again = journal;
  std::erase_if(again, [](const auto& record) {  // the ledger had none of it when it stopped
    return std::holds_alternative<EpochClosed>(record);
  });
  open(again);
  EXPECT_EQ(last<RolledBack>(), back);
  EXPECT_EQ(last<EpochFinished>()->last_step.value, 2U) << "which the ledger has to close before";
  EXPECT_FALSE(last<Persist>() && std::holds_alternative<RolledBack>(last<Persist>()->record));
  again.push_back(EpochClosed{back.next_epoch});
  said.clear();
  open(again);
  EXPECT_FALSE(last<RolledBack>().has_value());
}

/// A round that goes on from another one's checkpoint, of step 4: nodes 0 and 1 have its shards.
class BeginningTest : public RollbackTest {
 protected:
  void begin() {
    config.stage_patience = 60s;
    config.ledger_epoch_steps = 20;
    open({CheckpointRecord{StepId(4), {{file_of(0), 10}, {file_of(1), 10}}}});
    for (const std::uint32_t n : {0U, 1U}) ask(n, 4, n);
  }
  void load() {
    for (const std::uint32_t n : {0U, 1U}) hear(n, UpdateReport{StepId(4), StageIndex(n), {}});
  }
};

TEST_F(BeginningTest, WhoHoldsAShardLoadsItAndOthersComeInLater) {
  begin();
  for (const std::uint32_t n : {0U, 1U}) {
    EXPECT_EQ(last_to<Welcome>(n)->resume_step.value, 4U);
    EXPECT_EQ(last_to<Welcome>(n)->resume_file_hash, file_of(n));
  }
  ask(2, 0, 0);
  EXPECT_FALSE(last_to<Refused>(2).has_value()) << "it waits";
  EXPECT_EQ(machine->phase(), CoordinatorPhase::kAdmitting) << "one more is to come";
  ask(3, 0, 0);
  ASSERT_EQ(machine->phase(), CoordinatorPhase::kLoading) << "all are here that were wanted";
  load();
  EXPECT_EQ(last_to<StepOpen>(0)->step.value, 5U);
  for (const std::uint32_t n : {2U, 3U}) {
    EXPECT_TRUE(last_to<Welcome>(n)->joins);
    EXPECT_EQ(last_to<Welcome>(n)->resume_step.value, 5U);
  }
}

TEST_F(BeginningTest, AWrongShardIsNone) {
  begin();
  ask(2, 4, 0);
  JoinRequest wrong;
  wrong.checkpoints.push_back({StageIndex(1), StepId(4), Hash{77}});
  hear(3, wrong);
  ASSERT_EQ(machine->phase(), CoordinatorPhase::kLoading);
  EXPECT_FALSE(last_to<Welcome>(3).has_value());
}

/// Nothing of the other round is handed to this one's ledger, and nothing comes before it.
TEST_F(BeginningTest, GoingBackEndsAtTheBeginning) {
  begin();
  for (const std::uint32_t n : {2U, 3U}) ask(n, 4, n % 2);
  load();
  for (const std::uint32_t n : {2U, 3U}) hear(n, UpdateReport{StepId(4), StageIndex(n % 2), {}});
  do_step(5);
  ASSERT_EQ(machine->status().last_step.value, 5U);
  lose_stage_1();
  EXPECT_EQ(*last<RolledBack>(), (RolledBack{StepId(4), LedgerEpoch(1)}));
  EXPECT_EQ(last<EpochFinished>()->first_step.value, 5U);
  for (const std::uint32_t n : {0U, 2U, 3U}) ask(n, 4, n % 2);
  EXPECT_EQ(last_to<Welcome>(3)->resume_step.value, 4U);
}

/// Before a step was committed, whoever lives is as good as one who has just loaded.
TEST_F(BeginningTest, ACrashBeforeTheFirstStepLosesNothing) {
  begin();
  said.clear();
  open(journal);
  for (const std::uint32_t n : {0U, 1U}) {
    JoinRequest claims;
    claims.seat = {Incarnation(1), StepId(4), false};
    hear(n, claims);
    EXPECT_FALSE(last_to<Refused>(n).has_value());
  }
  for (const std::uint32_t n : {2U, 3U}) ask(n, 4, n % 2);
  ASSERT_EQ(machine->phase(), CoordinatorPhase::kLoading);
  load();
  for (const std::uint32_t n : {2U, 3U}) hear(n, UpdateReport{StepId(4), StageIndex(n % 2), {}});
  EXPECT_EQ(last_to<StepOpen>(3)->step.value, 5U);
}

}  // namespace
}  // namespace coshard::round
