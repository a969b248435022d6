// The simulation against closed forms that owe it nothing: the bubble of a pipeline, the time of a
// ring's worth of bytes on a line, the number of boxes that leave by chance.
// SPDX-License-Identifier: Apache-2.0
#include "protocol/sim/simulation.h"

#include <gtest/gtest.h>

#include <cmath>

#include "protocol/sim/forecast.h"

namespace coshard::sim {
namespace {

using std::chrono_literals::operator""h;
using std::chrono_literals::operator""ms;

constexpr double kFlops = 1e12;

/// Stages of one second each (a third forward), lines that take no time, one chunk of no bytes.
Scenario even_round(std::uint32_t stages, std::uint32_t replicas, std::uint32_t microbatches) {
  Scenario scenario;
  scenario.round.shape = {stages, replicas, microbatches, 1024};
  scenario.round.steps = 1000;
  scenario.round.checkpoint_epochs = 1000;
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

}  // namespace
}  // namespace coshard::sim
