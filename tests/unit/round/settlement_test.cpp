// Digests, checkpoints and epochs after the commit.
// SPDX-License-Identifier: Apache-2.0
#include "protocol/round/settlement.h"

#include <gtest/gtest.h>

#include "tests/unit/round/round_nodes.h"

namespace coshard::round {
namespace {

const StageMembers kMembers{{node(0), node(1)}, {node(2)}};

StepRecord step(std::uint64_t number, bool ends_epoch = false, bool checkpoint = false) {
  StepRecord record;
  record.scalars.step = StepId(number);
  record.ends_ledger_epoch = ends_epoch;
  record.checkpoint = checkpoint;
  return record;
}
UpdateReport update(std::uint64_t number, std::uint32_t stage, std::uint8_t digest) {
  return {StepId(number), StageIndex(stage), {digest}};
}
CheckpointReport saved(std::uint64_t number, std::uint32_t stage, std::uint8_t hash,
                       std::string error = "") {
  return {StepId(number), StageIndex(stage), Hash{hash}, 100, std::move(error)};
}

TEST(Settlement, AnEpochIsTakenWhenTheDigestsOfAllItsStepsAreIn) {
  Settlement settlement(2);
  settlement.committed(step(1));
  settlement.committed(step(2, true));
  settlement.committed(step(3));
  for (const std::uint64_t s : {1U, 2U}) {
    EXPECT_EQ(settlement.digest(node(0), update(s, 0, 1)), Entry::kEntered);
    EXPECT_EQ(settlement.digest(node(0), update(s, 0, 1)), Entry::kRepeated);
    EXPECT_TRUE(settlement.take_epoch(kMembers, false).empty());
    EXPECT_EQ(settlement.digest(node(1), update(s, 0, 1)), Entry::kEntered);
    EXPECT_EQ(settlement.digest(node(2), update(s, 1, 9)), Entry::kEntered);
  }
  EXPECT_FALSE(settlement.digests_in(kMembers));  // step 3
  const auto steps = settlement.take_epoch(kMembers, false);
  ASSERT_EQ(steps.size(), 2U);
  EXPECT_EQ(steps[1].record.step().value, 2U);
  EXPECT_EQ(steps[1].digests[1], Fingerprint{9});
  EXPECT_EQ(settlement.digest(node(0), update(2, 0, 1)), Entry::kStale);
  EXPECT_TRUE(settlement.take_epoch(kMembers, true).empty());
  settlement.end_epoch();
  const auto rest = settlement.take_epoch(kMembers, true);
  ASSERT_EQ(rest.size(), 1U);
  EXPECT_FALSE(rest[0].digests[0].has_value());
}

TEST(Settlement, ReplicasThatDisagreeAreNamed) {
  Settlement settlement(2);
  settlement.committed(step(1, false, true));
  settlement.digest(node(0), update(1, 0, 1));
  EXPECT_EQ(settlement.digest(node(1), update(1, 0, 2)), Entry::kConflict);
  EXPECT_NE(settlement.conflict().find(node(0).short_hex()), std::string::npos);
  EXPECT_NE(settlement.conflict().find(node(1).short_hex()), std::string::npos);
  settlement.checkpoint(node(0), saved(1, 0, 1));
  EXPECT_EQ(settlement.checkpoint(node(1), saved(1, 0, 2)), Entry::kConflict);
}

TEST(Settlement, ACheckpointIsCompleteWhenEveryStageHasAFileAndEverybodyAnswered) {
  Settlement settlement(2);
  settlement.committed(step(1, false, true));
  settlement.checkpoint(node(0), saved(1, 0, 1));
  settlement.checkpoint(node(2), saved(1, 1, 5));
  EXPECT_FALSE(settlement.take_checkpoint(kMembers).has_value());
  EXPECT_FALSE(settlement.checkpoints_in(kMembers));
  settlement.checkpoint(node(1), saved(1, 0, 0, "disk full"));
  const auto record = settlement.take_checkpoint(kMembers);
  ASSERT_TRUE(record.has_value());
  EXPECT_EQ(record->stages[0].file_hash, Hash{1});
  EXPECT_EQ(record->stages[1].bytes, 100U);
  EXPECT_TRUE(settlement.checkpoints_in(kMembers));
  EXPECT_FALSE(settlement.take_checkpoint(kMembers).has_value());
}

TEST(Settlement, AStageWithoutAFileMakesNoCheckpoint) {
  Settlement settlement(2);
  settlement.committed(step(1, false, true));
  settlement.checkpoint(node(0), saved(1, 0, 1));
  settlement.checkpoint(node(1), saved(1, 0, 1));
  settlement.checkpoint(node(2), saved(1, 1, 0, "disk full"));
  EXPECT_FALSE(settlement.take_checkpoint(kMembers).has_value());
  EXPECT_TRUE(settlement.checkpoints_in(kMembers)) << "nobody is waited for";
}

TEST(Settlement, WhoJoinedLaterOwesNothingOfWhatCameBefore) {
  Settlement settlement(2);
  settlement.committed(step(1, false, true));
  settlement.committed(step(2, true));
  for (const std::uint64_t s : {1U, 2U}) {
    settlement.digest(node(0), update(s, 0, 1));
    settlement.digest(node(2), update(s, 1, 9));
  }
  settlement.checkpoint(node(0), saved(1, 0, 5));
  settlement.checkpoint(node(2), saved(1, 1, 6));
  EXPECT_FALSE(settlement.digests_in(kMembers));
  EXPECT_FALSE(settlement.take_checkpoint(kMembers).has_value());
  settlement.joined(node(1), StepId(3));
  EXPECT_TRUE(settlement.has_digest(StepId(1), node(1)));
  EXPECT_FALSE(settlement.has_digest(StepId(2), node(1))) << "its update may be on the way still";
  EXPECT_TRUE(settlement.take_checkpoint(kMembers).has_value());
  EXPECT_TRUE(settlement.take_epoch(kMembers, false).empty());
  EXPECT_EQ(settlement.digest(node(1), update(2, 0, 1)), Entry::kEntered);
  EXPECT_EQ(settlement.take_epoch(kMembers, false).size(), 2U);
  EXPECT_EQ(settlement.digest_of(StepId(2), StageIndex(1)), Fingerprint{9})
      << "known although it is settled";
  EXPECT_FALSE(settlement.digest_of(StepId(3), StageIndex(1)).has_value());
}

}  // namespace
}  // namespace coshard::round
