// The coordinator's machine, where a unit is not finite: done elsewhere, then by zeros; what cannot
// be taken back costs a seat; skipped updates in a row pause the round.
// SPDX-License-Identifier: Apache-2.0
#include <limits>

#include "tests/unit/round/coordinator_fixture.h"

namespace coshard::round {
namespace {

TEST_F(CoordinatorTest, WhatIsNotFiniteIsDoneElsewhereAndAtASecondReplicaZerosTakeItsPlace) {
  open_training();
  do_units(1);
  const auto table_of = [&] { return last_to<MembershipTable>(0)->epoch; };
  HeldUnit refused;
  refused.microbatch = MicrobatchIndex(0);
  refused.progress = UnitProgress::kDone;
  refused.counts = false;
  refused.fault = UnitFault::kNotFinite;
  refused.from = {node(0), Attempt(0)};
  const auto hold = [&](bool second_too) {
    for (std::uint32_t n = 0; n < 4; ++n) {
      Holdings holdings{StepId(2), table_of(), StageIndex(n % 2), false, {}, {}};
      HeldUnit unit = refused;
      if (n == 0) {
        unit.progress = UnitProgress::kSent;
        unit.counts = unit.output_kept = true;
        unit.fault = UnitFault::kNone;
        unit.from = {};
        unit.to = {node(1), Attempt(0)};
      }
      if (n < 2 || (n == 3 && second_too)) holdings.units.push_back(unit);
      hear(n, holdings);
    }
  };
  for (std::uint32_t n = 0; n < 4; ++n) report_average(n, 1);
  for (std::uint32_t n = 0; n < 4; ++n) report_digest(n, 1);
  hear(0, MicrobatchPull{StepId(2), 1, 1});
  hear(1, UnitRefused{unit(2, 0, 1), node(1), "unit is not finite", UnitFault::kNotFinite});
  pass(200ms);
  hold(false);
  ASSERT_TRUE(last_to<RepairOrders>(3).has_value());
  EXPECT_EQ(last_to<RepairOrders>(3)->tasks.at(0).redo, Redo::kCount);
  EXPECT_FALSE(last_to<RepairOrders>(3)->tasks.at(0).blank);
  EXPECT_FALSE(last_to<RepairOrders>(1).has_value()) << "not by who refused it";
  for (std::uint32_t n = 0; n < 4; ++n) hear(n, RepairTaken{StepId(2), table_of()});
  hear(3, UnitRefused{unit(2, 0, 1), node(3), "unit is not finite", UnitFault::kNotFinite});
  pass(200ms);
  hold(true);
  const auto orders = last_to<RepairOrders>(1);
  ASSERT_TRUE(orders.has_value());
  EXPECT_TRUE(orders->tasks.at(0).blank);
  EXPECT_EQ(orders->tasks.at(0).redo, Redo::kCount);
}

TEST_F(CoordinatorTest, AFalseInputCostsASeatWhereOneCanBeSparedAndASpoiltSumItsNode) {
  open_training();
  hear(3, UnitRefused{unit(1, 0, 1), node(0), "false shape"});
  pass(1100ms);
  EXPECT_EQ(machine->phase(), CoordinatorPhase::kTraining);
  EXPECT_TRUE(last_to<Refused>(0).has_value()) << "the one complained about";
  hear(3, UnitRefused{unit(1, 0, 1), node(3), "not finite", UnitFault::kSpoilsSum});
  EXPECT_TRUE(last_to<Refused>(3).has_value());
  hear(1, UnitRefused{unit(1, 0, 1), node(2), "false shape"});
  expect_end(EndReason::kInternal, {"false shape", "stage 1, replica 0"});
}

/// The word of it may be lost, or have gone to a coordinator that has died since.
TEST_F(CoordinatorTest, ASumThatIsSpoiltIsKnownFromWhatItsNodeHolds) {
  open_training();
  hear(3, UnitRefused{unit(1, 0, 1), node(3), "not finite", UnitFault::kNotFinite});
  pass(200ms);
  HeldUnit spoilt;
  spoilt.progress = UnitProgress::kDone;
  spoilt.counts = false;
  spoilt.fault = UnitFault::kSpoilsSum;
  spoilt.from = {node(0), Attempt(0)};
  const auto hold = [&](std::uint32_t n) {
    const MembershipEpoch epoch = last_to<MembershipTable>(0)->epoch;
    hear(n, Holdings{StepId(1), epoch, StageIndex(n % 2), false, {spoilt}, {}});
  };
  hold(3);
  EXPECT_TRUE(last_to<Refused>(3).has_value());
  hold(1);
  EXPECT_FALSE(last_to<Refused>(1).has_value()) << "the last of its stage: zeros take its place";
}

TEST_F(CoordinatorTest, SkippedUpdatesInARowPauseTheRoundAndSayWhy) {
  config.skips_max = 2;
  open_training();
  const auto skip = [&](std::uint64_t step) {
    do_units(step);
    const double norm = std::numeric_limits<double>::quiet_NaN();
    for (std::uint32_t n = 0; n < 4; ++n) report_average(n, step, 1, norm);
    for (std::uint32_t n = 0; n < 4; ++n) report_digest(n, step);
  };
  skip(1);
  EXPECT_EQ(machine->phase(), CoordinatorPhase::kTraining);
  skip(2);
  EXPECT_EQ(machine->phase(), CoordinatorPhase::kPaused);
  EXPECT_EQ(machine->status().waiting_for, "resume: 2 updates in a row were skipped");
  happen(Control{ControlVerb::kResume});
  EXPECT_EQ(machine->phase(), CoordinatorPhase::kTraining);
  skip(3);
  EXPECT_EQ(machine->phase(), CoordinatorPhase::kTraining) << "counted anew";
}

}  // namespace
}  // namespace coshard::round
