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

TEST(Pipeline, WhatIsNotFiniteIsOverAndItsSlotComesBack) {
  Pipeline pipeline(order(1, 3));
  pipeline.forward_arrived(node(1), unit(7, 2, 0), false);
  const auto work = pipeline.next();
  EXPECT_EQ(pipeline.refuse(*work, UnitFault::kNotFinite), node(1));
  EXPECT_EQ(pipeline.outstanding(), 0U);
  EXPECT_EQ(pipeline.done_count(), 0U);
  const HeldUnit held = pipeline.holdings().at(0);
  EXPECT_TRUE(held.refused());
  EXPECT_FALSE(held.counts);
  EXPECT_FALSE(pipeline.unsent().has_value());
  EXPECT_EQ(pipeline.forward_arrived(node(1), unit(7, 2, 0), false), Arrival::kRepeated);
}

/// At any point of its way before the backward; from then on it has to stay.
TEST(Pipeline, AUnitIsGivenBackUntilItsGradientIsOnItsWayIntoTheSum) {
  for (int progress = 0; progress < 6; ++progress) {
    Pipeline pipeline(order(1, 3));
    pipeline.forward_arrived(node(1), unit(7, 2, 0), false);
    std::optional<Work> forward, backward;
    if (progress > 0) forward = pipeline.next();
    if (progress > 1) pipeline.computed(*forward, 16, 0);
    if (progress > 2) pipeline.sent(unit(7, 2, 1), node(9));
    if (progress > 3) pipeline.backward_arrived(node(9), unit(7, 2, 2));
    if (progress > 4) backward = pipeline.next();
    EXPECT_EQ(pipeline.relieve(unit(7, 2, 1)), progress < 5) << progress;
    EXPECT_FALSE(pipeline.relieve(unit(7, 2, 1))) << "once";
    if (progress == 5) {
      pipeline.computed(*backward, 16, 0);
      EXPECT_EQ(pipeline.done_count(), 1U);
      continue;
    }
    const HeldUnit held = pipeline.holdings().at(0);
    EXPECT_TRUE(held.relieved && !held.counts && !held.refused());
    EXPECT_EQ(held.to.node, progress > 2 ? node(9) : NodeId{});
    EXPECT_EQ(held.output_kept, progress > 1) << "its neighbours may still want that";
    EXPECT_EQ(pipeline.outstanding(), 0U);
    EXPECT_FALSE(pipeline.next().has_value() || pipeline.unsent().has_value());
    EXPECT_EQ(pipeline.order().forwards, pipeline.order().backwards) << "its place is free";
    EXPECT_EQ(pipeline.backward_arrived(node(9), unit(7, 2, 2)), Arrival::kRepeated);
    EXPECT_EQ(pipeline.done_count(), 0U);
  }
}

TEST(Pipeline, TheLastStageKeepsWhatItHasBegun) {
  Pipeline pipeline(order(2, 3));
  pipeline.forward_arrived(node(1), unit(7, 0, 1), false);
  pipeline.forward_arrived(node(1), unit(7, 1, 1), false);
  pipeline.next();
  EXPECT_FALSE(pipeline.relieve(unit(7, 0, 2)));
  EXPECT_TRUE(pipeline.relieve(unit(7, 1, 2)));
  EXPECT_FALSE(pipeline.relieve(unit(7, 3, 2))) << "not here";
}

TEST(Pipeline, BlankUnitsKeepTheOrderAndStayBlankOnTheWayBack) {
  PipelineState in_order = order(0, 2);
  in_order.in_order = true;
  Pipeline pipeline(in_order);
  pipeline.granted(MicrobatchIndex(0), Attempt(0));
  pipeline.granted(MicrobatchIndex(1), Attempt(0));
  const auto first = pipeline.next(), second = pipeline.next();
  const Work blank = pipeline.blanked(*first);
  EXPECT_TRUE(blank.blank);
  pipeline.computed(*second, 16, 0);
  EXPECT_FALSE(pipeline.unsent().has_value()) << "the next stage takes them in order";
  pipeline.computed(blank, 16, 0);
  EXPECT_EQ(pipeline.unsent(), unit(7, 0, 0));
  pipeline.sent(unit(7, 0, 0), node(9));
  pipeline.backward_arrived(node(9), unit(7, 0, 1));
  EXPECT_TRUE(pipeline.next()->blank);
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
  // Not the hop: kept aside, in case that an order will name it.
  EXPECT_EQ(pipeline.backward_arrived(node(8), unit(7, 0, 2)), Arrival::kAccepted);
  EXPECT_EQ(pipeline.backward_arrived(node(8), unit(7, 0, 2)), Arrival::kRepeated);
  EXPECT_EQ(pipeline.next(), std::nullopt);
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

Unit attempt(Unit unit, std::uint32_t number) {
  unit.attempt = Attempt(number);
  return unit;
}

RepairTask task(std::uint32_t microbatch, std::uint32_t number, Redo redo, const NodeId& from,
                const NodeId& to, bool send_output = false) {
  return {MicrobatchIndex(microbatch), Attempt(number),     redo,
          Hop{from, Attempt(0)},       Hop{to, Attempt(0)}, send_output,
          /*gradient*/ false};
}

/// Takes microbatch 2 of a middle stage through forward and backward.
std::vector<Outgoing> pass(Pipeline& pipeline, const NodeId& gradient_from, std::uint32_t number) {
  std::vector<Outgoing> all;
  while (const auto work = pipeline.next()) {
    for (const auto& outgoing : pipeline.computed(*work, 16, 0)) all.push_back(outgoing);
    if (work->op == WorkOp::kForward)
      pipeline.backward_arrived(gradient_from, attempt(unit(7, 2, 2), number));
  }
  return all;
}

TEST(Pipeline, AnOrderedUnitGoesWhereTheOrderSaysAndCounts) {
  Pipeline pipeline(order(1, 3));
  EXPECT_TRUE(pipeline.repair(task(2, 1, Redo::kCount, node(1), node(9), true)).empty());
  EXPECT_FALSE(pipeline.next().has_value()) << "its input is not here";
  EXPECT_EQ(pipeline.forward_arrived(node(1), attempt(unit(7, 2, 0), 1), true), Arrival::kAccepted);
  const auto outgoing = pass(pipeline, node(9), 1);
  ASSERT_EQ(outgoing.size(), 2U);
  EXPECT_EQ(outgoing[0], (Outgoing{attempt(unit(7, 2, 1), 1), Direction::kForward,
                                   Hop{node(9), Attempt(0)}, true, false}));
  EXPECT_EQ(outgoing[1].to.node, node(1));
  EXPECT_EQ(outgoing[1].direction, Direction::kBackward);
  EXPECT_EQ(pipeline.done(), std::vector{MicrobatchIndex(2)});
}

TEST(Pipeline, TensorsMayComeBeforeTheirOrder) {
  Pipeline pipeline(order(1, 3));
  EXPECT_EQ(pipeline.backward_arrived(node(9), attempt(unit(7, 2, 2), 1)), Arrival::kAccepted);
  EXPECT_EQ(pipeline.forward_arrived(node(1), attempt(unit(7, 2, 0), 1), true), Arrival::kAccepted);
  EXPECT_EQ(pipeline.forward_arrived(node(1), attempt(unit(7, 2, 0), 1), true), Arrival::kRepeated);
  EXPECT_EQ(pipeline.backward_arrived(node(9), unit(7, 2, 2)), Arrival::kRefused)
      << "a first attempt is never ordered";
  pipeline.repair(task(2, 1, Redo::kCount, node(1), node(9)));
  EXPECT_EQ(pass(pipeline, node(9), 1).size(), 1U) << "the output is wanted by nobody";
  EXPECT_EQ(pipeline.done_count(), 1U);
}

/// The gradient that went missing is made again by another replica of the next stage, and comes
/// sooner than the order that names it. Nobody sends it a second time.
TEST(Pipeline, AGradientOfAnotherMayComeBeforeTheOrderThatNamesIt) {
  Pipeline pipeline(order(1, 3));
  pipeline.forward_arrived(node(1), unit(7, 2, 0), false);
  pipeline.computed(*pipeline.next(), 16, 0);
  pipeline.sent(unit(7, 2, 1), node(9));
  EXPECT_EQ(pipeline.backward_arrived(node(8), unit(7, 2, 2)), Arrival::kAccepted);
  EXPECT_FALSE(pipeline.next()) << "nobody has ordered it";
  pipeline.repair(task(2, 0, Redo::kNothing, NodeId{}, node(8)));
  const auto backward = pipeline.next();
  ASSERT_TRUE(backward);
  EXPECT_EQ(backward->op, WorkOp::kBackward);
  pipeline.repair(task(2, 0, Redo::kNothing, NodeId{}, node(8)));
  EXPECT_FALSE(pipeline.next()) << "an order that is said again changes nothing";
  pipeline.computed(*backward, 16, 0);
  EXPECT_EQ(pipeline.done_count(), 1U);
}

TEST(Pipeline, WhatPassesThroughIsNotCountedAndTakesNoPlaceInFlight) {
  Pipeline pipeline(order(1, 3));
  pipeline.forward_arrived(node(1), unit(7, 2, 0), false);
  pipeline.computed(*pipeline.next(), 16, 0);
  pipeline.sent(unit(7, 2, 1), node(9));
  pipeline.backward_arrived(node(9), unit(7, 2, 2));
  pipeline.computed(*pipeline.next(), 16, 0);
  ASSERT_EQ(pipeline.done_count(), 1U);
  pipeline.repair(task(2, 1, Redo::kPass, node(1), node(9), true));
  pipeline.forward_arrived(node(1), attempt(unit(7, 2, 0), 1), true);
  const auto forward = pipeline.next();
  EXPECT_EQ(*forward, (Work{WorkOp::kForward, attempt(unit(7, 2, 1), 1), false}));
  pipeline.computed(*forward, 16, 0);
  EXPECT_EQ(pipeline.order().forwards, 1U);
  pipeline.backward_arrived(node(9), attempt(unit(7, 2, 2), 1));
  const auto backward = pipeline.next();
  EXPECT_FALSE(backward->counts);
  EXPECT_EQ(pipeline.computed(*backward, 16, 0).size(), 1U);
  EXPECT_EQ(pipeline.done_count(), 1U);
}

TEST(Pipeline, AUnitWhoseNeighbourIsLostWaitsForItsOrderAndIsSentAgain) {
  Pipeline pipeline(order(1, 3));
  pipeline.forward_arrived(node(1), unit(7, 2, 0), false);
  pipeline.computed(*pipeline.next(), 16, 0);
  pipeline.sent(unit(7, 2, 1), node(9));
  pipeline.lose(node(9));
  const HeldUnit held = pipeline.holdings().at(0);
  EXPECT_EQ(held.progress, UnitProgress::kSent);
  EXPECT_TRUE(held.output_kept);
  EXPECT_EQ(held.to.node, node(9));
  const auto again = pipeline.repair(task(2, 0, Redo::kNothing, {}, node(8), true));
  ASSERT_EQ(again.size(), 1U);
  EXPECT_EQ(again[0].to.node, node(8));
  EXPECT_TRUE(again[0].ordered);
  EXPECT_EQ(pipeline.backward_arrived(node(8), unit(7, 2, 2)), Arrival::kAccepted);
}

}  // namespace
}  // namespace coshard::round
