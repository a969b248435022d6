// One stage through one step: see pipeline.h.
// SPDX-License-Identifier: Apache-2.0
#include "protocol/round/pipeline.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "protocol/base/check.h"

namespace coshard::round {
namespace {

constexpr NodeId kNobody{};

/// Tensors that may come before their orders: per microbatch both directions of two repairs.
constexpr std::size_t kOffersPerMicrobatch = 4;

}  // namespace

Pipeline::Pipeline(PipelineState order) : order_(std::move(order)) {
  COSHARD_CHECK(order_.inputs.empty() && order_.gradients.empty());
  COSHARD_CHECK_OP(order_.stage, <, order_.stages);
}

// ---- what arrives -------------------------------------------------------------------------------

Arrival Pipeline::granted(MicrobatchIndex microbatch, Attempt attempt) {
  if (order_.stage != 0 || microbatch.value >= order_.microbatches) return Arrival::kRefused;
  const UnitKey key{microbatch, attempt};
  if (find(key) != nullptr) return Arrival::kRepeated;
  if (holds_counting(microbatch)) return Arrival::kRefused;
  input_here(key, flights_[key]);
  return Arrival::kAccepted;
}

Arrival Pipeline::judge_forward(const NodeId& from, const Unit& unit, bool ordered) const {
  if (unit.step != order_.step || unit.stage.value + 1 != order_.stage ||
      unit.microbatch.value >= order_.microbatches)
    return Arrival::kRefused;
  const UnitKey key{unit.microbatch, unit.attempt};
  if (const Flight* known = find(key)) {
    if (known->progress == UnitProgress::kAwaited) return Arrival::kAccepted;
    // Once an order has named another source, what the first one sent may still come again.
    const bool may = ordered || known->sourced || known->from.node == from;
    return may ? Arrival::kRepeated : Arrival::kRefused;
  }
  if (!ordered) return holds_counting(unit.microbatch) ? Arrival::kRefused : Arrival::kAccepted;
  if (offers_.contains({key, Direction::kForward})) return Arrival::kRepeated;
  return offers_.size() < kOffersPerMicrobatch * order_.microbatches ? Arrival::kAccepted
                                                                     : Arrival::kRefused;
}

Arrival Pipeline::forward_arrived(const NodeId& from, const Unit& unit, bool ordered) {
  const Arrival arrival = judge_forward(from, unit, ordered);
  if (arrival != Arrival::kAccepted) return arrival;
  const UnitKey key{unit.microbatch, unit.attempt};
  const bool known = flights_.contains(key);
  if (!known && ordered) {
    offers_.insert({key, Direction::kForward});
    return arrival;
  }
  Flight& flight = flights_[key];
  if (!known) {
    flight.from = Hop{from, unit.attempt};
    flight.slotted = true;
  }
  input_here(key, flight);
  return arrival;
}

Arrival Pipeline::backward_arrived(const NodeId& from, const Unit& unit) {
  if (unit.step != order_.step || unit.stage.value != order_.stage + 1) return Arrival::kRefused;
  const UnitKey key{unit.microbatch, unit.attempt};
  const auto found = flights_.find(key);
  const bool room = offers_.size() < kOffersPerMicrobatch * order_.microbatches;
  if (found == flights_.end()) {  // before the order: a first attempt is never ordered
    if (unit.attempt.value == 0 || unit.microbatch.value >= order_.microbatches || !room)
      return Arrival::kRefused;
    return offers_.insert({key, Direction::kBackward}).second ? Arrival::kAccepted
                                                              : Arrival::kRepeated;
  }
  Flight& flight = found->second;
  const bool expected = flight.to.node == from && flight.progress >= UnitProgress::kSent;
  if (flight.gradient_here || flight.redo == Redo::kForward) return Arrival::kRepeated;
  if (!expected && !flight.directed && !flight.to_lost) {
    // Another one does the unit behind again, and the order that says so is still to come.
    if (flight.progress != UnitProgress::kSent || !room) return Arrival::kRefused;
    return offers_.insert({key, Direction::kBackward}).second ? Arrival::kAccepted
                                                              : Arrival::kRepeated;
  }
  flight.gradient_here = true;
  if (flight.progress == UnitProgress::kSent) output_sent(key, flight);
  return Arrival::kAccepted;
}

// ---- what is computed ---------------------------------------------------------------------------

std::optional<Work> Pipeline::next() {
  auto work = next_work(order_);
  if (!work) return work;
  const UnitKey key{work->unit.microbatch, work->unit.attempt};
  work->blank = flights_.at(key).blank;
  if (work->op == WorkOp::kBackward) {
    flight(work->unit, UnitProgress::kGradient).progress = UnitProgress::kBackward;
    order_.gradients.erase(key);
    if (work->counts) ++order_.backwards;
    return work;
  }
  flight(work->unit, UnitProgress::kInput).progress = UnitProgress::kForward;
  order_.inputs.erase(key);
  if (work->counts) ++order_.forwards;
  if (work->counts && work->op == WorkOp::kForwardLoss) ++order_.backwards;
  return work;
}

std::vector<Outgoing> Pipeline::computed(const Work& work, std::uint64_t tokens, double loss_sum) {
  const bool backward = work.op == WorkOp::kBackward;
  Flight& at = flight(work.unit, backward ? UnitProgress::kBackward : UnitProgress::kForward);
  const UnitKey key{work.unit.microbatch, work.unit.attempt};
  std::vector<Outgoing> outgoing;
  at.tokens = tokens;
  if (work.op == WorkOp::kForward || work.op == WorkOp::kForwardOnly) {
    at.output_kept = true;
    at.progress = UnitProgress::kOutput;
    if (at.directed && at.sends_output) outgoing.push_back(output_of(key, at));
    if (work.op == WorkOp::kForwardOnly)
      at.progress = UnitProgress::kDone;
    else if (at.directed)
      output_sent(key, at);
    return outgoing;
  }
  at.loss_sum = loss_sum;
  at.progress = UnitProgress::kDone;
  if (at.redo == Redo::kCount) done_[key.microbatch] = key.attempt;
  if (order_.stage == 0) return outgoing;
  at.gradient_kept = true;
  if (!at.from_lost) outgoing.push_back(gradient_of(key, at));
  return outgoing;
}

std::optional<NodeId> Pipeline::refuse(const Work& work, UnitFault fault) {
  const bool backward = work.op == WorkOp::kBackward;
  Flight& at = flight(work.unit, backward ? UnitProgress::kBackward : UnitProgress::kForward);
  if (work.counts) --order_.forwards;
  if (work.counts && work.op != WorkOp::kForward) --order_.backwards;
  allow_any_order();  // it comes back in another place, or not at all
  at.progress = UnitProgress::kDone;
  at.redo = Redo::kForward;
  at.fault = fault;
  if (!std::exchange(at.slotted, false)) return std::nullopt;
  return at.from.node;
}

bool Pipeline::relieve(const Unit& unit) {
  const UnitKey key{unit.microbatch, unit.attempt};
  const auto found = flights_.find(key);
  if (found == flights_.end() || found->second.redo != Redo::kCount) return false;
  Flight& at = found->second;
  const bool begun = at.progress >= UnitProgress::kForward;
  const bool accumulates = at.progress >= UnitProgress::kBackward || (begun && order_.is_last());
  if (accumulates || at.progress == UnitProgress::kAwaited) return false;
  if (begun) --order_.forwards;
  order_.inputs.erase(key);
  order_.gradients.erase(key);
  allow_any_order();  // it is another's now
  at.redo = Redo::kForward;
  at.relieved = true;
  if (at.progress < UnitProgress::kSent) at.to = {};  // nobody has anything of it
  at.progress = UnitProgress::kDone;
  at.slotted = at.routed = false;
  return true;
}

Work Pipeline::blanked(const Work& work) {
  const bool backward = work.op == WorkOp::kBackward;
  flight(work.unit, backward ? UnitProgress::kBackward : UnitProgress::kForward).blank = true;
  Work blank = work;
  blank.blank = true;
  return blank;
}

std::optional<Unit> Pipeline::unsent() const {
  for (const auto& [key, flight] : flights_) {
    if (flight.progress == UnitProgress::kOutput) return unit_of(key);
    // The next stage takes them in order: what is made anew as blank comes first all the same.
    if (order_.in_order && flight.progress < UnitProgress::kOutput) return std::nullopt;
  }
  return std::nullopt;
}

void Pipeline::sent(const Unit& unit, const NodeId& to) {
  Flight& at = flight(unit, UnitProgress::kOutput);
  at.to = Hop{to, unit.attempt};
  at.routed = true;
  output_sent({unit.microbatch, unit.attempt}, at);
}

// ---- repair -------------------------------------------------------------------------------------

void Pipeline::lose(const NodeId& node) {
  for (auto& [key, flight] : flights_) {
    if (flight.from.node == node) {
      flight.from_lost = true;
      flight.slotted = false;
    }
    if (flight.to.node == node) {
      flight.to_lost = true;
      flight.routed = false;
    }
  }
}

std::vector<Outgoing> Pipeline::repair(const RepairTask& task) {
  const UnitKey key{task.microbatch, task.attempt};
  if (task.microbatch.value >= order_.microbatches) return {};
  return task.redo == Redo::kNothing ? keep(key, task) : redo(key, task);
}

/// A unit of a lost node, or of one whose tensors are gone, begins here.
std::vector<Outgoing> Pipeline::redo(const UnitKey& key, const RepairTask& task) {
  if (flights_.contains(key)) return {};
  Flight& flight = flights_[key];
  flight.progress = UnitProgress::kAwaited;
  flight.redo = task.redo;
  flight.blank = task.blank;
  if (task.blank) flight.loss_sum = std::numeric_limits<double>::quiet_NaN();
  flight.from = task.from;
  flight.sourced = task.from.node != kNobody;
  flight.to = task.to;
  flight.directed = task.to.node != kNobody;
  flight.sends_output = task.send_output;
  flight.gradient_here = offers_.contains({key, Direction::kBackward});
  if (order_.stage == 0 || offers_.contains({key, Direction::kForward})) input_here(key, flight);
  return {};
}

/// A unit that is here gets other neighbours. What was sent once and made room since is asked for
/// all the same: whoever finds it gone says so, and there will be other orders.
std::vector<Outgoing> Pipeline::keep(const UnitKey& key, const RepairTask& task) {
  const auto found = flights_.find(key);
  if (found == flights_.end()) return {};
  Flight& flight = found->second;
  std::vector<Outgoing> outgoing;
  if (task.from.node != kNobody) {
    flight.slotted &= task.from.node == flight.from.node;  // who is answered now gave no slot
    flight.from = task.from;
    flight.sourced = true;
    flight.from_lost = false;
    if (task.send_gradient && flight.progress == UnitProgress::kDone)
      outgoing.push_back(gradient_of(key, flight));
  }
  if (task.to.node == kNobody) return outgoing;
  flight.to = task.to;
  flight.to_lost = flight.routed = false;
  flight.directed = true;
  flight.sends_output = task.send_output;
  if (offers_.contains({key, Direction::kBackward})) flight.gradient_here = true;
  if (flight.progress < UnitProgress::kOutput) return outgoing;
  if (task.send_output) outgoing.push_back(output_of(key, flight));
  const bool waits = flight.progress == UnitProgress::kSent && flight.gradient_here &&
                     !order_.gradients.contains(key);
  if (flight.progress == UnitProgress::kOutput || waits) output_sent(key, flight);
  return outgoing;
}

void Pipeline::evicted(const Unit& unit, Direction direction) {
  const auto found = flights_.find({unit.microbatch, unit.attempt});
  if (found == flights_.end()) return;
  (direction == Direction::kForward ? found->second.output_kept : found->second.gradient_kept) =
      false;
}

std::vector<HeldUnit> Pipeline::holdings() const {
  std::vector<HeldUnit> units;
  for (const auto& [key, flight] : flights_)
    units.push_back({key.microbatch, key.attempt, flight.progress, flight.redo == Redo::kCount,
                     flight.gradient_here, flight.output_kept, flight.gradient_kept, flight.from,
                     flight.to, flight.tokens, flight.loss_sum, flight.sourced, flight.directed,
                     flight.fault, flight.relieved});
  return units;
}

// ---- small things -------------------------------------------------------------------------------

void Pipeline::input_here(const UnitKey& key, Flight& flight) {
  flight.progress = UnitProgress::kInput;
  order_.inputs[key] = flight.redo;
}

/// The output has left, or need not: the gradient is next, and may have come already.
void Pipeline::output_sent(const UnitKey& key, Flight& flight) {
  flight.progress = flight.gradient_here ? UnitProgress::kGradient : UnitProgress::kSent;
  if (flight.gradient_here) order_.gradients[key] = flight.redo;
}

Outgoing Pipeline::output_of(const UnitKey& key, const Flight& flight) const {
  return {unit_of(key), Direction::kForward, flight.to, true, false};
}

Outgoing Pipeline::gradient_of(const UnitKey& key, Flight& flight) const {
  return {unit_of(key), Direction::kBackward, flight.from, false,
          std::exchange(flight.slotted, false)};
}

Unit Pipeline::unit_of(const UnitKey& key) const {
  return {order_.step, key.microbatch, StageIndex(order_.stage), key.attempt};
}

const Flight* Pipeline::find(const UnitKey& key) const {
  const auto found = flights_.find(key);
  return found == flights_.end() ? nullptr : &found->second;
}

bool Pipeline::holds_counting(MicrobatchIndex microbatch) const {
  for (auto at = flights_.lower_bound({microbatch, Attempt(0)});
       at != flights_.end() && at->first.microbatch == microbatch; ++at)
    if (at->second.redo == Redo::kCount) return true;
  return false;
}

std::vector<MicrobatchIndex> Pipeline::done() const {
  std::vector<MicrobatchIndex> done;
  for (const auto& [microbatch, attempt] : done_) done.push_back(microbatch);
  return done;
}

std::uint32_t Pipeline::outstanding() const {
  return static_cast<std::uint32_t>(
      std::count_if(flights_.begin(), flights_.end(),
                    [](const auto& at) { return at.second.progress != UnitProgress::kDone; }));
}

Flight& Pipeline::flight(const Unit& unit, UnitProgress expected) {
  const auto found = flights_.find({unit.microbatch, unit.attempt});
  COSHARD_CHECK(found != flights_.end());
  COSHARD_CHECK(found->second.progress == expected);
  return found->second;
}

}  // namespace coshard::round
