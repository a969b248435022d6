// One stage through one step.
// SPDX-License-Identifier: Apache-2.0
#include "protocol/round/pipeline.h"

#include <gtest/gtest.h>

#include "tests/unit/round/round_nodes.h"

namespace coshard::round {
namespace {

PipelineState order(std::uint32_t stage, std::uint32_t stages) {
  PipelineState state;
  state.step = StepId(7);
  state.stage = stage;
  state.stages = stages;
  state.microbatches = 4;
  state.in_flight_max = 2;
  return state;
}

TEST(Pipeline, AMiddleStageCarriesAMicrobatchThroughAndBack) {
  Pipeline pipeline(order(1, 3));
  EXPECT_EQ(pipeline.forward_arrived(node(1), unit(7, 2, 0), false), Arrival::kAccepted);
  const auto forward = pipeline.next();
  ASSERT_TRUE(forward.has_value());
  EXPECT_EQ(*forward, (Work{WorkOp::kForward, unit(7, 2, 1)}));
  EXPECT_FALSE(pipeline.unsent().has_value());
  pipeline.computed(*forward, 16, 0);
  EXPECT_EQ(pipeline.unsent(), unit(7, 2, 1));
  pipeline.sent(unit(7, 2, 1), node(9));
  EXPECT_FALSE(pipeline.unsent().has_value());
  EXPECT_EQ(pipeline.backward_arrived(node(9), unit(7, 2, 2)), Arrival::kAccepted);
  const auto backward = pipeline.next();
  EXPECT_EQ(*backward, (Work{WorkOp::kBackward, unit(7, 2, 1)}));
  EXPECT_EQ(pipeline.outstanding(), 1U);
  pipeline.computed(*backward, 16, 0);
  EXPECT_EQ(pipeline.done(), std::vector{MicrobatchIndex(2)});
  EXPECT_EQ(pipeline.outstanding(), 0U);
  EXPECT_EQ(pipeline.find(unit(7, 2, 1))->from.node, node(1));
  EXPECT_EQ(pipeline.find(unit(7, 2, 1))->tokens, 16U);
}

TEST(Pipeline, TheLastStageIsDoneInOneGo) {
  Pipeline pipeline(order(2, 3));
  pipeline.forward_arrived(node(1), unit(7, 0, 1), false);
  const auto work = pipeline.next();
  EXPECT_EQ(work->op, WorkOp::kForwardLoss);
  pipeline.computed(*work, 16, 3.5);
  EXPECT_EQ(pipeline.done_count(), 1U);
  EXPECT_EQ(pipeline.find(unit(7, 0, 2))->loss_sum, 3.5);
  EXPECT_FALSE(pipeline.unsent().has_value());
}

TEST(Pipeline, RepeatedThingsAreRepeatedAndFalseOnesRefused) {
  Pipeline pipeline(order(1, 3));
  EXPECT_EQ(pipeline.forward_arrived(node(1), unit(7, 4, 0), false), Arrival::kRefused);  // no such
  EXPECT_EQ(pipeline.forward_arrived(node(1), unit(8, 0, 0), false), Arrival::kRefused);  // step
  EXPECT_EQ(pipeline.forward_arrived(node(1), unit(7, 0, 1), false),
            Arrival::kRefused);                                                    // own stage
  EXPECT_EQ(pipeline.granted(MicrobatchIndex(0), Attempt(0)), Arrival::kRefused);  // not stage 0
  EXPECT_EQ(pipeline.forward_arrived(node(1), unit(7, 0, 0), false), Arrival::kAccepted);
  EXPECT_EQ(pipeline.forward_arrived(node(1), unit(7, 0, 0), false), Arrival::kRepeated);
  EXPECT_EQ(pipeline.forward_arrived(node(2), unit(7, 0, 0), false),
            Arrival::kRefused);  // another sender
  EXPECT_EQ(pipeline.backward_arrived(node(9), unit(7, 0, 2)), Arrival::kRefused);  // never sent
  const auto work = pipeline.next();
  pipeline.computed(*work, 16, 0);
  pipeline.sent(unit(7, 0, 1), node(9));
  EXPECT_EQ(pipeline.backward_arrived(node(8), unit(7, 0, 2)), Arrival::kRefused);  // not the hop
  EXPECT_EQ(pipeline.backward_arrived(node(9), unit(7, 0, 2)), Arrival::kAccepted);
  EXPECT_EQ(pipeline.backward_arrived(node(9), unit(7, 0, 2)), Arrival::kRepeated);
  EXPECT_EQ(pipeline.forward_arrived(node(1), unit(7, 0, 0), false), Arrival::kRepeated);
}

TEST(Pipeline, StageZeroTakesGrants) {
  Pipeline pipeline(order(0, 2));
  EXPECT_EQ(pipeline.granted(MicrobatchIndex(1), Attempt(0)), Arrival::kAccepted);
  EXPECT_EQ(pipeline.granted(MicrobatchIndex(1), Attempt(0)), Arrival::kRepeated);
  EXPECT_EQ(pipeline.granted(MicrobatchIndex(9), Attempt(0)), Arrival::kRefused);
  EXPECT_EQ(pipeline.next()->unit, unit(7, 1, 0));
  EXPECT_FALSE(pipeline.next().has_value());
}

}  // namespace
}  // namespace coshard::round
