// The model's coordinator, and what its plans may cost: see repair_model.h.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "tests/unit/round/repair_model.h"

namespace coshard::round {
namespace {

using enum UnitProgress;

}  // namespace

void RepairModel::new_epoch() {
  ++epoch_;
  ask_again_ = false;
  surveying_ = true;
  if (!at_once_) return;
  for (std::size_t n = 0; n < nodes_.size(); ++n)
    if (nodes_[n].alive) hear(n);
  std::erase_if(wire_, [&](const Flying& tensor) { return !nodes_[tensor.from].alive; });
  plan();
  for (std::size_t n = 0; n < nodes_.size(); ++n) obey(n);
}

void RepairModel::report(std::size_t n, const Key& key) {
  const std::uint32_t stage = nodes_[n].stage;
  const NodeId& id = nodes_[n].id;
  nodes_[n].units.at(key).reported = true;
  Booked& unit = book_[stage][key.first.value];
  if (unit.reporter) return fault("is reported twice: " + name(n, key));
  if (unit.assigned ? unit.assigned != id : stage == 0)
    return fault("is reported by another than was to do it: " + name(n, key));
  unit.reporter = id;
}

/// Every microbatch is in exactly one live sum; whatever is lost from now on stays counted.
void RepairModel::average(std::uint32_t stage) {
  for (std::uint32_t m = 0; m < book_[stage].size(); ++m) {
    int sums = 0;
    for (const ModelNode& node : nodes_)
      for (const auto& [key, unit] : node.units)
        sums += node.alive && node.stage == stage && key.first.value == m && unit.held.counts &&
                unit.held.progress == kDone;
    if (sums != 1)
      fault("stage " + std::to_string(stage) + " has microbatch " + std::to_string(m) + " in " +
            std::to_string(sums) + " sums");
  }
  averaged_[stage] = true;
  if (tells_) say("stage " + std::to_string(stage) + " has averaged");
}

void RepairModel::grant(std::size_t m) {
  std::vector<NodeId> first;
  for (const ModelNode& node : nodes_)
    if (node.alive && node.stage == 0) first.push_back(node.id);
  book_[0][m].assigned = first[rng_.below(first.size())];
  grant_heard_[m] = false;
}

void RepairModel::granted(std::size_t m) {
  grant_heard_[m] = true;
  const std::size_t n = find(*book_[0][m].assigned);
  const Key key{MicrobatchIndex(static_cast<std::uint32_t>(m)), attempts_[m]};
  if (!nodes_[n].alive) return;
  const auto [at, fresh] = nodes_[n].units.try_emplace(key);
  if (!fresh) return fault("is granted what it has " + name(n, key));
  if (tells_) say(name(n, key) + " is granted");
  at->second.held.microbatch = key.first;
  at->second.held.attempt = key.second;
  at->second.held.progress = kInput;
}

StepFacts RepairModel::facts() const {
  StepFacts facts;
  facts.stages = stages_;
  facts.microbatches = static_cast<std::uint32_t>(attempts_.size());
  for (const ModelNode& node : nodes_) {
    if (!node.alive) continue;
    const auto busy = std::count_if(node.holdings.units.begin(), node.holdings.units.end(),
                                    [](const HeldUnit& unit) { return unit.progress != kDone; });
    facts.live.push_back({node.id, StageIndex(node.stage), &node.holdings, node.rate,
                          static_cast<std::uint32_t>(busy)});
  }
  for (const auto& stage : book_) {
    auto& row = facts.book.emplace_back();
    for (const Booked& unit : stage)
      row.push_back({unit.reporter.has_value(), unit.reporter ? unit.reporter : unit.assigned});
  }
  for (const BookedUnit& unit : facts.book[0]) facts.granted.push_back(unit.holder);
  facts.attempts = attempts_;
  facts.ordered = ordered_;
  return facts;
}

void RepairModel::plan() {
  surveying_ = false;
  ++counts_.plans;
  const RepairPlan plan = plan_step(facts());
  counts_.redone += plan.units_redone;
  counts_.unclear += plan.unclear > 0;
  ask_again_ = plan.unclear > 0;
  if (tells_) say("PLAN");
  check_tasks(plan);
  if (at_once_ && plan.unclear == 0) check_cost(plan);
  attempts_ = plan.attempts;
  ordered_ = plan.ordered;
  for (const auto& [stage, microbatch] : plan.opened)
    book_[stage.value][microbatch.value].assigned.reset();
  for (const MicrobatchIndex microbatch : plan.grant_anew)
    book_[0][microbatch.value].assigned.reset();
  for (const auto& unit : plan.counted) {
    Booked& booked = book_[unit.stage.value][unit.microbatch.value];
    if (booked.reporter) fault("orders again what is counted");
    booked.assigned = unit.node;
    if (unit.stage.value == 0) grant_heard_[unit.microbatch.value] = true;
  }
  for (ModelNode& node : nodes_) {
    if (!node.alive) continue;
    const auto tasks = plan.tasks.find(node.id);
    node.orders = tasks == plan.tasks.end() ? std::vector<RepairTask>{} : tasks->second;
  }
}

/// Nobody is told to do what its own words exclude.
void RepairModel::check_tasks(const RepairPlan& plan) {
  const auto nth = [](Redo redo) { return std::to_string(static_cast<int>(redo)); };
  for (const auto& [node, tasks] : plan.tasks)
    for (const RepairTask& task : tasks) {
      const std::size_t n = find(node);
      const Key key{task.microbatch, task.attempt};
      if (tells_)
        say(name(n, key) + " redo " + nth(task.redo) + " from " + task.from.node.short_hex() + "." +
            std::to_string(task.from.attempt.value) + (task.send_gradient ? "(send)" : "") +
            " to " + task.to.node.short_hex() + "." + std::to_string(task.to.attempt.value) +
            (task.send_output ? "(send)" : ""));
      if (!nodes_[n].alive) fault("orders the lost " + name(n, key));
      const auto& units = nodes_[n].holdings.units;
      const auto said = std::find_if(units.begin(), units.end(), [&](const HeldUnit& unit) {
        return Key{unit.microbatch, unit.attempt} == key;
      });
      if (said == units.end()) continue;
      if (task.redo != Redo::kNothing) fault("orders again " + name(n, key));
      if (task.send_output && said->progress >= kOutput && !said->output_kept)
        fault("wants an output that is gone " + name(n, key));
      if (task.send_gradient && said->progress == kDone && !said->gradient_kept)
        fault("wants a gradient that is gone " + name(n, key));
    }
}

/// Units that pass something on may serve or may not; without any the least cost is known.
void RepairModel::check_cost(const RepairPlan& plan) {
  int least = 0;
  int most = 0;
  for (std::uint32_t m = 0; m < attempts_.size(); ++m) {
    const int anew = begins_again(m) ? cost(Redo::kCount) : 0;
    least += least_cost(truth(m, true)) + anew;
    most += least_cost(truth(m, false)) + anew;
  }
  int paid = 0;
  for (const auto& [node, tasks] : plan.tasks)
    for (const RepairTask& task : tasks) paid += cost(task.redo);
  if (paid < least || paid > most)
    fault("costs " + std::to_string(paid) + ", not " + std::to_string(least) + " to " +
          std::to_string(most));
  counts_.exact += least == most;
}

/// Given back before anybody else had anything of it: it is ordered, not granted anew.
bool RepairModel::begins_again(std::uint32_t m) const {
  const Path path = truth(m, true);
  const auto nobody = [](const StageFacts& stage) { return stage.fate == UnitFate::kNobody; };
  if (!std::all_of(path.begin(), path.end(), nobody)) return false;
  return std::any_of(nodes_.begin(), nodes_.end(), [&](const ModelNode& node) {
    return node.alive && node.stage == 0 &&
           std::any_of(node.units.begin(), node.units.end(), [&](const auto& unit) {
             return unit.first.first.value == m && unit.second.held.relieved;
           });
  });
}

/// What is really so at this instant.
Path RepairModel::truth(std::uint32_t m, bool with_passes) const {
  Path path(stages_);
  for (std::uint32_t stage = 0; stage < stages_; ++stage)
    truth_of(stage, m, with_passes, path[stage]);
  return path;
}

void RepairModel::truth_of(std::uint32_t stage, std::uint32_t m, bool with_passes,
                           StageFacts& facts) const {
  const auto flying = [&](std::size_t n, const Key& key, bool forward) {
    return std::any_of(wire_.begin(), wire_.end(), [&](const Flying& tensor) {
      return tensor.to == n && tensor.unit == key && tensor.forward == forward;
    });
  };
  bool counted = book_[stage][m].reporter.has_value();
  const auto hold = [&] { facts.fate = UnitFate::kHeld; };
  for (std::size_t n = 0; n < nodes_.size(); ++n) {
    if (!nodes_[n].alive || nodes_[n].stage != stage) continue;
    for (const auto& [key, unit] : nodes_[n].units) {
      if (key.first.value != m) continue;
      const HeldUnit& held = unit.held;
      const bool passes = with_passes && !held.counts && held.progress != kDone;
      facts.output_kept |= held.output_kept || (passes && held.progress < kOutput);
      facts.gradient_kept |= held.gradient_kept || (passes && unit.redo == Redo::kPass);
      counted |= held.counts && held.progress == kDone;
      if (!held.counts || held.progress == kDone) continue;
      hold();
      facts.has_input = held.progress >= kInput || flying(n, key, true);
      facts.has_output = held.progress >= kOutput;
      facts.has_gradient = held.has_gradient || stage + 1 == stages_ || flying(n, key, false);
      facts.routes_itself = held.progress < kSent && !unit.directed;
    }
    const bool granted = stage == 0 && !grant_heard_[m] && book_[0][m].assigned == nodes_[n].id;
    const bool coming = std::any_of(wire_.begin(), wire_.end(), [&](const Flying& tensor) {
      return tensor.to == n && tensor.unit.first.value == m && tensor.forward && !tensor.ordered &&
             !nodes_[n].units.contains(tensor.unit);
    });
    if (!granted && !coming) continue;
    hold();
    facts.has_input = facts.routes_itself = true;
  }
  if (!counted) return;
  const bool output = facts.output_kept;
  const bool gradient = facts.gradient_kept;
  facts = StageFacts{};
  facts.fate = UnitFate::kCounted;
  facts.output_kept = output;
  facts.gradient_kept = gradient;
}

}  // namespace coshard::round
