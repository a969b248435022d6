// Order of work within a stage: see order.h.
// SPDX-License-Identifier: Apache-2.0
#include "protocol/round/order.h"

#include <algorithm>

#include "protocol/base/check.h"

namespace coshard::round {
namespace {

using Ready = std::map<MicrobatchIndex, Attempt>;

/// The lowest microbatch that is ready, unless the order demands one that is not.
std::optional<Ready::value_type> lowest(const Ready& ready, bool in_order, std::uint32_t expected) {
  if (ready.empty()) return std::nullopt;
  if (in_order && ready.begin()->first.value != expected) return std::nullopt;
  return *ready.begin();
}

Work work_on(const PipelineState& state, WorkOp op, const Ready::value_type& ready) {
  return {op, Unit{state.step, ready.first, StageIndex(state.stage), ready.second}};
}

std::optional<Work> next_forward(const PipelineState& state) {
  const WorkOp op = state.is_last() ? WorkOp::kForwardLoss : WorkOp::kForward;
  if (!state.is_last() && state.forwards - state.backwards >= state.in_flight_max)
    return std::nullopt;
  const auto ready = lowest(state.inputs, state.in_order, state.forwards);
  if (!ready) return std::nullopt;
  return work_on(state, op, *ready);
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
