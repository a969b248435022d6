// What a coordinator may expect of a round, and what keeps it from more: the same simulation again
// and again, from a round that nothing holds back to the one that was asked about, one cause more
// each time. What a step takes longer for it is that cause's; so all of them add up. One thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "protocol/sim/simulation.h"

namespace coshard::sim {

/// What takes computing time away from a round, in the order in which causes are added.
enum class Cause : std::uint8_t {
  kPipeline = 0,   ///< stages wait for each other, or boxes for microbatches
  kUneven = 1,     ///< boxes of different speed
  kBoundary = 2,   ///< boundary tensors and every word take time on the line
  kAveraging = 3,  ///< gradients do
  kLosses = 4,     ///< boxes that go, repair, checkpoints and their copies
};
inline constexpr std::size_t kCauses = 5;
std::string_view to_string(Cause cause);

struct Forecast {
  RunFigures run;                      ///< with everything
  std::array<double, kCauses> lost{};  ///< share of a step's time, by cause
  /// What the coordinator can do about the largest of them, in one sentence.
  std::string advice;

  double seconds_per_step() const {
    return run.steps == 0 ? 0 : run.seconds / static_cast<double>(run.steps);
  }
};

/// Simulates. `progress` hears of every run, told which of kCauses it is.
Forecast forecast(const Scenario& scenario, LoadMeter* meter,
                  const std::function<void(Cause, const Progress&)>& progress = {});

/// The microbatches per step with which a pipeline of `stages` stages and `replicas` replicas
/// computes nine tenths of the time, were nothing else in its way: M / (M + S - 1) per replica.
std::uint64_t useful_microbatches(std::uint32_t stages, std::uint32_t replicas);

}  // namespace coshard::sim
