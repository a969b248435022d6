// Where a round stands according to its journal.
// SPDX-License-Identifier: Apache-2.0
#include "protocol/round/journal.h"

#include <gtest/gtest.h>

#include "tests/unit/round/round_nodes.h"

namespace coshard::round {
namespace {

StepRecord step(std::uint64_t number, std::uint64_t epoch, bool skip = false) {
  StepRecord record;
  record.scalars.step = StepId(number);
  record.scalars.skip = skip;
  record.ledger_epoch = LedgerEpoch(epoch);
  return record;
}

TEST(Journal, AnEmptyOneIsARoundThatHasNotBegun) {
  const JournalState state = replay({});
  EXPECT_EQ(state.generation.value, 0U);
  EXPECT_EQ(state.resume_step().value, 0U);
  EXPECT_FALSE(state.ended.has_value());
}

TEST(Journal, KeepsWhatIsNeededToGoOn) {
  const JournalState state = replay(
      {RoundOpened{Generation(1)}, NodeAssigned{node(1), StageIndex(0), {}, Incarnation(1)},
       step(1, 0), step(2, 0), EpochClosed{LedgerEpoch(0)}, CheckpointRecord{StepId(2), {{}}},
       step(3, 1, true), NodeAssigned{node(1), StageIndex(0), {}, Incarnation(2)}});
  EXPECT_EQ(state.generation.value, 1U);
  EXPECT_EQ(state.seats.at(node(1)).incarnation.value, 2U);
  EXPECT_EQ(state.last_step.value, 3U);
  EXPECT_EQ(state.resume_step().value, 2U);
  EXPECT_EQ(state.next_epoch.value, 2U);
  ASSERT_EQ(state.unclosed.size(), 1U);
  EXPECT_EQ(state.unclosed[0].step().value, 3U);
  EXPECT_EQ(state.skipped_in_a_row, 1U);
}

TEST(Journal, ARoundMayBeginWithTheCheckpointOfAnother) {
  std::vector<JournalRecord> history{CheckpointRecord{StepId(40), {{}}},
                                     RoundOpened{Generation(1)}};
  JournalState state = replay(history);
  EXPECT_EQ(state.beginning.value, 40U);
  EXPECT_EQ(state.last_step.value, 40U);
  EXPECT_EQ(state.newest_step.value, 40U);
  EXPECT_EQ(state.resume_step().value, 40U);
  EXPECT_EQ(state.next_epoch.value, 0U);
  history.push_back(step(41, 0));
  history.push_back(CheckpointRecord{StepId(41), {{}}});
  state = replay(history);
  EXPECT_EQ(state.beginning.value, 40U);
  EXPECT_EQ(state.resume_step().value, 41U);
}

TEST(Journal, ARollbackTakesStepsBackAndAnOpeningForgetsTheEnd) {
  std::vector<JournalRecord> history{RoundOpened{Generation(1)}, step(1, 0),
                                     RoundEnded{EndReason::kStopped, "", StepId(1), StepId(0)},
                                     RoundOpened{Generation(2)},
                                     RolledBack{StepId(0), LedgerEpoch(1)}};
  const JournalState state = replay(history);
  EXPECT_EQ(state.last_step.value, 0U);
  EXPECT_FALSE(state.ended.has_value());
  history.resize(3);
  EXPECT_EQ(replay(history).ended->reason, EndReason::kStopped);
}

}  // namespace
}  // namespace coshard::round
