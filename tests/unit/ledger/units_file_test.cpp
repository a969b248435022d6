// SPDX-License-Identifier: Apache-2.0
#include "ledger/units_file.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/unit/ledger/small_round.h"

namespace coshard::ledger {
namespace {

TEST(UnitsFile, RoundTripInAnyOrder) {
  const SmallRound round;
  EpochSummary summary = round.summary(0, 1, 4);
  summary.members = {{StageIndex(0), round.nodes[0].node(), Incarnation(1)},
                     {StageIndex(1), round.nodes[1].node(), Incarnation(1)}};
  const Bytes bytes = encode_units_file(summary);
  EpochSummary shuffled = summary;
  std::reverse(shuffled.units.begin(), shuffled.units.end());
  std::reverse(shuffled.digests.begin(), shuffled.digests.end());
  std::reverse(shuffled.members.begin(), shuffled.members.end());
  EXPECT_EQ(encode_units_file(shuffled), bytes);
  const auto again = decode_units_file(bytes);
  ASSERT_OK(again);
  EXPECT_EQ(again->units.size(), 4u * 2 * 3);
  EXPECT_EQ(encode_units_file(*again), bytes);
  const EpochClose close = *close_of(round.params, summary);
  EXPECT_EQ(*close_of(round.params, shuffled), close);
  ASSERT_OK(verify_units_file(round.params, close, bytes));
}

TEST(UnitsFile, EveryFlippedByteAndTruncationIsNoticed) {
  const SmallRound round;
  const EpochSummary summary = round.summary(0, 1, 2);
  const Bytes bytes = encode_units_file(summary);
  const EpochClose close = *close_of(round.params, summary);
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    Bytes changed = bytes;
    changed[i] ^= 1;
    EXPECT_ERROR(verify_units_file(round.params, close, changed), ErrorCode::kCorruption);
    EXPECT_ERROR(verify_units_file(round.params, close, ByteView(bytes).first(i)),
                 ErrorCode::kCorruption);
  }
}

TEST(UnitsFile, EachMicrobatchIsCountedExactlyOnce) {
  const SmallRound round;
  const EpochSummary good = round.summary(0, 1, 2);
  const auto refused = [&](auto change, const std::string& why) {
    EpochSummary bad = good;
    change(bad);
    const auto close = close_of(round.params, bad);
    ASSERT_FALSE(close.has_value()) << why;
    EXPECT_NE(close.error().message.find(why), std::string::npos) << close.error().message;
  };
  refused([](EpochSummary& s) { s.units.pop_back(); }, "12 counted units were expected, found 11");
  refused([](EpochSummary& s) { s.units.push_back(s.units.back()); }, "occurs twice");
  refused(
      [](EpochSummary& s) {
        s.units.push_back(s.units.back());
        s.units.back().unit.attempt = Attempt(1);
      },
      "counted a second time");
  refused([](EpochSummary& s) { s.units[0].unit.step = StepId(9); }, "outside the epoch");
  refused([](EpochSummary& s) { s.units[0].unit.stage = StageIndex(2); }, "outside the epoch");
  refused([](EpochSummary& s) { s.units[0].unit.microbatch = MicrobatchIndex(3); }, "outside");
  refused([](EpochSummary& s) { s.digests.push_back(s.digests[0]); }, "digest occurs twice");
  refused([](EpochSummary& s) { s.digests[0].step = StepId(3); }, "digest is outside");
  refused([](EpochSummary& s) { s.last_step = StepId(51); }, "not a range of the round");
  refused([](EpochSummary& s) { s.first_step = StepId(0); }, "not a range of the round");
}

TEST(UnitsFile, RepairsArePaidButNotCounted) {
  const SmallRound round;
  EpochSummary summary = round.summary(0, 1, 2);
  CommittedUnit repair = summary.units[0];
  repair.unit.attempt = Attempt(1);
  repair.node = round.nodes[2].node();
  repair.repair = true;
  summary.units.push_back(repair);
  const auto close = close_of(round.params, summary);
  ASSERT_OK(close);
  EXPECT_EQ(close->units_count, 13u);
  EXPECT_EQ(close->tokens, 2u * 3 * 64) << "tokens of the steps, not of the work";
  std::uint64_t repairs = 0;
  for (const NodeTotal& total : close->totals) repairs += total.repairs;
  EXPECT_EQ(repairs, 1u);
}

}  // namespace
}  // namespace coshard::ledger
