// One stage through one step: see pipeline.h.
// SPDX-License-Identifier: Apache-2.0
#include "protocol/round/pipeline.h"

#include "protocol/base/check.h"

namespace coshard::round {

Pipeline::Pipeline(PipelineState order) : order_(std::move(order)) {
  COSHARD_CHECK(order_.inputs.empty() && order_.gradients.empty());
  COSHARD_CHECK_OP(order_.stage, <, order_.stages);
}

Arrival Pipeline::granted(MicrobatchIndex microbatch, Attempt attempt) {
  if (order_.stage != 0 || microbatch.value >= order_.microbatches) return Arrival::kRefused;
  if (const Flight* known = find(microbatch))
    return known->attempt == attempt ? Arrival::kRepeated : Arrival::kRefused;
  flights_[microbatch].attempt = attempt;
  order_.inputs[microbatch] = attempt;
  return Arrival::kAccepted;
}

Arrival Pipeline::judge_forward(const NodeId& from, const Unit& unit) const {
  if (unit.step != order_.step || unit.stage.value + 1 != order_.stage ||
      unit.microbatch.value >= order_.microbatches)
    return Arrival::kRefused;
  const Flight* known = find(unit.microbatch);
  if (known == nullptr) return Arrival::kAccepted;
  const bool same = known->attempt == unit.attempt && known->from == from;
  return same ? Arrival::kRepeated : Arrival::kRefused;
}

Arrival Pipeline::forward_arrived(const NodeId& from, const Unit& unit) {
  const Arrival arrival = judge_forward(from, unit);
  if (arrival != Arrival::kAccepted) return arrival;
  Flight& flight = flights_[unit.microbatch];
  flight.attempt = unit.attempt;
  flight.from = from;
  order_.inputs[unit.microbatch] = unit.attempt;
  return arrival;
}

Arrival Pipeline::backward_arrived(const NodeId& from, const Unit& unit) {
  if (unit.step != order_.step || unit.stage.value != order_.stage + 1) return Arrival::kRefused;
  const auto found = flights_.find(unit.microbatch);
  if (found == flights_.end()) return Arrival::kRefused;
  Flight& flight = found->second;
  if (flight.state < FlightState::kSent || flight.to != from || flight.attempt != unit.attempt)
    return Arrival::kRefused;
  if (flight.state > FlightState::kSent) return Arrival::kRepeated;
  flight.state = FlightState::kGradient;
  order_.gradients[unit.microbatch] = unit.attempt;
  return Arrival::kAccepted;
}

std::optional<Work> Pipeline::next() {
  const auto work = next_work(order_);
  if (!work) return work;
  const MicrobatchIndex microbatch = work->unit.microbatch;
  if (work->op == WorkOp::kBackward) {
    flight(microbatch, FlightState::kGradient).state = FlightState::kBackward;
    order_.gradients.erase(microbatch);
    ++order_.backwards;
  } else {
    flight(microbatch, FlightState::kInput).state = FlightState::kForward;
    order_.inputs.erase(microbatch);
    ++order_.forwards;
    if (work->op == WorkOp::kForwardLoss) ++order_.backwards;
  }
  return work;
}

void Pipeline::computed(const Work& work, std::uint64_t tokens, double loss_sum) {
  const bool backward = work.op == WorkOp::kBackward;
  Flight& at = flight(work.unit.microbatch, backward ? FlightState::kBackward  //
                                                     : FlightState::kForward);
  at.tokens = tokens;
  if (work.op == WorkOp::kForward) {
    at.state = FlightState::kOutput;
    return;
  }
  at.loss_sum = loss_sum;
  at.state = FlightState::kDone;
  ++done_count_;
}

std::optional<Unit> Pipeline::unsent() const {
  for (const auto& [microbatch, flight] : flights_)
    if (flight.state == FlightState::kOutput)
      return Unit{order_.step, microbatch, StageIndex(order_.stage), flight.attempt};
  return std::nullopt;
}

void Pipeline::sent(MicrobatchIndex microbatch, const NodeId& to) {
  Flight& at = flight(microbatch, FlightState::kOutput);
  at.state = FlightState::kSent;
  at.to = to;
}

const Flight* Pipeline::find(MicrobatchIndex microbatch) const {
  const auto found = flights_.find(microbatch);
  return found == flights_.end() ? nullptr : &found->second;
}

std::vector<MicrobatchIndex> Pipeline::done() const {
  std::vector<MicrobatchIndex> done;
  for (const auto& [microbatch, flight] : flights_)
    if (flight.state == FlightState::kDone) done.push_back(microbatch);
  return done;
}

std::uint32_t Pipeline::outstanding() const {
  return static_cast<std::uint32_t>(flights_.size()) - done_count_;
}

Flight& Pipeline::flight(MicrobatchIndex microbatch, FlightState expected) {
  const auto found = flights_.find(microbatch);
  COSHARD_CHECK(found != flights_.end());
  COSHARD_CHECK(found->second.state == expected);
  return found->second;
}

}  // namespace coshard::round
