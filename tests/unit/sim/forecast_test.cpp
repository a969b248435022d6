// A forecast adds up, blames what is to blame, and its figures about the coordinator are those of
// the messages that it heard and said.
// SPDX-License-Identifier: Apache-2.0
#include "protocol/sim/forecast.h"

#include <gtest/gtest.h>

#include <numeric>

namespace coshard::sim {
namespace {

using std::chrono_literals::operator""ms;
using std::chrono_literals::operator""s;

constexpr double kFlops = 1e12;

Scenario small_round() {
  Scenario scenario;
  scenario.round.shape = {2, 2, 64, 1024};
  scenario.round.steps = 30;
  scenario.boxes.flops_per_second = kFlops;
  scenario.stages.resize(2, StageCost{kFlops / 3, kFlops * 2 / 3, 0, {0}, 0});
  return scenario;
}

double lost(const Forecast& forecast, Cause cause) {
  return forecast.lost[static_cast<std::size_t>(cause)];
}

TEST(Forecast, ComputingAndAllLossesAreTheWholeTime) {
  Scenario scenario = small_round();
  scenario.boxes.spread = 0.4;
  scenario.boxes.latency = 20ms;
  scenario.boxes.uplink_bytes_per_second = 1e6;
  scenario.stages[0].boundary_bytes = 100'000;
  for (StageCost& stage : scenario.stages) stage.chunk_bytes.assign(8, 500'000);
  scenario.boxes.losses_per_hour = 2;
  scenario.boxes.replaced_after = 10s;
  const Forecast all = forecast(scenario, nullptr);
  const double sum = std::accumulate(all.lost.begin(), all.lost.end(), all.run.utilisation);
  EXPECT_NEAR(sum, 1, 1e-9);
  EXPECT_GT(all.run.utilisation, 0.2);
}

TEST(Forecast, BlamesWhatIsToBlame) {
  Scenario few = small_round();
  few.round.shape.replicas = few.round.shape.microbatches = 1;
  const Forecast pipeline = forecast(few, nullptr);
  EXPECT_NEAR(lost(pipeline, Cause::kPipeline), 0.5, 1e-6);  // one of two stages works
  EXPECT_NE(pipeline.advice.find(": 9 would"), std::string::npos) << pipeline.advice;

  Scenario averaging = small_round();
  averaging.boxes.uplink_bytes_per_second = 1e6;
  for (StageCost& stage : averaging.stages) stage.chunk_bytes.assign(64, 1'000'000);
  // 33 units of a second, and 64 MB each way: half of a step.
  const Forecast averages = forecast(averaging, nullptr);
  EXPECT_NEAR(lost(averages, Cause::kAveraging), 64.0 / (64 + 33), 0.03);
  EXPECT_NEAR(lost(averages, Cause::kBoundary), 0, 0.01);

  Scenario boundary = small_round();
  boundary.boxes.uplink_bytes_per_second = 1e6;
  boundary.stages[0].boundary_bytes = 4'000'000;
  const Forecast tensors = forecast(boundary, nullptr);
  EXPECT_GT(lost(tensors, Cause::kBoundary), 0.6);
  EXPECT_NE(tensors.advice.find("boundary"), std::string::npos) << tensors.advice;
}

TEST(Forecast, UsefulMicrobatchesLeaveABubbleOfATenth) {
  for (const std::uint32_t stages : {2U, 4U, 16U}) {
    const auto useful = static_cast<double>(useful_microbatches(stages, 1));
    EXPECT_NEAR(useful / (useful + stages - 1), 0.9, 1e-9);
    EXPECT_EQ(useful_microbatches(stages, 7), 7 * useful_microbatches(stages, 1));
  }
  EXPECT_EQ(useful_microbatches(1, 3), 3U);
}

// ---- the coordinator ----------------------------------------------------------------------------

class FlatWire final : public Wire {
 public:
  MessageCost sent(const Message&) override { return {100, 0.001}; }
  MessageCost received(const Message&) override { return {300, 0.002}; }
};

TEST(CoordinatorLoad, IsWhatItsMessagesCost) {
  ManualClock cpu;
  FlatWire wire;
  LoadMeter meter(cpu, wire);
  for (int i = 0; i < 5000; ++i) {
    meter.sent(StepOpen{});
    if (i % 5 == 0) meter.received(Heartbeat{});
  }
  const TimePoint begin = cpu.now();
  cpu.advance(250ms);
  meter.worked_since(begin, false);
  const CoordinatorLoad load = meter.load(100s);
  EXPECT_EQ(load.out.messages, 5000U);
  EXPECT_EQ(load.in.messages, 1000U);
  EXPECT_NEAR(load.out.bytes, 500'000, 1e-3);
  EXPECT_NEAR(load.in.bytes, 300'000, 1e-3);
  EXPECT_NEAR(load.wire_seconds, 5 + 2, 1e-6);
  EXPECT_NEAR(load.cores(), (7 + 0.25) / 100, 1e-9);
  // Nothing grows faster than the boxes.
  EXPECT_NEAR(boxes_of_one_core(load, 40), 40 * 100 / 7.25, 1e-3);
}

TEST(CoordinatorLoad, TablesGrowWithTheThirdPowerOfTheBoxes) {
  CoordinatorLoad load;
  load.seconds = 1;
  load.machine_seconds = 0.001;
  load.table_seconds = 0.001;
  EXPECT_NEAR(boxes_of_one_core(load, 10), 100, 1e-6);
}

TEST(CoordinatorLoad, OfARoundIsHeardWhileItIsSimulated) {
  ManualClock cpu;
  FlatWire wire;
  LoadMeter meter(cpu, wire);
  Scenario scenario = small_round();
  scenario.boxes.latency = 20ms;
  const RunFigures run = simulate(scenario, &meter);
  // Four heartbeats in a half second each way, and what a step needs: pulls, reports, averages.
  const double beats = 8 * run.load.seconds;
  EXPECT_GT(static_cast<double>(run.load.in.messages), beats);
  EXPECT_LT(static_cast<double>(run.load.in.messages), 3 * beats);
  EXPECT_GT(static_cast<double>(run.load.out.messages), beats);
}

}  // namespace
}  // namespace coshard::sim
