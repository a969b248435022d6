// The order of work against the schedules as they are published: 1F1B (Narayanan et al., 2021) and
// GPipe (Huang et al., 2019), with forward and backward of one time unit each.
// SPDX-License-Identifier: Apache-2.0
#include "protocol/round/order.h"

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

namespace coshard::round {
namespace {

/// What one stage did: "F0 F1 B0 …"; the last stage's forward and backward in one is "F0 B0".
struct Trace {
  std::vector<std::string> stages;
  std::uint32_t makespan = 0;
  std::uint32_t most_in_flight = 0;  ///< of stage 0
};

PipelineState start_state(Schedule schedule, std::uint32_t stages, std::uint32_t stage,
                          std::uint32_t microbatches, std::uint32_t extra) {
  PipelineState state;
  state.schedule = schedule;
  state.step = StepId(1);
  state.stage = stage;
  state.stages = stages;
  state.microbatches = microbatches;
  state.in_order = true;
  state.in_flight_max = in_flight_limit(schedule, stages, stage, microbatches, extra);
  if (stage == 0)
    for (std::uint32_t m = 0; m < microbatches; ++m)
      state.inputs[{MicrobatchIndex(m), Attempt(0)}] = Redo::kCount;
  return state;
}

void issue(PipelineState& state, const Work& work) {
  if (work.op == WorkOp::kBackward) {
    state.gradients.erase({work.unit.microbatch, work.unit.attempt});
    ++state.backwards;
    return;
  }
  state.inputs.erase({work.unit.microbatch, work.unit.attempt});
  ++state.forwards;
  if (work.op == WorkOp::kForwardLoss) ++state.backwards;
}

/// Runs a whole step on ideal links: whatever is finished at time t can be used at t.
Trace run(Schedule schedule, std::uint32_t stages, std::uint32_t microbatches,
          std::uint32_t extra) {
  std::vector<PipelineState> states;
  for (std::uint32_t s = 0; s < stages; ++s)
    states.push_back(start_state(schedule, stages, s, microbatches, extra));
  Trace trace;
  trace.stages.resize(stages);
  std::vector<std::uint32_t> free_at(stages, 0);
  std::multimap<std::uint32_t, Work> finishing;
  for (std::uint32_t now = 0; now < 10'000; ++now) {
    for (auto done = finishing.begin(); done != finishing.end() && done->first == now;
         done = finishing.erase(done)) {
      const Work& work = done->second;
      const std::uint32_t s = work.unit.stage.value;
      if (work.op == WorkOp::kForward)
        states[s + 1].inputs[{work.unit.microbatch, Attempt(0)}] = Redo::kCount;
      if (work.op != WorkOp::kForward && s > 0)
        states[s - 1].gradients[{work.unit.microbatch, Attempt(0)}] = Redo::kCount;
      trace.makespan = now;
    }
    for (std::uint32_t s = 0; s < stages; ++s) {
      if (free_at[s] > now) continue;
      const auto work = next_work(states[s]);
      if (!work) continue;
      issue(states[s], *work);
      const std::string m = std::to_string(work->unit.microbatch.value) + " ";
      trace.stages[s] += work->op == WorkOp::kBackward  ? "B" + m
                         : work->op == WorkOp::kForward ? "F" + m
                                                        : "F" + m + "B" + m;
      free_at[s] = now + (work->op == WorkOp::kForwardLoss ? 2 : 1);
      finishing.emplace(free_at[s], *work);
    }
    trace.most_in_flight = std::max(trace.most_in_flight, states[0].forwards - states[0].backwards);
    if (finishing.empty()) break;
  }
  return trace;
}

/// The published 1F1B order of a stage: S-1-s forwards to warm up, then one forward and one
/// backward in turn, then the remaining backwards.
std::string one_f_one_b(std::uint32_t stages, std::uint32_t stage, std::uint32_t microbatches) {
  const std::uint32_t warm_up = std::min(stages - 1 - stage, microbatches);
  std::string text;
  std::uint32_t forward = 0, backward = 0;
  const auto f = [&] { text += "F" + std::to_string(forward++) + " "; };
  const auto b = [&] { text += "B" + std::to_string(backward++) + " "; };
  while (forward < warm_up) f();
  while (forward < microbatches) f(), b();
  while (backward < microbatches) b();
  return text;
}

TEST(Order, OneForwardOneBackwardIsThePublishedTable) {
  const Trace trace = run(Schedule::kOneForwardOneBackward, 4, 8, 0);
  EXPECT_EQ(trace.stages[0], "F0 F1 F2 F3 B0 F4 B1 F5 B2 F6 B3 F7 B4 B5 B6 B7 ");
  EXPECT_EQ(trace.stages[3], "F0 B0 F1 B1 F2 B2 F3 B3 F4 B4 F5 B5 F6 B6 F7 B7 ");
  for (std::uint32_t stages = 1; stages <= 6; ++stages)
    for (std::uint32_t microbatches = 1; microbatches <= 12; ++microbatches) {
      const Trace each = run(Schedule::kOneForwardOneBackward, stages, microbatches, 0);
      for (std::uint32_t s = 0; s < stages; ++s)
        EXPECT_EQ(each.stages[s], one_f_one_b(stages, s, microbatches))
            << stages << " stages, " << microbatches << " microbatches, stage " << s;
    }
}

TEST(Order, GpipeRunsAllForwardsThenAllBackwards) {
  const Trace trace = run(Schedule::kGpipe, 4, 4, 0);
  for (std::uint32_t s = 0; s < 3; ++s)
    EXPECT_EQ(trace.stages[s], "F0 F1 F2 F3 B0 B1 B2 B3 ") << "stage " << s;
}

TEST(Order, BothReachTheBubbleBoundAndKeepTheirMemoryBound) {
  for (const std::uint32_t extra : {0U, 1U, 2U})
    for (std::uint32_t stages = 1; stages <= 5; ++stages)
      for (std::uint32_t microbatches = 1; microbatches <= 12; ++microbatches) {
        // (M + S - 1) * (forward + backward): no schedule of one step without interleaving is
        // shorter.
        const std::uint32_t bound = (microbatches + stages - 1) * 2;
        const Trace one = run(Schedule::kOneForwardOneBackward, stages, microbatches, extra);
        EXPECT_EQ(one.makespan, bound);
        EXPECT_LE(one.most_in_flight, stages + extra);
        EXPECT_EQ(run(Schedule::kGpipe, stages, microbatches, extra).makespan, bound);
      }
}

TEST(Order, InOrderWaitsForTheLowestAndOtherwiseNothingWaits) {
  PipelineState state = start_state(Schedule::kOneForwardOneBackward, 3, 1, 4, 1);
  state.inputs[{MicrobatchIndex(2), Attempt(0)}] = Redo::kCount;
  EXPECT_FALSE(next_work(state).has_value());
  state.in_order = false;
  ASSERT_TRUE(next_work(state).has_value());
  EXPECT_EQ(next_work(state)->unit.microbatch, MicrobatchIndex(2));
  state.gradients[{MicrobatchIndex(3), Attempt(5)}] = Redo::kCount;
  EXPECT_EQ(next_work(state)->op, WorkOp::kBackward);
  EXPECT_EQ(next_work(state)->unit.attempt, Attempt(5));
}

TEST(Order, TheLimitHoldsForwardsBackButNeverTheLastStage) {
  PipelineState state = start_state(Schedule::kOneForwardOneBackward, 3, 1, 8, 0);
  state.in_order = false;
  state.forwards = 2;
  state.inputs[{MicrobatchIndex(2), Attempt(0)}] = Redo::kCount;
  EXPECT_FALSE(next_work(state).has_value());
  state.backwards = 1;
  EXPECT_TRUE(next_work(state).has_value());
  PipelineState last = start_state(Schedule::kOneForwardOneBackward, 3, 2, 8, 0);
  last.inputs[{MicrobatchIndex(0), Attempt(0)}] = Redo::kCount;
  EXPECT_EQ(next_work(last)->op, WorkOp::kForwardLoss);
}

}  // namespace
}  // namespace coshard::round
