// The model's nodes and their misfortunes: see repair_model.h.
// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/round/repair_model.h"

#include <algorithm>

#include "tests/unit/round/round_nodes.h"

namespace coshard::round {
namespace {

using enum UnitProgress;

constexpr std::uint32_t kMicrobatches = 3;
const NodeId kNoNode{};

}  // namespace

void ModelCounts::add(const ModelCounts& other) {
  losses += other.losses;
  evictions += other.evictions;
  reliefs += other.reliefs;
  plans += other.plans;
  redone += other.redone;
  exact += other.exact;
  unclear += other.unclear;
}

RepairModel::RepairModel(std::uint64_t seed, bool tells) : rng_(seed), tells_(tells) {
  stages_ = 2 + static_cast<std::uint32_t>(rng_.below(3));
  at_once_ = rng_.below(2) == 0;
  losses_left_ = 1 + static_cast<std::uint32_t>(rng_.below(4));
  evictions_left_ = rng_.below(2) == 0 ? 0 : static_cast<std::uint32_t>(rng_.below(12));
  reliefs_left_ = rng_.below(2) == 0 ? 0 : static_cast<std::uint32_t>(rng_.below(6));
  const auto replicas = static_cast<std::uint32_t>(2 + rng_.below(2));
  for (std::uint32_t stage = 0; stage < stages_; ++stage)
    for (std::uint32_t replica = 0; replica < replicas; ++replica) {
      ModelNode node;
      node.id = round::node(static_cast<std::uint32_t>(nodes_.size()) + 1);
      node.stage = stage;
      node.rate = static_cast<double>(rng_.below(4));
      node.members.assign(stages_ * replicas, true);
      nodes_.push_back(node);
    }
  book_.assign(stages_, std::vector<Booked>(kMicrobatches));
  averaged_.assign(stages_, false);
  grant_heard_.assign(kMicrobatches, false);
  attempts_.assign(kMicrobatches, Attempt(0));
}

std::string RepairModel::run() {
  const auto often = rng_.below(20);  // some cases lose early, some late
  while (fault_.empty()) {
    if (losses_left_ > 0 && rng_.below(10 + 3 * often) == 0) lose_one();
    if (evictions_left_ > 0 && rng_.below(4) == 0) evict_one();
    if (reliefs_left_ > 0 && rng_.below(4) == 0) relieve_one();
    if (ask_again_ && !surveying_) new_epoch();
    const std::vector<Choice> open = choices();
    if (open.empty()) break;
    happen(open[rng_.below(open.size())]);
  }
  const bool all = std::all_of(averaged_.begin(), averaged_.end(), [](bool done) { return done; });
  if (fault_.empty() && !all) fault_ = "somebody waits for ever";
  return fault_;
}

std::string RepairModel::name(std::size_t n, const Key& key) const {
  return std::to_string(nodes_[n].stage) + "/" + std::to_string(n) + " m" +
         std::to_string(key.first.value) + "." + std::to_string(key.second.value);
}

std::size_t RepairModel::find(const NodeId& id) const {
  for (std::size_t n = 0; n < nodes_.size(); ++n)
    if (nodes_[n].id == id) return n;
  return nodes_.size();
}

// ---- what may happen ----------------------------------------------------------------------------

std::vector<RepairModel::Choice> RepairModel::choices() const {
  std::vector<Choice> choices;
  for (std::size_t i = 0; i < wire_.size(); ++i) choices.push_back({What::kDeliver, i});
  for (std::size_t n = 0; n < nodes_.size(); ++n) {
    const ModelNode& node = nodes_[n];
    if (!node.alive) continue;
    if (node.epoch < epoch_) choices.push_back({What::kHear, n});
    if (node.orders) choices.push_back({What::kObey, n});
    for (const auto& [key, unit] : node.units) {
      const UnitProgress at = unit.held.progress;
      const bool moves = at == kInput || at == kForward || at == kGradient || at == kBackward;
      if (moves || at == kOutput) choices.push_back({What::kWork, n, key});
      if (at == kDone && unit.held.counts && !unit.reported)
        choices.push_back({What::kReport, n, key});
    }
  }
  choices_of_coordinator(choices);
  return choices;
}

void RepairModel::choices_of_coordinator(std::vector<Choice>& choices) const {
  const auto answered = [&](const ModelNode& node) { return !node.alive || node.epoch == epoch_; };
  if (surveying_ && std::all_of(nodes_.begin(), nodes_.end(), answered))
    choices.push_back({What::kPlan});
  for (std::uint32_t stage = 0; stage < stages_; ++stage) {
    const auto reported = [](const Booked& unit) { return unit.reporter.has_value(); };
    if (!averaged_[stage] && std::all_of(book_[stage].begin(), book_[stage].end(), reported))
      choices.push_back({What::kAverage, stage});
  }
  for (std::size_t m = 0; m < kMicrobatches; ++m) {
    const Booked& unit = book_[0][m];
    if (!unit.assigned)
      choices.push_back({What::kGrant, m});
    else if (!grant_heard_[m])
      choices.push_back({What::kGranted, m});
  }
}

void RepairModel::happen(const Choice& choice) {
  switch (choice.what) {
    case What::kDeliver:
      return deliver(choice.index);
    case What::kWork:
      return work(choice.index, choice.unit);
    case What::kReport:
      return report(choice.index, choice.unit);
    case What::kAverage:
      return average(static_cast<std::uint32_t>(choice.index));
    case What::kHear:
      return hear(choice.index);
    case What::kObey:
      return obey(choice.index);
    case What::kPlan:
      return plan();
    case What::kGrant:
      return grant(choice.index);
    case What::kGranted:
      return granted(choice.index);
  }
}

// ---- nodes --------------------------------------------------------------------------------------

void RepairModel::work(std::size_t n, const Key& key) {
  ModelUnit& unit = nodes_[n].units.at(key);
  switch (unit.held.progress) {
    case kInput:
      unit.held.progress = kForward;
      return;
    case kGradient:
      unit.held.progress = kBackward;
      return;
    case kOutput:
      return route(n, key, unit);
    default:
      return computed(n, key, unit);
  }
}

void RepairModel::computed(std::size_t n, const Key& key, ModelUnit& unit) {
  HeldUnit& held = unit.held;
  if (held.progress == kForward && !is_last(n)) {
    held.output_kept = true;
    held.progress = kOutput;
    if (unit.directed && unit.sends_output) send(n, key, unit, true, true);
    if (unit.redo == Redo::kForward)
      held.progress = kDone;
    else if (unit.directed)
      output_sent(unit);
    return;
  }
  held.progress = kDone;
  if (tells_) say(name(n, key) + (held.counts ? " counts" : " has passed it"));
  if (held.counts && averaged_[nodes_[n].stage]) fault("counts after the average " + name(n, key));
  if (nodes_[n].stage == 0) return;
  held.gradient_kept = true;
  send(n, key, unit, false, false);
}

void RepairModel::output_sent(ModelUnit& unit) {
  unit.held.progress = unit.held.has_gradient ? kGradient : kSent;
}

void RepairModel::route(std::size_t n, const Key& key, ModelUnit& unit) {
  std::vector<std::size_t> next;
  for (std::size_t other = 0; other < nodes_.size(); ++other)
    if (nodes_[other].stage == nodes_[n].stage + 1 && nodes_[n].members[other])
      next.push_back(other);
  unit.held.to = {nodes_[next[rng_.below(next.size())]].id, key.second};
  send(n, key, unit, true, false);
  output_sent(unit);
}

/// To its neighbour, if that is a member for all that the sender knows.
void RepairModel::send(std::size_t n, const Key& key, const ModelUnit& unit, bool forward,
                       bool ordered) {
  const Hop& hop = forward ? unit.held.to : unit.held.from;
  const std::size_t to = find(hop.node);
  if (to == nodes_.size()) return fault("sends to nobody " + name(n, key));
  if (!nodes_[n].members[to]) return;
  const bool kept = forward ? unit.held.output_kept : unit.held.gradient_kept;
  if (!kept) return fault("sends what it does not keep " + name(n, key));
  const Flying tensor{forward, ordered, n, to, {key.first, hop.attempt}, key};
  if (tells_)
    say(name(n, key) + (forward ? " -> " : " => ") + name(to, tensor.unit) +
        (ordered ? " by order" : ""));
  wire_.push_back(tensor);
}

void RepairModel::deliver(std::size_t which) {
  const Flying tensor = wire_[which];
  wire_.erase(wire_.begin() + static_cast<std::ptrdiff_t>(which));
  if (!nodes_[tensor.to].alive || !nodes_[tensor.to].members[tensor.from]) return;
  if (tensor.forward)
    forward_arrived(tensor);
  else
    backward_arrived(tensor);
}

void RepairModel::forward_arrived(const Flying& tensor) {
  ModelNode& node = nodes_[tensor.to];
  const auto known = node.units.find(tensor.unit);
  if (known != node.units.end()) {
    if (known->second.held.progress == kAwaited) known->second.held.progress = kInput;
    return;
  }
  if (tensor.ordered) return node.offers.push_back(tensor);
  for (const auto& [key, unit] : node.units)
    if (key.first == tensor.unit.first && unit.held.counts)
      return fault("is given twice what it counts " + name(tensor.to, tensor.unit));
  ModelUnit& unit = node.units[tensor.unit];
  unit.held.microbatch = tensor.unit.first;
  unit.held.attempt = tensor.unit.second;
  unit.held.progress = kInput;
  unit.held.from = {nodes_[tensor.from].id, tensor.maker.second};
}

void RepairModel::backward_arrived(const Flying& tensor) {
  ModelNode& node = nodes_[tensor.to];
  const auto known = node.units.find(tensor.unit);
  if (known == node.units.end()) return node.offers.push_back(tensor);
  ModelUnit& unit = known->second;
  HeldUnit& held = unit.held;
  if (unit.redo == Redo::kForward || held.has_gradient) return;
  if (!unit.directed && held.progress < kSent)
    return fault("gets a gradient too early " + name(tensor.to, tensor.unit));
  held.has_gradient = true;
  if (held.progress == kSent) held.progress = kGradient;
}

void RepairModel::hear(std::size_t n) {
  ModelNode& node = nodes_[n];
  node.epoch = epoch_;
  for (std::size_t other = 0; other < nodes_.size(); ++other)
    node.members[other] = nodes_[other].alive;
  std::erase_if(node.offers, [&](const Flying& tensor) { return !node.members[tensor.from]; });
  node.orders.reset();
  node.holdings = Holdings{};
  node.holdings.stage = StageIndex(node.stage);
  for (const auto& [key, unit] : node.units) node.holdings.units.push_back(unit.held);
}

void RepairModel::obey(std::size_t n) {
  const auto orders = std::exchange(nodes_[n].orders, std::nullopt);
  if (!orders) return;
  for (const RepairTask& task : *orders)
    if (task.redo == Redo::kNothing)
      keep(n, task);
    else
      redo(n, task);
}

bool RepairModel::was_offered(std::size_t n, const Key& key, bool forward) const {
  const auto& offers = nodes_[n].offers;
  return std::any_of(offers.begin(), offers.end(), [&](const Flying& tensor) {
    return tensor.unit == key && tensor.forward == forward;
  });
}

void RepairModel::redo(std::size_t n, const RepairTask& task) {
  const Key key{task.microbatch, task.attempt};
  const auto [at, fresh] = nodes_[n].units.try_emplace(key);
  if (!fresh) return fault("does again what it has " + name(n, key));
  ModelUnit& unit = at->second;
  unit.redo = task.redo;
  unit.directed = task.to.node != kNoNode;
  unit.sends_output = task.send_output;
  HeldUnit& held = unit.held;
  held.microbatch = task.microbatch;
  held.attempt = task.attempt;
  held.counts = task.redo == Redo::kCount;
  held.from = task.from;
  held.from_ordered = task.from.node != kNoNode;
  held.to = task.to;
  held.has_gradient = was_offered(n, key, false);
  if (nodes_[n].stage == 0 || was_offered(n, key, true)) held.progress = kInput;
}

void RepairModel::keep(std::size_t n, const RepairTask& task) {
  const Key key{task.microbatch, task.attempt};
  const auto found = nodes_[n].units.find(key);
  if (found == nodes_[n].units.end()) return;
  ModelUnit& unit = found->second;
  HeldUnit& held = unit.held;
  if (task.from.node != kNoNode) {
    held.from = task.from;
    held.from_ordered = true;
    if (task.send_gradient && held.progress == kDone) {
      if (held.gradient_kept)
        send(n, key, unit, false, true);
      else
        ask_again_ = true;
    }
  }
  if (task.to.node == kNoNode) return;
  held.to = task.to;
  unit.directed = true;
  unit.sends_output = task.send_output;
  if (held.progress < kOutput) return;
  if (task.send_output && held.output_kept)
    send(n, key, unit, true, true);
  else if (task.send_output)
    ask_again_ = true;
  if (held.progress == kOutput) output_sent(unit);
}

// ---- misfortunes --------------------------------------------------------------------------------

/// A node that its stage can spare.
void RepairModel::lose_one() {
  const std::size_t n = rng_.below(nodes_.size());
  const auto peers = std::count_if(nodes_.begin(), nodes_.end(), [&](const ModelNode& node) {
    return node.alive && node.stage == nodes_[n].stage;
  });
  if (!nodes_[n].alive || peers == 1) return;
  --losses_left_;
  ++counts_.losses;
  nodes_[n].alive = false;
  if (tells_) say("LOST " + std::to_string(n));
  if (!averaged_[nodes_[n].stage])
    for (Booked& unit : book_[nodes_[n].stage])
      if (unit.reporter == nodes_[n].id) unit.reporter.reset();
  new_epoch();
}

/// A unit that is not on its way into a sum is given back, as after an order: not before the next
/// survey, and everybody is asked once it is done.
void RepairModel::relieve_one() {
  const std::size_t n = rng_.below(nodes_.size());
  ModelNode& node = nodes_[n];
  if (!node.alive || node.units.empty() || (surveying_ && node.epoch == epoch_)) return;
  auto at = node.units.begin();
  std::advance(at, static_cast<std::ptrdiff_t>(rng_.below(node.units.size())));
  HeldUnit& held = at->second.held;
  const bool accumulates = held.progress >= kBackward || (held.progress >= kForward && is_last(n));
  if (!held.counts || held.progress == kAwaited || accumulates) return;
  held.counts = false;
  held.relieved = true;
  if (held.progress < kSent) held.to = {};
  held.progress = kDone;
  at->second.redo = Redo::kForward;
  ask_again_ = true;
  --reliefs_left_;
  ++counts_.reliefs;
  if (tells_) say(name(n, at->first) + " is given back");
}

/// Something kept that is not on the wire.
void RepairModel::evict_one() {
  ModelNode& node = nodes_[rng_.below(nodes_.size())];
  if (!node.alive || node.units.empty()) return;
  auto at = node.units.begin();
  std::advance(at, static_cast<std::ptrdiff_t>(rng_.below(node.units.size())));
  HeldUnit& held = at->second.held;
  const bool forward = rng_.below(2) == 0;
  bool& kept = forward ? held.output_kept : held.gradient_kept;
  const bool flying = std::any_of(wire_.begin(), wire_.end(), [&](const Flying& tensor) {
    return &nodes_[tensor.from] == &node && tensor.maker == at->first && tensor.forward == forward;
  });
  if (!kept || flying || held.progress < kSent) return;
  kept = false;
  --evictions_left_;
  ++counts_.evictions;
  if (tells_)
    say(name(static_cast<std::size_t>(&node - nodes_.data()), at->first) + " loses its " +
        (forward ? "output" : "gradient"));
}

}  // namespace coshard::round
