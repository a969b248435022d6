// Boxes of different speed share a step as list scheduling would have it: a slow one costs its
// share and no more. Against the closed form, which knows nothing of grants, slots and measured
// times.
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "protocol/sim/simulation.h"

namespace coshard::sim {
namespace {

using std::chrono_literals::operator""ms;

constexpr double kFlops = 1e12;
constexpr double kForward = 1.0 / 3;  ///< of a unit, which takes a median box a second

Scenario uneven_round(std::uint32_t replicas, std::uint32_t microbatches) {
  Scenario scenario;
  scenario.round.shape = {2, replicas, microbatches, 1024};
  scenario.round.replicas_max = replicas;
  scenario.round.steps = 1'000'000;
  scenario.round.checkpoint_epochs = 1'000'000;
  scenario.boxes.flops_per_second = kFlops;
  scenario.boxes.latency = 5ms;
  scenario.steps = 40;
  scenario.stages.resize(2, StageCost{kFlops * kForward, kFlops * (1 - kForward), 0, {0}, 0});
  return scenario;
}

/// Least T in which boxes of these speeds do `units` whole units of one second each.
double whole_units(const std::vector<double>& speeds, std::uint32_t units) {
  std::vector<double> ends;
  for (const double speed : speeds)
    for (std::uint32_t k = 1; k <= units; ++k) ends.push_back(k / speed);
  std::sort(ends.begin(), ends.end());
  return ends.at(units - 1);
}

/// The least seconds of a step in which one of three boxes of a stage is slow: its units, whole
/// ones, and one that the pipeline takes to fill and to drain.
double best_step(double speed, std::uint32_t microbatches) {
  return whole_units({1, 1, speed}, microbatches) + 1;
}

/// Of the best step, with box `box` of `speed`. Boxes 0, 3 and 5 come to sit in the first stage.
double share_of_best(std::uint32_t box, double speed, std::uint32_t microbatches) {
  Scenario scenario = uneven_round(3, microbatches);
  scenario.boxes.speeds.assign(6, 1);
  scenario.boxes.speeds[box] = speed;
  const RunFigures run = simulate(scenario);
  EXPECT_EQ(run.steps, scenario.steps);
  EXPECT_EQ(run.faults, 0U);
  const double step = run.seconds / static_cast<double>(run.steps);
  return best_step(speed, microbatches) / step;
}

TEST(Flow, ASlowBoxCostsItsShareAndNoMore) {
  for (const std::uint32_t microbatches : {24U, 42U, 63U})
    for (const double speed : {0.1, 0.3})
      for (std::uint32_t box = 0; box < 6; ++box)
        EXPECT_GE(share_of_best(box, speed, microbatches), 0.95)
            << microbatches << " microbatches, box " << box << ", speed " << speed;
}

/// Few microbatches: that a slow box takes none of them is a large part of what is best.
TEST(Flow, ASlowBoxHoldsNobodyUpWhereThereIsLittleToDo) {
  for (const std::uint32_t microbatches : {8U, 12U})
    for (std::uint32_t box = 0; box < 6; ++box)
      EXPECT_GE(share_of_best(box, 0.1, microbatches), 0.8)
          << microbatches << " microbatches, box " << box;
}

}  // namespace
}  // namespace coshard::sim
