// What a stage does: the operations on one unit, the schedule that orders them, and the shape of a
// round. Value types, any thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "protocol/base/ids.h"

namespace coshard::round {

/// One call of the stage engine.
enum class WorkOp : std::uint8_t {
  kForward = 0,      ///< not the last stage: input (tokens at stage 0) to boundary tensor
  kForwardLoss = 1,  ///< last stage: forward, loss and backward in one
  kBackward = 2,     ///< not the last stage: gradient of the output to gradient of the input
  kForwardOnly = 3,  ///< not the last stage: forward that keeps nothing for a backward (repair)
};

/// `unit.stage` is always the stage that does the work.
struct Work {
  WorkOp op = WorkOp::kForward;
  Unit unit;
  bool counts = true;  ///< false: the gradient is passed on and not accumulated (repair)
  /// Nothing is computed: zeros stand for the result, and nothing is accumulated.
  bool blank = false;
  bool operator==(const Work&) const = default;
};

enum class Direction : std::uint8_t { kForward = 0, kBackward = 1 };

enum class Schedule : std::uint8_t {
  kOneForwardOneBackward = 0,  ///< backward first; few forwards in flight
  kGpipe = 1,                  ///< all forwards, then all backwards
};

/// What never changes while a round lives.
struct RoundShape {
  std::uint32_t stages = 1;
  std::uint32_t replicas = 1;  ///< wanted per stage
  std::uint32_t microbatches = 1;
  std::uint64_t tokens_per_microbatch = 0;  ///< target tokens of every microbatch
  bool operator==(const RoundShape&) const = default;
};

}  // namespace coshard::round
