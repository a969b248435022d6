// The repair of whole steps: plans are followed by a model of the nodes, in whatever order things
// may happen, until nothing moves any more; then every unit must be in exactly one sum.
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <array>
#include <iostream>

#include "tests/unit/round/repair_model.h"
#include "tests/unit/round/round_nodes.h"

namespace coshard::round {
namespace {

TEST(PlanStep, EveryUnitIsInExactlyOneSumWhateverIsLostAndWhenever) {
  const std::uint64_t cases = wanted_cases(20'000);
  ModelCounts all;
  for (std::uint64_t seed = 0; seed < cases; ++seed) {
    RepairModel model(seed);
    const std::string fault = model.run();
    if (!fault.empty()) {
      RepairModel again(seed, true);
      again.run();
      FAIL() << fault << ", seed " << seed << "\n" << again.story();
    }
    all.add(model.counts());
  }
  std::cout << cases << " cases: " << all.losses << " losses, " << all.evictions << " evictions, "
            << all.reliefs << " reliefs, " << all.plans << " plans, " << all.redone
            << " units redone, " << all.unclear << " plans unclear, " << all.exact
            << " plans compared with the least\n";
  EXPECT_GT(all.plans, cases / 2);
  EXPECT_GT(all.exact, cases / 8);
}

// ---- cases by hand ------------------------------------------------------------------------------

/// Two stages of two replicas, one microbatch; node(10 * stage + replica).
class SmallStep {
 public:
  SmallStep() {
    facts_.stages = 2;
    facts_.microbatches = 1;
    for (std::uint32_t stage = 0; stage < 2; ++stage)
      for (std::uint32_t replica = 0; replica < 2; ++replica) {
        Witness witness{node(10 * stage + replica), StageIndex(stage), nullptr, 1, 0};
        facts_.live.push_back(witness);
      }
    facts_.book.assign(2, std::vector<BookedUnit>(1));
    facts_.granted.assign(1, node(0));
    facts_.attempts.assign(1, Attempt(0));
  }
  HeldUnit& holds(std::size_t witness, UnitProgress progress, Attempt attempt = {}) {
    HeldUnit unit;
    unit.attempt = attempt;
    unit.progress = progress;
    unit.output_kept = progress >= UnitProgress::kOutput;
    unit.gradient_kept = progress == UnitProgress::kDone;
    holdings_[witness].units.push_back(unit);
    return holdings_[witness].units.back();
  }
  void lose(std::size_t witness) { lost_ = witness; }
  StepFacts& facts() { return facts_; }
  RepairPlan plan() {
    StepFacts live = facts_;
    for (std::size_t w = 0; w < live.live.size(); ++w) live.live[w].holdings = &holdings_[w];
    if (lost_) live.live.erase(live.live.begin() + static_cast<std::ptrdiff_t>(*lost_));
    return plan_step(live);
  }

 private:
  StepFacts facts_;
  std::array<Holdings, 5> holdings_;
  std::optional<std::size_t> lost_;
};

/// Stage 0 waits for a gradient of `node(10)`, which is lost; two more replicas could do it again.
SmallStep waiting_for_the_lost() {
  SmallStep step;
  step.facts().live.push_back({node(12), StageIndex(1), nullptr, 1, 0});
  step.holds(0, UnitProgress::kSent).to = {node(10), Attempt(0)};
  step.lose(2);
  return step;
}

TEST(PlanStep, TheLostUnitGoesToWhoIsThroughFirstAndItsNeighbourSendsAgain) {
  SmallStep step = waiting_for_the_lost();
  step.facts().live[3] = {node(11), StageIndex(1), nullptr, 2, 3};
  step.facts().live[4] = {node(12), StageIndex(1), nullptr, 4, 5};
  const RepairPlan plan = step.plan();
  const Hop old{node(0), Attempt(0)};
  const Hop fresh{node(12), Attempt(1)};
  const RepairTask again{{}, Attempt(1), Redo::kCount, old, {}, false, true};
  const RepairTask send{{}, Attempt(0), Redo::kNothing, {}, fresh, true, false};
  ASSERT_EQ(plan.tasks.size(), 2U);
  EXPECT_EQ(plan.tasks.at(node(12)), std::vector{again});
  EXPECT_EQ(plan.tasks.at(node(0)), std::vector{send});
  const RepairPlan::Assigned assigned{StageIndex(1), {}, node(12), Attempt(1)};
  EXPECT_EQ(plan.counted, std::vector{assigned});
  EXPECT_EQ(plan.attempts, std::vector{Attempt(1)});
  EXPECT_EQ(plan.units_redone, 1U);
}

TEST(PlanStep, AnUnknownRateMakesAllEqualAndATieGoesToTheFirst) {
  SmallStep step = waiting_for_the_lost();
  step.facts().live[3].units_per_second = 0;
  step.facts().live[3].busy = step.facts().live[4].busy = 2;
  step.facts().live[4].units_per_second = 100;
  EXPECT_EQ(step.plan().counted.at(0).node, node(11));
}

TEST(PlanStep, NobodyAtTheSameMicrobatchIsChosenWhileThereIsAnother) {
  SmallStep step = waiting_for_the_lost();
  step.facts().live[4].busy = 9;
  step.holds(3, UnitProgress::kSent, Attempt(0)).counts = false;
  EXPECT_EQ(step.plan().counted.at(0).node, node(12));
  step.facts().live.pop_back();
  EXPECT_EQ(step.plan().counted.at(0).node, node(11));
}

TEST(PlanStep, WhatWasSentToALiveNodeIsThereAlthoughItHasNotSaidSo) {
  SmallStep step;
  step.holds(0, UnitProgress::kSent).to = {node(10), Attempt(0)};
  EXPECT_TRUE(step.plan().tasks.empty());
  step.facts().ordered[{StageIndex(1), MicrobatchIndex(0), Attempt(0)}] = Redo::kCount;
  EXPECT_EQ(step.plan().units_redone, 1U) << "not if it was an order, which may be void";
}

TEST(PlanStep, WhatNobodyHasIsGrantedAnewUnderTheNextAttempt) {
  SmallStep step;
  step.lose(0);
  const RepairPlan plan = step.plan();
  EXPECT_EQ(plan.grant_anew, std::vector{MicrobatchIndex(0)});
  EXPECT_EQ(plan.attempts, std::vector{Attempt(1)});
  EXPECT_TRUE(plan.tasks.empty());
  step.facts().granted[0].reset();
  EXPECT_TRUE(step.plan().grant_anew.empty()) << "it was never granted";
}

TEST(PlanStep, AHolderWhoseOutputIsGoneKeepsItsUnitWhileAnotherComputesTheOutput) {
  SmallStep step;
  step.holds(0, UnitProgress::kSent).output_kept = false;
  step.lose(2);
  const RepairPlan plan = step.plan();
  const Hop count{node(11), Attempt(1)};
  const Hop holder{node(0), Attempt(0)};
  EXPECT_EQ(plan.tasks.at(node(1)),
            (std::vector{RepairTask{{}, Attempt(1), Redo::kForward, {}, count, true, false}}));
  EXPECT_EQ(plan.tasks.at(node(11)),
            (std::vector{RepairTask{{}, Attempt(1), Redo::kCount, holder, {}, false, true}}));
  EXPECT_EQ(plan.tasks.at(node(0)),
            (std::vector{RepairTask{{}, Attempt(0), Redo::kNothing, {}, count, false, false}}));
}

}  // namespace
}  // namespace coshard::round
