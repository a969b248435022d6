// The least repair of one microbatch, against brute force and the cases of design 3.3.
// SPDX-License-Identifier: Apache-2.0
#include "protocol/round/repair.h"

#include <gtest/gtest.h>

#include <array>
#include <cstdlib>
#include <iostream>
#include <set>
#include <sstream>

namespace coshard::round {
namespace {

constexpr std::size_t kStagesMax = 4;
using Path = std::vector<StageFacts>;
using Plan = std::vector<StageRepair>;

constexpr std::array kRedos{Redo::kNothing, Redo::kForward, Redo::kPass, Redo::kCount};

/// A forward costs one, a backward two.
int cost(Redo redo) { return redo == Redo::kNothing ? 0 : redo == Redo::kForward ? 1 : 3; }

int cost(const Plan& plan) {
  int sum = 0;
  for (const auto& stage : plan) sum += cost(stage.redo);
  return sum;
}

std::string show(const Path& path, const Plan& plan) {
  std::ostringstream out;
  for (std::size_t i = 0; i < path.size(); ++i) {
    const StageFacts& f = path[i];
    out << "\n  stage " << i << ": "
        << (std::array{"nobody", "held", "counted"})[std::size_t(f.fate)]
        << (f.has_input ? " input" : "") << (f.has_output ? " output" : "")
        << (f.has_gradient ? " gradient" : "") << (f.routes_itself ? " routes" : "")
        << (f.output_kept ? " output-kept" : "") << (f.gradient_kept ? " gradient-kept" : "")
        << " -> " << (std::array{"nothing", "forward", "pass", "count"})[std::size_t(plan[i].redo)]
        << (plan[i].send_output ? " send-output" : "")
        << (plan[i].send_gradient ? " send-gradient" : "");
  }
  return out.str();
}

// ---- the reference: what data flows if a plan is followed ---------------------------------------

std::size_t begun(const Path& path) {
  std::size_t begun = 0;
  for (std::size_t i = 0; i < path.size(); ++i)
    if (path[i].fate != UnitFate::kNobody) begun = i + 1;
  return begun;
}

bool goes_on_by_itself(const Path& path, std::size_t begun) {
  return path[begun - 1].fate == UnitFate::kHeld && path[begun - 1].routes_itself;
}

/// Every stage that has to be is counted once: nobody's unit again, others never.
bool counts_each_once(const Path& path, const Plan& plan) {
  const std::size_t last = begun(path);
  for (std::size_t i = 0; i < path.size(); ++i) {
    bool again = i < last && path[i].fate == UnitFate::kNobody;
    again |= i == last && last > 0 && !goes_on_by_itself(path, last);
    if (again != (plan[i].redo == Redo::kCount)) return false;
    if (i > last && !(plan[i] == StageRepair{})) return false;
  }
  return true;
}

/// What one stage can lay hands on while the plan runs.
struct Data {
  bool input_new = false;   ///< of whoever redoes the stage
  bool input_held = false;  ///< of the held unit
  bool gradient_new = false;
  bool gradient_held = false;
  bool output = false;          ///< someone can send it
  bool input_gradient = false;  ///< likewise
  bool operator==(const Data&) const = default;
};

using PathData = std::array<Data, kStagesMax>;

/// One round of deliveries.
PathData deliver(const Path& path, const Plan& plan, const PathData& before) {
  const std::size_t last = begun(path);
  const bool by_itself = goes_on_by_itself(path, last);
  PathData after;
  for (std::size_t i = 0; i < path.size(); ++i) {
    const StageFacts& facts = path[i];
    const bool held = facts.fate == UnitFate::kHeld;
    const bool input = i == 0 || (before[i - 1].output && plan[i - 1].send_output);
    bool gradient = i + 1 == path.size();
    if (!gradient) gradient = before[i + 1].input_gradient && plan[i + 1].send_gradient;
    // Behind the last stage that anybody has, whoever is chosen on the way sends back.
    const bool on_the_way = i + 1 == last ? by_itself : i == last;
    gradient |= on_the_way;
    Data& data = after[i];
    data.input_new = plan[i].redo != Redo::kNothing && input;
    data.input_held = held && (facts.has_input || input);
    data.gradient_new = plan[i].redo >= Redo::kPass && gradient;
    data.gradient_held = held && (facts.has_gradient || gradient);
    const bool held_makes = data.input_held && !facts.has_output;
    data.output = facts.output_kept || data.input_new || held_makes;
    data.input_gradient = facts.gradient_kept || (data.input_new && data.gradient_new) ||
                          (data.input_held && data.gradient_held);
  }
  return after;
}

/// Followed to its end, the plan leaves every stage counted once and nobody waiting.
bool feasible(const Path& path, const Plan& plan) {
  if (begun(path) == 0) return plan == Plan(path.size());
  if (!counts_each_once(path, plan)) return false;
  PathData data;
  for (auto next = deliver(path, plan, data); next != data; next = deliver(path, plan, data))
    data = next;
  for (std::size_t i = 0; i < path.size(); ++i) {
    if (plan[i].redo != Redo::kNothing && !data[i].input_new) return false;
    if (plan[i].redo >= Redo::kPass && !data[i].gradient_new) return false;
    if (path[i].fate == UnitFate::kHeld && !(data[i].input_held && data[i].gradient_held))
      return false;
  }
  return true;
}

/// The least cost over all assignments of redos, with everything sent that can be.
int least_cost(const Path& path) {
  const std::size_t last = begun(path);
  if (last == 0) return 0;
  std::size_t all = 1;
  for (std::size_t i = 0; i < path.size(); ++i) all *= kRedos.size();
  Plan plan(path.size());
  int least = -1;
  for (std::size_t code = 0; code < all; ++code) {
    std::size_t rest = code;
    for (std::size_t i = 0; i < plan.size(); ++i, rest /= kRedos.size())
      plan[i] = {kRedos[rest % kRedos.size()], i <= last, i <= last};
    if (least >= 0 && cost(plan) >= least) continue;
    if (feasible(path, plan)) least = cost(plan);
  }
  return least;
}

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

/// A fixed order for sets of facts.
std::vector<unsigned> code_of(const Path& path) {
  std::vector<unsigned> code;
  for (const StageFacts& f : path)
    code.push_back(unsigned(f.fate) << 6 | unsigned(f.has_input) << 5 |
                   unsigned(f.has_output) << 4 | unsigned(f.has_gradient) << 3 |
                   unsigned(f.routes_itself) << 2 | unsigned(f.output_kept) << 1 |
                   unsigned(f.gradient_kept));
  return code;
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

/// From COSHARD_REPAIR_CASES, for runs longer than the usual.
std::uint64_t wanted_cases(std::uint64_t usual) {
  const char* text = std::getenv("COSHARD_REPAIR_CASES");
  return text == nullptr ? usual : std::strtoull(text, nullptr, 10);
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
