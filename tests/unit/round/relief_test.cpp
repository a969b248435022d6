// Who gives what back: the plan against an exhaustive search, what may be given back at all, and
// the coordinator's way from a late step to orders for others.
// SPDX-License-Identifier: Apache-2.0
#include "protocol/round/relief.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "protocol/base/rng.h"
#include "tests/unit/round/coordinator_fixture.h"

namespace coshard::round {
namespace {

HeldUnit held(std::uint32_t microbatch, UnitProgress progress) {
  HeldUnit unit;
  unit.microbatch = MicrobatchIndex(microbatch);
  unit.progress = progress;
  return unit;
}

/// Replicas of one stage that is not the last; microbatches are given to them one after the other.
class Stage {
 public:
  void replica(double seconds, std::vector<UnitProgress> units) {
    Holdings& holdings = holdings_.emplace_back();
    for (const UnitProgress progress : units) holdings.units.push_back(held(next_++, progress));
    seconds_.push_back(seconds);
  }
  std::vector<Witness> live(bool last_stage = false) const {
    std::vector<Witness> live;
    for (std::size_t i = 0; i < holdings_.size(); ++i)
      live.push_back({node(static_cast<std::uint32_t>(i)), StageIndex(1), &holdings_[i],
                      seconds_[i] > 0 ? 1 / seconds_[i] : 0, 0});
    if (!last_stage) live.push_back({node(99), StageIndex(2), &nobody_, 1, 0});
    return live;
  }
  const Holdings& of(std::size_t replica) const { return holdings_[replica]; }
  std::size_t size() const { return holdings_.size(); }

 private:
  std::vector<Holdings> holdings_;
  std::vector<double> seconds_;
  Holdings nobody_;
  std::uint32_t next_ = 0;
};

TEST(Relief, WhoIsTenTimesSlowerGivesBackWhatIsNotOnItsWayIntoItsSum) {
  using enum UnitProgress;
  Stage stage;
  stage.replica(10, {kDone, kBackward, kGradient, kSent, kForward, kInput, kAwaited});
  stage.replica(1, {kDone});
  stage.replica(1, {});
  std::vector<std::uint32_t> given;
  for (const Relief& relief : plan_relief(stage.live())) {
    EXPECT_EQ(relief.node, node(0));
    given.push_back(relief.microbatch.value);
  }
  EXPECT_EQ(given, (std::vector<std::uint32_t>{5, 4, 3, 2})) << "the least advanced first";
  given.clear();
  for (const Relief& relief : plan_relief(stage.live(true)))
    given.push_back(relief.microbatch.value);
  EXPECT_EQ(given, std::vector<std::uint32_t>{5}) << "the last stage's forward accumulates";
}

TEST(Relief, NobodyGivesBackWhatOthersWouldNotFinishMuchSooner) {
  using enum UnitProgress;
  Stage alike, known, alone;
  alike.replica(1, {kInput, kInput});
  alike.replica(1.2, {kInput});
  EXPECT_TRUE(plan_relief(alike.live()).empty());
  known.replica(0, {kInput, kInput, kInput});  // has not said how fast it is
  known.replica(1, {});
  EXPECT_TRUE(plan_relief(known.live()).empty());
  alone.replica(50, {kInput, kInput});
  EXPECT_TRUE(plan_relief(alone.live()).empty());
}

/// When the last unit of any is done where each of `spare` goes to any replica: by trying all.
double best(std::vector<double> ends, const std::vector<double>& seconds,
            const std::vector<std::pair<std::size_t, double>>& spare, std::size_t next = 0) {
  if (next == spare.size()) return *std::max_element(ends.begin(), ends.end());
  const auto [owner, left] = spare[next];
  double found = 1e300;
  for (std::size_t to = 0; to < ends.size(); ++to) {
    std::vector<double> then = ends;
    then[to] += to == owner ? left : seconds[to];
    found = std::min(found, best(then, seconds, spare, next + 1));
  }
  return found;
}

/// What it costs to be cautious: a unit stays where handing it over would not halve its time, so
/// that the end is within twice the best division, plus one unit and the time that telling takes.
TEST(Relief, EndsWithinTwiceTheBestDivision) {
  std::uint64_t reliefs = 0;
  for (std::uint64_t seed = 1; seed <= 3000; ++seed) {
    Rng rng(seed, 1);
    Stage stage;
    std::vector<double> seconds, ends;
    std::vector<std::pair<std::size_t, double>> spare;
    for (std::size_t r = 0, count = 2 + rng.below(2); r < count; ++r) {
      seconds.push_back(rng.below(3) == 0 ? 10 : 1 + rng.unit());
      std::vector<UnitProgress> units(rng.below(4), UnitProgress::kInput);
      ends.push_back(0);
      for (std::size_t u = 0; u < units.size(); ++u) spare.emplace_back(r, seconds[r]);
      stage.replica(seconds[r], units);
    }
    const double optimum = best(ends, seconds, spare);
    for (std::size_t r = 0; r < stage.size(); ++r)
      ends[r] = static_cast<double>(stage.of(r).units.size()) * seconds[r];
    for (const Relief& relief : plan_relief(stage.live())) {
      const std::size_t from = relief.node == node(0) ? 0 : relief.node == node(1) ? 1 : 2;
      std::size_t to = 0;  // as the planner of repairs chooses: who is through with it first
      for (std::size_t r = 1; r < ends.size(); ++r)
        if (ends[r] + seconds[r] < ends[to] + seconds[to]) to = r;
      ends[from] -= seconds[from];
      ends[to] += seconds[to];
      ++reliefs;
    }
    const double end = *std::max_element(ends.begin(), ends.end());
    const double unit = *std::min_element(seconds.begin(), seconds.end());
    EXPECT_LE(end, 2 * (optimum + unit) + 0.1) << "seed " << seed;
  }
  EXPECT_GT(reliefs, 1000U);
}

/// Node 0 has microbatch 0 of step 6 and does not get on; node 2 is through with microbatch 1.
class ReliefTest : public CoordinatorTest {
 protected:
  void begin_late_step() {
    open_training();
    for (std::uint64_t step = 1; step <= 5; ++step) do_step(step);
    hear(0, MicrobatchPull{StepId(6), 1, 1});
    hear(2, MicrobatchPull{StepId(6), 1, 1});
    hear(2, UnitReport{StepId(6), StageIndex(0), {{MicrobatchIndex(1), Attempt(0), 16, 0}}});
    hear(3, UnitReport{StepId(6), StageIndex(1), {{MicrobatchIndex(1), Attempt(0), 16, 2}}});
    said.clear();
  }
  void everybody_holds(const HeldUnit& of_first) {
    const auto epoch = last_to<MembershipTable>(0)->epoch;
    for (std::uint32_t n = 0; n < 4; ++n) {
      Holdings holdings{StepId(6), epoch, StageIndex(n % 2), false, {}, {}, false, 50'000};
      HeldUnit done = held(1, UnitProgress::kDone);
      if (n == 2) done.to = {node(3), Attempt(0)};
      if (n == 3) done.from = {node(2), Attempt(0)};
      if (n >= 2) holdings.units.push_back(done);
      if (n == 0) {
        holdings.units.push_back(of_first);
        holdings.unit_us = 3'000'000;
      }
      HeldUnit behind = held(0, UnitProgress::kDone);
      behind.from = {node(0), Attempt(0)};
      if (n == 1 && of_first.to.node == node(1)) holdings.units.push_back(behind);
      hear(n, holdings);
    }
  }
};

TEST_F(ReliefTest, AUnitGoesToAnotherOnceItsHolderHasGivenItBack) {
  begin_late_step();
  pass(1s);
  ASSERT_TRUE(last_to<MembershipTable>(0).has_value()) << "everybody is asked what it holds";
  everybody_holds(held(0, UnitProgress::kForward));
  const auto asked = last_to<RepairOrders>(0);
  ASSERT_TRUE(asked.has_value());
  EXPECT_TRUE(asked->tasks.at(0).relieve);
  EXPECT_FALSE(last_to<RepairOrders>(2).has_value())
      << "nobody else begins before it is given back";
  hear(0, RepairTaken{StepId(6), asked->epoch});
  said.clear();
  pass(100ms);
  ASSERT_TRUE(last_to<MembershipTable>(0).has_value()) << "asked again at once";
  HeldUnit back = held(0, UnitProgress::kDone);
  back.counts = false;
  back.relieved = true;
  everybody_holds(back);
  const auto order = last_to<RepairOrders>(2);
  ASSERT_TRUE(order.has_value());
  EXPECT_EQ(order->tasks.at(0).redo, Redo::kCount);
  EXPECT_EQ(order->tasks.at(0).microbatch, MicrobatchIndex(0));
  hear(2, RepairTaken{StepId(6), order->epoch});
  hear(2, UnitReport{StepId(6), StageIndex(0), {{MicrobatchIndex(0), Attempt(1), 16, 0}}});
  EXPECT_EQ(machine->status().units_done, 3U);
  EXPECT_EQ(machine->status().nodes.size(), 4U) << "nobody is given up for being slow";
}

TEST_F(ReliefTest, WhatIsOnItsWayIntoTheSumStays) {
  begin_late_step();
  pass(1s);
  HeldUnit first = held(0, UnitProgress::kBackward);
  first.has_gradient = true;
  first.to = {node(1), Attempt(0)};
  hear(1, UnitReport{StepId(6), StageIndex(1), {{MicrobatchIndex(0), Attempt(0), 16, 2}}});
  everybody_holds(first);
  EXPECT_FALSE(last_to<RepairOrders>(0).has_value());
  EXPECT_FALSE(last_to<RepairOrders>(2).has_value());
  hear(0, UnitReport{StepId(6), StageIndex(0), {{MicrobatchIndex(0), Attempt(0), 16, 0}}});
  EXPECT_EQ(machine->status().units_done, 4U);
}

TEST_F(ReliefTest, AStepThatTakesAsLongAsOthersIsNotLookedAt) {
  open_training();
  for (std::uint64_t step = 1; step <= 5; ++step) {
    pass(2s);
    do_step(step);
  }
  hear(0, MicrobatchPull{StepId(6), 1, 1});
  const MembershipEpoch epoch = machine->status().epoch;
  pass(1900ms);
  EXPECT_EQ(machine->status().epoch, epoch);
  pass(1s);
  EXPECT_EQ(machine->status().epoch, epoch.next()) << "everybody is asked what it holds";
}

}  // namespace
}  // namespace coshard::round
