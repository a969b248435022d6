// The simulation against closed forms that owe it nothing: the bubble of a pipeline, the bytes of
// an average and of a boundary on a line, the bound of list scheduling, the law of rare events.
// SPDX-License-Identifier: Apache-2.0
#include "protocol/sim/simulation.h"

#include <gtest/gtest.h>

#include <cmath>
#include <tuple>

namespace coshard::sim {
namespace {

using std::chrono_literals::operator""h;
using std::chrono_literals::operator""min;
using std::chrono_literals::operator""ms;

constexpr double kFlops = 1e12;

/// Units of one second (a third of it forward), lines that take no time, nothing to average.
Scenario even_round(std::uint32_t stages, std::uint32_t replicas, std::uint32_t microbatches) {
  Scenario scenario;
  scenario.round.shape = {stages, replicas, microbatches, 1024};
  scenario.round.replicas_max = replicas;
  scenario.round.steps = 1'000'000;
  scenario.round.checkpoint_epochs = 1'000'000;
  scenario.boxes.flops_per_second = kFlops;
  scenario.steps = 4;
  scenario.stages.resize(stages, StageCost{kFlops / 3, kFlops * 2 / 3, 0, {0}, 0});
  return scenario;
}

TEST(Simulation, AnUndisturbedPipelineLosesItsBubble) {
  for (const auto& [stages, microbatches] :
       {std::pair{1U, 4U}, {2U, 4U}, {2U, 8U}, {4U, 8U}, {4U, 32U}, {8U, 64U}}) {
    Scenario scenario = even_round(stages, 1, microbatches);
    scenario.boxes.engine_depth = 1;
    const RunFigures run = simulate(scenario);
    EXPECT_EQ(run.steps, 4U);
    EXPECT_EQ(run.faults, 0U);
    EXPECT_NEAR(run.utilisation, microbatches / (microbatches + stages - 1.0), 1e-6)
        << stages << " stages, " << microbatches << " microbatches";
  }
}

/// Three columns, each a pipeline of its own with a third of the microbatches, would be the best;
/// who comes first takes what it can hold, and hops are chosen as tensors come.
TEST(Simulation, ReplicasShareAPipelinesMicrobatches) {
  for (const std::uint32_t share : {4U, 8U, 32U}) {
    Scenario scenario = even_round(2, 3, 3 * share);
    const double best = share / (share + 1.0);
    const RunFigures run = simulate(scenario);
    EXPECT_LE(run.utilisation, best + 1e-9);
    EXPECT_GE(run.utilisation, share / (share + 4.0)) << share << " microbatches for each column";
  }
}

/// Reduce-scatter and all-gather take every box 2 (n - 1) / n of the bytes, each way.
TEST(Simulation, AveragingTakesWhatItsBytesTakeOnTheUplink) {
  for (const std::uint32_t replicas : {2U, 3U, 5U, 8U}) {
    Scenario scenario = even_round(1, replicas, 4 * replicas);
    scenario.stages[0] = {1, 2, 0, std::vector<std::uint64_t>(20 * replicas, 1'000'000), 0};
    scenario.boxes.uplink_bytes_per_second = 1e6;
    const double bytes = 20e6 * replicas;
    const double seconds = 2 * (replicas - 1.0) / replicas * bytes / 1e6;
    const RunFigures run = simulate(scenario);
    ASSERT_EQ(run.steps, 4U);
    // The last chunk of the one half and the first of the other do not overlap.
    EXPECT_NEAR(run.seconds / 4, seconds, 0.05 * seconds) << replicas << " replicas";
    // A downlink of the same rate adds no more than the time in which all send to the same box.
    scenario.boxes.downlink_bytes_per_second = 1e6;
    const RunFigures both = simulate(scenario);
    EXPECT_GE(both.seconds, run.seconds);
    EXPECT_LE(both.seconds / 4, 2 * seconds);
  }
}

TEST(Simulation, ABoundaryThatIsSlowerThanTheBoxesIsTheLimit) {
  constexpr std::uint32_t kMicrobatches = 40;
  Scenario scenario = even_round(2, 1, kMicrobatches);
  scenario.boxes.uplink_bytes_per_second = 1e6;
  for (StageCost& stage : scenario.stages) stage = {1e9, 2e9, 10'000'000, {0}, 0};
  scenario.stages.back().boundary_bytes = 0;
  const RunFigures run = simulate(scenario);
  ASSERT_EQ(run.steps, 4U);
  // Ten seconds for each output, and ten for the last gradient; a unit takes milliseconds.
  EXPECT_NEAR(run.seconds / 4, (kMicrobatches + 1) * 10.0, 2.0);
}

TEST(Simulation, LatencyIsPaidByEveryRoundTripOfAStep) {
  Scenario scenario = even_round(1, 1, 1);
  scenario.boxes.latency = 50ms;
  scenario.journal = 20ms;
  const RunFigures run = simulate(scenario);
  // Work; then there and back for each of: the report that it is done, the average, the commit
  // with its digest; and the pull. What is written once is written before the commit.
  const double trips = (run.seconds / 4 - 1.0 - 0.020) / 0.100;
  EXPECT_NEAR(trips, std::round(trips), 1e-6);
  EXPECT_GE(trips, 3);
  EXPECT_LE(trips, 5);
}

/// Whoever is free takes the next microbatch: at worst the slowest box begins one just before the
/// others are through.
TEST(Simulation, UnevenBoxesKeepWithinTheBoundOfListScheduling) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    Scenario scenario = even_round(1, 4, 100);
    scenario.seed = seed;
    scenario.boxes.spread = 0.5;
    const RunFigures run = simulate(scenario);
    const double fair = run.seconds / 4 * run.utilisation;  // of a step, were all always busy
    // A box holds up to four microbatches: two forwards in flight and two in its engine.
    const double slowest = 4 * std::exp(0.5 * 3);
    EXPECT_LE(run.seconds / 4, fair + slowest) << "seed " << seed;
    EXPECT_LE(run.utilisation, 1.0 + 1e-9);
    EXPECT_GT(run.utilisation, 0.6) << "seed " << seed;
  }
}

/// The end waits for it: saved, sealed, and over the line of its only holder.
TEST(Simulation, TheOnlyCopyOfAShardTakesItsBytesOnTheUplink) {
  const auto ends_after = [](std::uint64_t state_bytes, std::uint32_t replicas) {
    Scenario scenario = even_round(2, replicas, 4 * replicas);
    scenario.round.steps = 3;
    scenario.steps = limits::kStepsMax;
    scenario.boxes.uplink_bytes_per_second = 1e6;
    scenario.boxes.disk_bytes_per_second = 4e6;
    for (StageCost& stage : scenario.stages) stage.state_bytes = state_bytes;
    const RunFigures run = simulate(scenario);
    EXPECT_EQ(run.steps, 2U);
    EXPECT_EQ(run.shards_kept, replicas == 1 ? 2U : 0U) << state_bytes;
    EXPECT_EQ(run.bytes_kept, run.shards_kept * state_bytes);
    return run.seconds_simulated;
  };
  constexpr std::uint64_t kState = 4'000'000;
  const double copied = ends_after(kState, 1) - ends_after(0, 1);
  EXPECT_NEAR(copied, 2 * kState / 4e6 + kState / 1e6, 0.1);  // a tick of the coordinator
  EXPECT_NEAR(ends_after(kState, 2) - ends_after(0, 2), kState / 4e6, 0.1) << "two have it";
}

/// It shares the line with the boundary's tensors: what the line carries takes its time.
TEST(Simulation, CopiesAndTensorsShareTheUplink) {
  constexpr std::uint32_t kMicrobatches = 40;
  Scenario scenario = even_round(2, 1, kMicrobatches);
  scenario.round.ledger_epoch_steps = scenario.round.checkpoint_epochs = 1;
  scenario.boxes.uplink_bytes_per_second = 1e6;
  scenario.steps = 60;
  for (StageCost& stage : scenario.stages) stage = {1e9, 2e9, 1'000'000, {0}, 0};
  scenario.stages[0].state_bytes = 100'000'000;
  const RunFigures run = simulate(scenario);
  ASSERT_EQ(run.steps, 60U);
  EXPECT_GE(run.bytes_kept, 300'000'000U);
  // Of the copies under way at the beginning and at the end a part counts.
  const double bytes = 60 * (kMicrobatches + 1) * 1e6 + static_cast<double>(run.bytes_kept);
  EXPECT_NEAR(run.seconds, bytes / 1e6, 110);
}

Scenario leaky_round(std::uint64_t seed) {
  Scenario scenario = even_round(2, 4, 16);
  scenario.seed = seed;
  for (StageCost& stage : scenario.stages)
    stage = {20 * kFlops, 40 * kFlops, 1000, std::vector<std::uint64_t>(8, 1000), 24'000};
  scenario.boxes.latency = 20ms;
  scenario.boxes.uplink_bytes_per_second = 1e6;
  scenario.boxes.losses_per_hour = 0.4;
  scenario.boxes.replaced_after = 1min;
  scenario.steps = limits::kStepsMax;
  scenario.duration = 3h;
  return scenario;
}

TEST(Simulation, BoxesLeaveAsOftenAsTheyWereSaidTo) {
  std::uint64_t lost = 0, joined = 0, repaired = 0;
  double box_hours = 0;
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    const RunFigures run = simulate(leaky_round(seed));
    EXPECT_EQ(run.faults, 0U) << "seed " << seed;
    lost += run.boxes_lost;
    joined += run.joins;
    repaired += run.microbatches_repaired;
    box_hours += run.seats * run.seconds_simulated / 3600;
    if (run.finished) {  // a stage lost all that it had before others could join
      EXPECT_EQ(run.finished->reason, EndReason::kNodeLost) << run.finished->text;
    } else {
      EXPECT_GT(run.steps, 10U) << "seed " << seed;
    }
  }
  const double expected = 0.4 * box_hours;
  EXPECT_NEAR(static_cast<double>(lost), expected, 4 * std::sqrt(expected));
  EXPECT_GT(joined, lost / 2);
  EXPECT_GT(repaired, lost / 4);
}

TEST(Simulation, ASeedTellsTheSameStoryEachTime) {
  const auto story = [](std::uint64_t seed) {
    const RunFigures run = simulate(leaky_round(seed));
    return std::tuple(run.events, run.seconds, run.utilisation, run.redone, run.boxes_lost);
  };
  EXPECT_EQ(story(7), story(7));
  EXPECT_NE(story(7), story(8));
}

TEST(Simulation, EndsWhenTheRoundDoesAndSaysWhy) {
  Scenario scenario = even_round(2, 1, 4);
  scenario.round.steps = 3;
  scenario.steps = limits::kStepsMax;
  const RunFigures run = simulate(scenario);
  ASSERT_TRUE(run.finished);
  EXPECT_EQ(run.finished->reason, EndReason::kFinished);
  EXPECT_EQ(run.steps, 2U);
  scenario.round.steps = 1'000'000;
  scenario.events_max = 2000;
  const RunFigures cut = simulate(scenario);
  EXPECT_TRUE(cut.out_of_events);
  EXPECT_EQ(cut.events, 2000U);
}

}  // namespace
}  // namespace coshard::sim
