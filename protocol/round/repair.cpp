// The least work that completes a step: see repair.h.
// SPDX-License-Identifier: Apache-2.0
#include "protocol/round/repair.h"

#include <algorithm>
#include <functional>
#include <set>
#include <utility>

#include "protocol/base/check.h"

namespace coshard::round {
namespace {

/// The other end of no hop.
const Hop kNoHop{};

/// A unit of the microbatch at a live node: listed, known from what a neighbour lists, or ordered
/// by this plan.
struct LiveUnit {
  std::size_t witness = 0;  ///< index into StepFacts::live
  HeldUnit held;
  Redo redo = Redo::kCount;
  bool fresh = false;           ///< ordered by this plan
  bool gives_output = false;    ///< it has its output, or nothing is missing for it
  bool gives_gradient = false;  ///< likewise the gradient of its input

  bool made_output() const { return held.progress >= UnitProgress::kOutput; }
  bool done() const { return held.progress == UnitProgress::kDone; }
  bool came_to_nothing() const { return held.refused() || held.relieved; }
  bool got_gradient() const {
    return held.has_gradient || held.progress >= UnitProgress::kGradient;
  }
};

/// What a plan has given to each live node so far.
using Given = std::vector<std::uint32_t>;

/// One microbatch of the step: who has what of it, and who does what about that.
class MicrobatchPlanner {
 public:
  MicrobatchPlanner(const StepFacts& facts, MicrobatchIndex microbatch, RepairPlan& plan,
                    Given& given)
      : facts_(facts),
        microbatch_(microbatch),
        plan_(plan),
        given_(given),
        units_(facts.stages),
        holder_(facts.stages),
        again_(facts.stages) {}

  void run() {
    gather();
    if (is_unclear()) {
      ++plan_.unclear;
      return;
    }
    for (std::size_t stage = 0; stage < units_.size(); ++stage) find_holder(stage);
    while (find_givers()) {
    }
    std::vector<StageFacts> path;
    for (std::size_t stage = 0; stage < units_.size(); ++stage) path.push_back(facts_of(stage));
    const auto nobody = [](const StageFacts& stage) { return stage.fate == UnitFate::kNobody; };
    std::vector<StageRepair> repairs = plan_path(path);
    if (std::all_of(path.begin(), path.end(), nobody)) {
      if (refusers(0).empty() && relieved(0).empty()) return grant_anew();
      repairs[0].redo = Redo::kCount;  // not by whoever pulls first: that may be who gave it up
    }
    for (std::size_t stage = 0; stage < units_.size(); ++stage) order(stage, repairs[stage].redo);
    for (std::size_t stage = 0; stage < units_.size(); ++stage)
      if (repairs[stage].send_output) pass_output(stage);
    for (std::size_t stage = 0; stage < units_.size(); ++stage)
      if (repairs[stage].send_gradient) pass_gradient(stage);
    hand_out();
    for (std::size_t stage = 0; stage < units_.size(); ++stage) open(stage);
  }

 private:
  // ---- who has what
  const BookedUnit& booked(std::size_t stage) const {
    return facts_.book[stage][microbatch_.value];
  }
  StageIndex index(std::size_t stage) const {
    return StageIndex(static_cast<std::uint32_t>(stage));
  }
  const NodeId& node_of(const LiveUnit& unit) const { return facts_.live[unit.witness].node; }
  HeldUnit unit_of(Attempt attempt) const {
    HeldUnit unit;
    unit.microbatch = microbatch_;
    unit.attempt = attempt;
    return unit;
  }
  Hop hop(const LiveUnit& unit) const { return {node_of(unit), unit.held.attempt}; }

  void gather() {
    for (std::size_t w = 0; w < facts_.live.size(); ++w)
      for (const HeldUnit& held : facts_.live[w].holdings->units)
        if (held.microbatch == microbatch_) add(facts_.live[w].stage.value, w, held);
    if (const auto& granted = facts_.granted[microbatch_.value])
      infer(0, {*granted, facts_.attempts[microbatch_.value]}, {});
    for (std::size_t stage = 0; stage + 1 < units_.size(); ++stage)
      for (const LiveUnit& unit : units_[stage])
        if (unit.held.progress >= UnitProgress::kSent) infer(stage + 1, unit.held.to, hop(unit));
  }

  void add(std::size_t stage, std::size_t witness, const HeldUnit& held) {
    LiveUnit unit{witness, held};
    const auto ordered = facts_.ordered.find({index(stage), microbatch_, held.attempt});
    if (!held.counts)
      unit.redo = ordered == facts_.ordered.end() ? Redo::kForward : ordered->second;
    units_[stage].push_back(unit);
  }

  /// What was granted or sent without an order is there or will be, although its node has not
  /// listed it yet. (The attempt of a grant that is listed may be older than the highest.)
  void infer(std::size_t stage, const Hop& at, const Hop& from) {
    if (facts_.ordered.contains({index(stage), microbatch_, at.attempt})) return;
    const auto live = std::find_if(facts_.live.begin(), facts_.live.end(), [&](const auto& other) {
      return other.node == at.node && other.stage == index(stage);
    });
    if (live == facts_.live.end()) return;
    for (const LiveUnit& unit : units_[stage])
      if (node_of(unit) == at.node && (stage == 0 ? unit.held.counts || unit.came_to_nothing()
                                                  : unit.held.attempt == at.attempt))
        return;
    HeldUnit held = unit_of(at.attempt);
    held.progress = UnitProgress::kInput;
    held.from = from;
    add(stage, static_cast<std::size_t>(live - facts_.live.begin()), held);
  }

  /// Answers are given one after the other while work goes on: a unit whose input came from a live
  /// node that does not list it was begun in between, and where the path leads before that is not
  /// known. (An order that its receiver has not taken is no such case: it is void.) Where repair
  /// is needed everything stands still, so that a later survey sees it whole. Likewise a unit that
  /// its node reported after it had said what it holds.
  bool is_unclear() const {
    for (std::size_t stage = 0; stage < units_.size(); ++stage)
      if (booked(stage).counted && is_live(stage, *booked(stage).holder) &&
          !lists_done(stage, *booked(stage).holder))
        return true;
    for (std::size_t stage = 1; stage < units_.size(); ++stage)
      for (const LiveUnit& unit : units_[stage])
        if (is_live(stage - 1, unit.held.from.node) &&
            !knows(stage - 1, unit.held.from, unit.came_to_nothing() && !unit.held.from_ordered))
          return true;
    return is_on_its_way();
  }
  /// What somebody sent before he gave his unit back, and its receiver does not list yet: only once
  /// it is there can it get another neighbour.
  bool is_on_its_way() const {
    for (std::size_t stage = 0; stage + 1 < units_.size(); ++stage)
      for (const LiveUnit& unit : units_[stage])
        if (unit.held.relieved && is_live(stage + 1, unit.held.to.node) &&
            !is_listed(stage + 1, unit.held.to))
          return true;
    return false;
  }
  bool is_listed(std::size_t stage, const Hop& at) const {
    const auto live = std::ranges::find(facts_.live, at.node, &Witness::node);
    return std::ranges::any_of(live->holdings->units,
                               [&](const HeldUnit& unit) {
                                 return unit.microbatch == microbatch_ &&
                                        unit.attempt == at.attempt;
                               }) ||
           facts_.ordered.contains({index(stage), microbatch_, at.attempt});
  }
  bool is_live(std::size_t stage, const NodeId& node) const {
    return std::any_of(facts_.live.begin(), facts_.live.end(), [&](const Witness& witness) {
      return witness.node == node && witness.stage == index(stage);
    });
  }
  bool lists_done(std::size_t stage, const NodeId& node) const {
    return std::any_of(units_[stage].begin(), units_[stage].end(), [&](const LiveUnit& unit) {
      return unit.held.counts && unit.done() && node_of(unit) == node;
    });
  }
  /// `sent`: whose output has left, since what came to nothing looks as if it had never been sent.
  bool knows(std::size_t stage, const Hop& at, bool sent) const {
    return (!sent && facts_.ordered.contains({index(stage), microbatch_, at.attempt})) ||
           std::any_of(units_[stage].begin(), units_[stage].end(), [&](const LiveUnit& unit) {
             return hop(unit) == at && (!sent || unit.held.progress >= UnitProgress::kSent);
           });
  }

  bool is_counted(std::size_t stage) const {
    return booked(stage).counted ||
           std::any_of(units_[stage].begin(), units_[stage].end(),
                       [](const LiveUnit& unit) { return unit.held.counts && unit.done(); });
  }

  /// The list of units is complete from here on: pointers into it stay.
  void find_holder(std::size_t stage) {
    if (is_counted(stage)) return;
    for (LiveUnit& unit : units_[stage])
      if (unit.held.counts && holder_[stage] == nullptr) holder_[stage] = &unit;
  }

  bool input_comes(std::size_t stage, const LiveUnit& unit) const {
    if (stage == 0 || unit.held.progress >= UnitProgress::kInput) return true;
    const auto& before = units_[stage - 1];
    return std::any_of(before.begin(), before.end(), [&](const LiveUnit& other) {
      return other.gives_output && other.held.to == hop(unit);
    });
  }

  bool gradient_comes(std::size_t stage, const LiveUnit& unit) const {
    if (stage + 1 == units_.size() || unit.got_gradient()) return true;
    const auto& behind = units_[stage + 1];
    return std::any_of(behind.begin(), behind.end(), [&](const LiveUnit& other) {
      return other.gives_gradient && other.held.from == hop(unit);
    });
  }

  /// Who will have what. The plan meets a holder's needs; a unit that only passes something on
  /// serves while its own are met, and where its stage is counted or held: a new holder takes over
  /// its neighbours. Returns whether anything was found.
  bool find_givers() {
    bool found = false;
    for (std::size_t stage = 0; stage < units_.size(); ++stage) {
      const bool lost = !is_counted(stage) && holder_[stage] == nullptr;
      for (LiveUnit& unit : units_[stage]) {
        const bool holds = &unit == holder_[stage];
        const bool passes = !unit.held.counts && !unit.done() && !lost;
        const bool input = holds || (passes && (unit.made_output() || input_comes(stage, unit)));
        const bool gradient =
            holds || (passes && unit.redo == Redo::kPass && gradient_comes(stage, unit));
        const bool output = unit.held.output_kept || (input && !unit.made_output());
        found |= !std::exchange(unit.gives_output, output) && output;
        const bool back = unit.held.gradient_kept || (input && gradient);
        found |= !std::exchange(unit.gives_gradient, back) && back;
      }
    }
    return found;
  }

  StageFacts facts_of(std::size_t stage) const {
    StageFacts facts;
    const LiveUnit* holder = holder_[stage];
    for (const LiveUnit& unit : units_[stage]) {
      facts.output_kept |= unit.held.output_kept || (&unit != holder && unit.gives_output);
      facts.gradient_kept |= unit.held.gradient_kept || (&unit != holder && unit.gives_gradient);
    }
    facts.fate = is_counted(stage)   ? UnitFate::kCounted
                 : holder == nullptr ? UnitFate::kNobody
                                     : UnitFate::kHeld;
    if (holder == nullptr) return facts;
    facts.has_input = stage == 0 || holder->held.progress >= UnitProgress::kInput;
    facts.has_output = holder->made_output();
    facts.has_gradient = holder->got_gradient() || gradient_on_its_way(stage, *holder);
    facts.routes_itself = holder->held.progress < UnitProgress::kSent && holder->held.to == kNoHop;
    return facts;
  }

  /// Sent and perhaps not there. Where it is not kept it may have been gone when it was wanted.
  bool gradient_on_its_way(std::size_t stage, const LiveUnit& holder) const {
    if (stage + 1 == units_.size()) return true;
    const auto& behind = units_[stage + 1];
    return std::any_of(behind.begin(), behind.end(), [&](const LiveUnit& unit) {
      return unit.done() && unit.held.gradient_kept && unit.held.from == hop(holder);
    });
  }

  // ---- who does what

  /// Live nodes of the stage at which the microbatch is not finite.
  std::set<std::size_t> refusers(std::size_t stage) const {
    return nodes_with(stage, &HeldUnit::refused);
  }
  /// Likewise those that were too slow for it.
  std::set<std::size_t> relieved(std::size_t stage) const {
    return nodes_with(stage, &HeldUnit::relieved);
  }
  std::set<std::size_t> nodes_with(std::size_t stage, auto what) const {
    std::set<std::size_t> nodes;
    for (const LiveUnit& unit : units_[stage])
      if (std::invoke(what, unit.held)) nodes.insert(unit.witness);
    return nodes;
  }

  /// Whatever is left of it is of no use: it begins again, under an attempt of its own.
  void grant_anew() {
    for (std::size_t stage = 1; stage < units_.size(); ++stage) open(stage);
    const bool ordered =
        std::any_of(facts_.ordered.begin(), facts_.ordered.end(),
                    [&](const auto& unit) { return std::get<1>(unit.first) == microbatch_; });
    const bool begun = facts_.granted[microbatch_.value] || booked(0).holder || ordered;
    if (!begun) return;
    plan_.grant_anew.push_back(microbatch_);
    plan_.attempts[microbatch_.value] = facts_.attempts[microbatch_.value].next();
  }

  /// Not finite at a second replica either, or there is no other.
  bool is_hopeless(std::size_t stage) const {
    const auto replicas = std::count_if(facts_.live.begin(), facts_.live.end(),
                                        [&](const auto& w) { return w.stage == index(stage); });
    const std::size_t refused = refusers(stage).size();
    return refused >= 2 || refused == static_cast<std::size_t>(replicas);
  }

  /// Of those through first with what they have, the first; if possible not one that was relieved
  /// of this microbatch, or is at it already.
  std::size_t choose(std::size_t stage) const {
    std::vector<std::size_t> replicas;
    const auto refused = is_hopeless(stage) ? std::set<std::size_t>{} : refusers(stage);
    bool rated = true;
    for (std::size_t w = 0; w < facts_.live.size(); ++w)
      if (facts_.live[w].stage == index(stage) && !refused.contains(w)) {
        replicas.push_back(w);
        rated &= facts_.live[w].units_per_second > 0;
      }
    COSHARD_CHECK(!replicas.empty());
    const auto seconds = [&](std::size_t w) {
      const auto units = static_cast<double>(facts_.live[w].busy + given_[w]);
      return rated ? units / facts_.live[w].units_per_second : units;
    };
    const auto is_at_it = [&](std::size_t w) {
      return std::any_of(units_[stage].begin(), units_[stage].end(),
                         [&](const LiveUnit& unit) { return unit.witness == w && !unit.done(); });
    };
    const auto slow = relieved(stage);
    const auto rank = [&](std::size_t w) {
      return std::tuple(slow.contains(w), is_at_it(w), seconds(w));
    };
    return *std::ranges::min_element(replicas, {}, rank);
  }

  void order(std::size_t stage, Redo redo) {
    if (redo == Redo::kNothing) return;
    const Attempt attempt = facts_.attempts[microbatch_.value].next();
    const std::size_t witness = choose(stage);
    const LiveUnit unit{witness, unit_of(attempt), redo, true};
    again_[stage] = unit;
    ++given_[witness];
    ++plan_.units_redone;
    plan_.attempts[microbatch_.value] = attempt;
    plan_.ordered[{index(stage), microbatch_, attempt}] = redo;
    if (redo == Redo::kCount)
      plan_.counted.push_back({index(stage), microbatch_, node_of(unit), attempt});
    task(*again_[stage]).redo = redo;
    task(*again_[stage]).blank = is_hopeless(stage);
    plan_.blanks += is_hopeless(stage) ? 1 : 0;
  }

  const LiveUnit& again_or_holder(std::size_t stage, Redo at_least) const {
    const auto& again = again_[stage];
    if (again && again->redo >= at_least) return *again;
    COSHARD_CHECK(holder_[stage] != nullptr);
    return *holder_[stage];
  }

  /// Whoever does the stage again; else who holds it; else who kept the tensor; else who will make
  /// it. A counting unit before others.
  const LiveUnit& giver(std::size_t stage, Redo at_least, bool HeldUnit::*kept,
                        bool LiveUnit::*gives) const {
    if (again_[stage] && again_[stage]->redo >= at_least) return *again_[stage];
    const LiveUnit* best = nullptr;
    const auto rank = [&](const LiveUnit& unit) {
      return std::tuple(&unit == holder_[stage], unit.held.*kept, unit.held.counts);
    };
    for (const LiveUnit& unit : units_[stage])
      if (unit.*gives && (best == nullptr || rank(unit) > rank(*best))) best = &unit;
    COSHARD_CHECK(best != nullptr);
    return *best;
  }

  RepairTask& task(const LiveUnit& unit) {
    const auto [at, added] = tasks_.try_emplace({unit.witness, unit.held.attempt});
    if (added) {
      at->second.microbatch = microbatch_;
      at->second.attempt = unit.held.attempt;
    }
    return at->second;
  }

  void pass_output(std::size_t stage) {
    const LiveUnit& giver =
        this->giver(stage, Redo::kForward, &HeldUnit::output_kept, &LiveUnit::gives_output);
    const LiveUnit& taker = again_or_holder(stage + 1, Redo::kForward);
    const bool promised = !giver.fresh && !giver.made_output() && giver.held.to == hop(taker);
    if (!promised) {
      task(giver).to = hop(taker);
      task(giver).send_output = true;
    }
    if (taker.fresh) task(taker).from = hop(giver);  // others may owe `from` a gradient
  }

  void pass_gradient(std::size_t stage) {
    const LiveUnit& giver =
        this->giver(stage, Redo::kPass, &HeldUnit::gradient_kept, &LiveUnit::gives_gradient);
    const LiveUnit& taker = again_or_holder(stage - 1, Redo::kPass);
    const bool promised = !giver.fresh && !giver.done() && giver.held.from == hop(taker);
    if (!promised) {
      task(giver).from = hop(taker);
      task(giver).send_gradient = true;
    }
    if (taker.fresh ? !task(taker).send_output : !sends_output(stage - 1, taker, hop(giver)))
      task(taker).to = hop(giver);
  }

  /// Whether a unit that is there needs no word about who sends its gradient: it is `expected`, or
  /// its output, ordered now or before, goes to somebody else.
  bool sends_output(std::size_t stage, const LiveUnit& unit, const Hop& expected) const {
    if (unit.held.to == expected) return true;
    const auto ordered = tasks_.find({unit.witness, unit.held.attempt});
    if (ordered != tasks_.end() && ordered->second.send_output) return true;
    const auto& behind = units_[stage + 1];
    return !unit.made_output() && std::any_of(behind.begin(), behind.end(), [&](const auto& other) {
      return other.held.progress == UnitProgress::kAwaited && unit.held.to == hop(other);
    });
  }

  void hand_out() {
    for (const auto& [unit, task] : tasks_)
      plan_.tasks[facts_.live[unit.first].node].push_back(task);
  }

  /// Nobody in particular does the unit any more, whoever was expected to.
  void open(std::size_t stage) {
    const BookedUnit& unit = booked(stage);
    if (is_counted(stage) || !unit.holder) return;
    if (again_[stage] && again_[stage]->redo == Redo::kCount) return;
    if (holder_[stage] != nullptr && node_of(*holder_[stage]) == *unit.holder) return;
    plan_.opened.emplace_back(index(stage), microbatch_);
  }

  const StepFacts& facts_;
  MicrobatchIndex microbatch_;
  RepairPlan& plan_;
  Given& given_;
  std::vector<std::vector<LiveUnit>> units_;    ///< by stage
  std::vector<LiveUnit*> holder_;               ///< by stage: has the unit and has not counted it
  std::vector<std::optional<LiveUnit>> again_;  ///< by stage: does it again
  std::map<std::pair<std::size_t, Attempt>, RepairTask> tasks_;  ///< by witness and attempt
};

}  // namespace

RepairPlan plan_step(const StepFacts& facts) {
  RepairPlan plan;
  plan.attempts = facts.attempts;
  plan.ordered = facts.ordered;
  Given given(facts.live.size());
  for (std::uint32_t m = 0; m < facts.microbatches; ++m)
    MicrobatchPlanner(facts, MicrobatchIndex(m), plan, given).run();
  return plan;
}

}  // namespace coshard::round
