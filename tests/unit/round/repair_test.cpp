// The least repair of one microbatch, against brute force and the cases of design 3.3.
// SPDX-License-Identifier: Apache-2.0
#include "protocol/round/repair.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <iostream>
#include <set>

#include "tests/unit/round/repair_reference.h"

namespace coshard::round {
namespace {

/// Empty, or what is wrong with plan_path's answer.
std::string fault(const Path& path) {
  const Plan plan = plan_path(path);
  if (plan.size() != path.size()) return "another number of stages";
  if (!feasible(path, plan)) return "does not complete the microbatch" + show(path, plan);
  const int least = least_cost(path);
  if (cost(plan) != least) return "costs more than " + std::to_string(least) + show(path, plan);
  for (std::size_t i = 0; i < plan.size(); ++i) {
    for (bool StageRepair::*flag : {&StageRepair::send_output, &StageRepair::send_gradient}) {
      Plan without = plan;
      without[i].*flag = false;
      if (plan[i].*flag && feasible(path, without))
        return "sends in vain from stage " + std::to_string(i) + show(path, plan);
    }
  }
  return "";
}

/// Counts the cases that it was shown, and stops at the first fault.
class Judge {
 public:
  ~Judge() {
    std::cout << cases_ << " cases: " << begun_ << " with work to do, " << most_ << " at most\n";
  }
  void operator()(const Path& path) {
    if (!fault_.empty()) return;
    ++cases_;
    const int price = cost(plan_path(path));
    begun_ += price > 0;
    most_ = std::max(most_, price);
    fault_ = fault(path);
  }
  const std::string& fault_found() const { return fault_; }
  std::uint64_t cases() const { return cases_; }

 private:
  std::uint64_t cases_ = 0;
  std::uint64_t begun_ = 0;
  int most_ = 0;
  std::string fault_;
};

// ---- every case of one microbatch on its way ----------------------------------------------------

/// A microbatch on its way over one node per stage, nobody lost yet.
struct Snapshot {
  std::array<UnitProgress, kStagesMax> progress{};  ///< kAwaited: not begun
  bool input_coming = false;                        ///< to the first stage that has not begun
  bool gradient_coming = false;                     ///< to the last stage that waits for one
};

/// All snapshots over `stages`, in the order in which they happen.
std::vector<Snapshot> journey(std::size_t stages) {
  std::vector<Snapshot> snapshots{{}};
  const auto then = [&](auto change) {
    snapshots.push_back(snapshots.back());
    change(snapshots.back());
  };
  const auto at = [&](std::size_t stage, UnitProgress progress) {
    then([&](Snapshot& now) {
      now.progress[stage] = progress;
      now.input_coming = progress == UnitProgress::kSent;
      now.gradient_coming = progress == UnitProgress::kDone && stage > 0;
    });
  };
  then([](Snapshot& now) { now.input_coming = true; });  // granted
  for (std::size_t stage = 0; stage < stages; ++stage) {
    at(stage, UnitProgress::kInput);
    at(stage, UnitProgress::kForward);
    if (stage + 1 == stages) break;
    at(stage, UnitProgress::kOutput);
    at(stage, UnitProgress::kSent);
  }
  at(stages - 1, UnitProgress::kDone);
  for (std::size_t stage = stages - 1; stage-- > 0;) {
    at(stage, UnitProgress::kGradient);
    at(stage, UnitProgress::kBackward);
    at(stage, UnitProgress::kDone);
  }
  return snapshots;
}

/// Sets of stages.
struct Misfortune {
  unsigned dead = 0;      ///< their node, whatever it had
  unsigned averaged = 0;  ///< a live replica holds the average
  unsigned output_evicted = 0;
  unsigned gradient_evicted = 0;
};

bool in(unsigned set, std::size_t stage) { return (set >> stage & 1U) != 0; }

Path facts_after(const Snapshot& now, std::size_t stages, const Misfortune& misfortune) {
  Path path(stages);
  const auto alive = [&](std::size_t stage) { return !in(misfortune.dead, stage); };
  for (std::size_t i = 0; i < stages; ++i) {
    const UnitProgress progress = now.progress[i];
    const bool arriving = progress == UnitProgress::kAwaited && now.input_coming &&
                          (i == 0 || (now.progress[i - 1] == UnitProgress::kSent && alive(i - 1)));
    StageFacts& facts = path[i];
    if (progress == UnitProgress::kDone && (alive(i) || in(misfortune.averaged, i)))
      facts.fate = UnitFate::kCounted;
    if (!alive(i)) continue;
    if (progress == UnitProgress::kAwaited && !arriving) continue;
    if (progress != UnitProgress::kDone) facts.fate = UnitFate::kHeld;
    facts.output_kept =
        progress >= UnitProgress::kOutput && i + 1 < stages && !in(misfortune.output_evicted, i);
    facts.gradient_kept =
        progress == UnitProgress::kDone && i > 0 && !in(misfortune.gradient_evicted, i);
    if (facts.fate != UnitFate::kHeld) continue;
    facts.has_input = true;
    facts.has_output = progress >= UnitProgress::kOutput;
    const bool coming = progress == UnitProgress::kSent && now.gradient_coming &&
                        now.progress[i + 1] == UnitProgress::kDone && alive(i + 1);
    facts.has_gradient = progress >= UnitProgress::kGradient || coming;
    const bool next_holds_it = progress == UnitProgress::kSent && alive(i + 1) &&
                               (now.progress[i + 1] != UnitProgress::kAwaited || now.input_coming);
    facts.routes_itself = progress < UnitProgress::kSent || next_holds_it;
  }
  return path;
}

TEST(PlanPath, LeastForEveryMomentOfAMicrobatchAndEverySetOfLossesAndEvictions) {
  Judge judge;
  std::set<std::vector<unsigned>> seen;
  for (std::size_t stages = 1; stages <= kStagesMax; ++stages) {
    const unsigned sets = 1U << stages;
    for (const Snapshot& now : journey(stages)) {
      unsigned done = 0;
      for (std::size_t i = 0; i < stages; ++i)
        if (now.progress[i] == UnitProgress::kDone) done |= 1U << i;
      Misfortune all;
      for (all.dead = 0; all.dead < sets; ++all.dead)
        for (all.averaged = 0; all.averaged < sets; ++all.averaged)
          for (all.output_evicted = 0; all.output_evicted < sets; ++all.output_evicted)
            for (all.gradient_evicted = 0; all.gradient_evicted < sets; ++all.gradient_evicted) {
              if ((all.averaged & ~done) != 0) continue;
              const Path path = facts_after(now, stages, all);
              if (seen.insert(code_of(path)).second) judge(path);
            }
    }
  }
  EXPECT_EQ(judge.fault_found(), "");
  EXPECT_GT(judge.cases(), 1000U);
}

/// Repairs upon repairs make more cases than a first loss: so all facts that do not contradict
/// themselves, whether or not a round can come to them.
std::vector<StageFacts> all_stage_facts() {
  std::vector<StageFacts> all;
  for (unsigned bits = 0; bits < 3U << 6; ++bits) {
    const auto bit = [&](unsigned which) { return in(bits, which); };
    const StageFacts facts{UnitFate(bits >> 6), bit(5), bit(4), bit(3), bit(2), bit(1), bit(0)};
    const bool held = facts.fate == UnitFate::kHeld;
    if (!held && (bits & 0b111100U) != 0) continue;
    if (facts.has_output && !facts.has_input) continue;
    all.push_back(facts);
  }
  return all;
}

TEST(PlanPath, LeastForWhateverTheFactsAre) {
  Judge judge;
  const std::vector<StageFacts> all = all_stage_facts();
  for (const auto& a : all) judge({a});
  for (const auto& a : all)
    for (const auto& b : all) judge({a, b});
  for (const auto& a : all)
    for (const auto& b : all)
      for (const auto& c : all) judge({a, b, c});
  // Four stages: an even sample of the millions, or all of them.
  const std::uint64_t size = all.size();
  const std::uint64_t fours = size * size * size * size;
  const std::uint64_t stride = std::max<std::uint64_t>(1, fours / wanted_cases(200'000));
  for (std::uint64_t code = 0; code < fours; code += stride | 1U)
    judge({all[code % size], all[code / size % size], all[code / size / size % size],
           all[code / size / size / size]});
  EXPECT_EQ(judge.fault_found(), "");
}

// ---- the rows of design 3.3 ---------------------------------------------------------------------

constexpr StageFacts kNobody{};
constexpr StageFacts kCountedAndKept{UnitFate::kCounted, false, false, false, false, true, true};
constexpr StageFacts kCountedNothingKept{UnitFate::kCounted};
/// Output sent and kept, waiting for a gradient that nobody sends.
constexpr StageFacts kWaiting{UnitFate::kHeld, true, true, false, false, true, false};
/// The same; the next stage is at it.
constexpr StageFacts kUnderWay{UnitFate::kHeld, true, true, false, true, true, false};
/// Its input is there.
constexpr StageFacts kFresh{UnitFate::kHeld, true, false, false, true, false, false};

constexpr StageRepair kLeft{};
constexpr StageRepair kSendsOutput{Redo::kNothing, true, false};
constexpr StageRepair kSendsGradient{Redo::kNothing, false, true};
constexpr StageRepair kCounts{Redo::kCount, false, false};

TEST(PlanPath, NothingIsDoneForAMicrobatchThatNobodyHas) {
  EXPECT_EQ(plan_path(Path{kNobody, kNobody}), (Plan{kLeft, kLeft}));
}

TEST(PlanPath, NothingIsDoneForAMicrobatchThatIsWholeOrOnItsWay) {
  EXPECT_EQ(plan_path(Path{kCountedAndKept, kCountedAndKept}), (Plan{kLeft, kLeft}));
  EXPECT_EQ(plan_path(Path{kUnderWay, kFresh, kNobody})[0], kLeft);
}

TEST(PlanPath, ALostSegmentIsRedoneFromItsEdgesAndByNobodyElse) {
  EXPECT_EQ(
      plan_path(Path{kCountedAndKept, kNobody, kNobody, kCountedAndKept}),
      (Plan{
          kSendsOutput, {Redo::kCount, true, false}, {Redo::kCount, false, true}, kSendsGradient}));
}

TEST(PlanPath, TheFirstStageDerivesItsTokensAndTheLastItsTargets) {
  EXPECT_EQ(plan_path(Path{kNobody, kCountedAndKept}), (Plan{kCounts, kSendsGradient}));
  EXPECT_EQ(plan_path(Path{kCountedAndKept, kNobody}), (Plan{kSendsOutput, kCounts}));
}

TEST(PlanPath, AStageThatHasTheActivationAndNoGradientYetKeepsItsStashAndAnswersTheNewHolder) {
  EXPECT_EQ(plan_path(Path{kWaiting, kNobody, kUnderWay, kFresh}),
            (Plan{kSendsOutput, {Redo::kCount, false, true}, kSendsGradient, kSendsGradient}));
}

TEST(PlanPath, WhereAKeptOutputIsGoneTheSegmentGrowsForward) {
  EXPECT_EQ(plan_path(Path{kCountedAndKept, kCountedNothingKept, kNobody, kCountedAndKept}),
            (Plan{kSendsOutput, {Redo::kForward, true, false}, kCounts, kSendsGradient}));
}

TEST(PlanPath, WhereAKeptGradientIsGoneTheSegmentGrowsThroughStagesThatCountedAlready) {
  EXPECT_EQ(
      plan_path(Path{kCountedAndKept, kNobody, kCountedNothingKept, kCountedAndKept}),
      (Plan{
          kSendsOutput, {Redo::kCount, true, false}, {Redo::kPass, false, true}, kSendsGradient}));
}

TEST(PlanPath, AContributorLostWhileAveragingIsRedoneUnlessTheAverageIsComplete) {
  EXPECT_EQ(plan_path(Path{kCountedAndKept, kNobody}), (Plan{kSendsOutput, kCounts}));
  EXPECT_EQ(plan_path(Path{kCountedAndKept, kCountedNothingKept}), (Plan{kLeft, kLeft}));
}

TEST(PlanPath, BeyondTheLastStageThatAnybodyHasOnlyTheNextIsRedone) {
  EXPECT_EQ(plan_path(Path{kWaiting, kNobody, kNobody, kNobody}),
            (Plan{kSendsOutput, {Redo::kCount, false, true}, kLeft, kLeft}));
}

}  // namespace
}  // namespace coshard::round
