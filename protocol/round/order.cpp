// Order of work within a stage: see order.h.
// SPDX-License-Identifier: Apache-2.0
#include "protocol/round/order.h"

#include <algorithm>

#include "protocol/base/check.h"

namespace coshard::round {
namespace {

/// The lowest unit that is ready, unless the order demands one that is not.
std::optional<ReadyUnits::value_type> lowest(const ReadyUnits& ready, bool in_order,
                                             std::uint32_t expected) {
  if (ready.empty()) return std::nullopt;
  if (in_order && ready.begin()->first.microbatch.value != expected) return std::nullopt;
  return *ready.begin();
}

Work work_on(const PipelineState& state, WorkOp op, const ReadyUnits::value_type& ready) {
  const auto& [key, redo] = ready;
  return {op, Unit{state.step, key.microbatch, StageIndex(state.stage), key.attempt},
          redo == Redo::kCount};
}

WorkOp forward_op(const PipelineState& state, Redo redo) {
  if (redo == Redo::kForward) return WorkOp::kForwardOnly;
  return state.is_last() ? WorkOp::kForwardLoss : WorkOp::kForward;
}

/// What only passes through for a repair is bounded by its orders, and may wait for ever when a
/// neighbour dies: it takes no place in flight.
std::optional<Work> next_pass(const PipelineState& state) {
  const auto found = std::find_if(state.inputs.begin(), state.inputs.end(),
                                  [](const auto& unit) { return unit.second != Redo::kCount; });
  if (found == state.inputs.end()) return std::nullopt;
  return work_on(state, forward_op(state, found->second), *found);
}

std::optional<Work> next_forward(const PipelineState& state) {
  if (const auto work = next_pass(state)) return work;
  if (!state.is_last() && state.forwards - state.backwards >= state.in_flight_max)
    return std::nullopt;
  const auto ready = lowest(state.inputs, state.in_order, state.forwards);
  if (!ready) return std::nullopt;
  return work_on(state, forward_op(state, Redo::kCount), *ready);
}

std::optional<Work> next_backward(const PipelineState& state) {
  const bool forwards_first = state.schedule == Schedule::kGpipe && state.in_order;
  if (forwards_first && state.forwards < state.microbatches) return std::nullopt;
  const auto ready = lowest(state.gradients, state.in_order, state.backwards);
  if (!ready) return std::nullopt;
  return work_on(state, WorkOp::kBackward, *ready);
}

}  // namespace

std::uint32_t in_flight_limit(Schedule schedule, std::uint32_t stages, std::uint32_t stage,
                              std::uint32_t microbatches, std::uint32_t extra) {
  COSHARD_CHECK_OP(stage, <, stages);
  return schedule == Schedule::kGpipe ? std::max(microbatches, 1U) : stages - stage + extra;
}

std::optional<Work> next_work(const PipelineState& state) {
  const bool backward_first = state.schedule == Schedule::kOneForwardOneBackward;
  if (const auto work = backward_first ? next_backward(state) : next_forward(state)) return work;
  return backward_first ? next_forward(state) : next_backward(state);
}

}  // namespace coshard::round
