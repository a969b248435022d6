// What a simulated round is made of: the round itself as its coordinator gets it, what one stage
// costs, and the boxes and lines that people bring. Values only, any thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "protocol/base/clock.h"
#include "protocol/base/limits.h"
#include "protocol/round/coordinator.h"
#include "protocol/round/work.h"

namespace coshard::sim {

/// What one stage asks of a box that holds it.
struct StageCost {
  double forward_flops = 0;                ///< of one microbatch
  double backward_flops = 0;               ///< likewise
  std::uint64_t boundary_bytes = 0;        ///< of one output, and of its gradient
  std::vector<std::uint64_t> chunk_bytes;  ///< of the gradient, by averaging chunk
  std::uint64_t state_bytes = 0;           ///< of a checkpoint

  double flops() const { return forward_flops + backward_flops; }
};

/// The boxes. Every box has one line of its own; 0 bytes per second: the line is never the limit.
struct Boxes {
  double flops_per_second = 1e13;  ///< sustained, of the median box
  double spread = 0;               ///< standard deviation of its logarithm from box to box
  std::vector<double> speeds;      ///< of single boxes, of the median; 1 for those beyond the list
  double uplink_bytes_per_second = 0;
  double downlink_bytes_per_second = 0;
  Duration latency{};                  ///< one way, between any two
  double disk_bytes_per_second = 5e8;  ///< of checkpoints
  double losses_per_hour = 0;          ///< chance per hour that a box goes, without a word
  Duration replaced_after{};           ///< then another one asks to be let in; 0: never
  std::uint32_t engine_depth = 2;      ///< units that a box hands its engine at once
};

struct Scenario {
  round::CoordinatorConfig round;
  round::Schedule schedule = round::Schedule::kOneForwardOneBackward;
  std::vector<StageCost> stages;
  Boxes boxes;
  Duration journal{};  ///< how long a record takes to be durable
  std::uint64_t seed = 1;
  // The simulation ends with whichever comes first:
  std::uint64_t steps = limits::kStepsMax;           ///< so many commits after the first
  Duration duration = std::chrono::hours(24 * 365);  ///< of virtual time
  std::uint64_t events_max = ~std::uint64_t{0};

  /// FLOPs of one step, whoever does them.
  double step_flops() const {
    double sum = 0;
    for (const StageCost& stage : stages) sum += stage.flops();
    return sum * round.shape.microbatches;
  }
};

}  // namespace coshard::sim
