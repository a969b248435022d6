// Journal records: what is written is what is read, and nothing else is read.
// SPDX-License-Identifier: Apache-2.0
#include "node/coordinator/journal_record.h"

#include <gtest/gtest.h>

#include <limits>

namespace coshard::node {
namespace {

std::vector<round::JournalRecord> one_of_each() {
  round::StepRecord step;
  step.scalars.step = StepId(41);
  step.scalars.learning_rate = 1e-3F;
  step.scalars.skip = true;
  step.scalars.fingerprint_key = {1, 2, 3};
  step.ledger_epoch = LedgerEpoch(2);
  step.ends_ledger_epoch = true;
  step.loss_sum = 0.1 + 0.2;
  step.tokens = 8192;
  step.grad_norm = std::numeric_limits<double>::infinity();
  step.seconds = 0.25;
  step.units = {{StageIndex(0), MicrobatchIndex(1), Attempt(0), NodeId{{7}}},
                {StageIndex(1), MicrobatchIndex(1), Attempt(2), NodeId{{8}}}};
  return {round::RoundOpened{Generation(3)},
          round::NodeAssigned{NodeId{{9}}, StageIndex(1), ReplicaIndex(1), Incarnation(5)},
          step,
          round::EpochClosed{LedgerEpoch(2)},
          round::CheckpointRecord{StepId(40), {{Hash{1}, 100}, {Hash{2}, 200}}},
          round::RolledBack{StepId(20), LedgerEpoch(3)},
          round::RoundEnded{EndReason::kNodeLost, "node lost", StepId(41), StepId(40)},
          round::NodeGone{NodeId{{9}}},
          round::DigestsAgreed{StepId(41), {Fingerprint{1}, Fingerprint{2}}},
          round::RoundEnding{{EndReason::kStopped, StepId(41), true, "stopped", false}},
          round::ShardKept{{StepId(40), StageIndex(1), Hash{3}, 300}, NodeId{{9}}}};
}

TEST(JournalRecord, ReadsWhatItWrote) {
  const auto records = one_of_each();
  ASSERT_EQ(records.size(), std::variant_size_v<round::JournalRecord>);
  std::vector<Bytes> encoded;
  for (const auto& record : records) encoded.push_back(encode_record(record));
  EXPECT_EQ(decode_records(encoded).value(), records);
}

TEST(JournalRecord, RefusesEveryOtherLengthVersionAndKind) {
  for (const auto& record : one_of_each()) {
    const Bytes good = encode_record(record);
    for (std::size_t size = 0; size < good.size(); ++size)
      EXPECT_FALSE(decode_record(ByteView(good).first(size))) << size;
    Bytes longer = good;
    longer.push_back(0);
    EXPECT_FALSE(decode_record(longer));
    Bytes other_version = good;
    other_version[0] ^= 0x40;
    EXPECT_FALSE(decode_record(other_version));
    Bytes other_kind = good;
    other_kind[1] = 200;
    EXPECT_FALSE(decode_record(other_kind));
  }
}

TEST(JournalRecord, AFalseCountAllocatesNothing) {
  Bytes record = encode_record(round::CheckpointRecord{StepId(1), {}});
  std::fill(record.end() - 4, record.end(), std::uint8_t{0xFF});
  EXPECT_FALSE(decode_record(record));
}

}  // namespace
}  // namespace coshard::node
