// How a model is cut into stages: contiguous slices of layers, the slowest one as fast as possible.
// Pure functions.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "shard/plan/spec.h"

namespace coshard::shard {

/// Cuts `spec` into `stages` contiguous slices of at least one layer each. Minimises the FLOPs of
/// the slowest stage (the last one also has the head); among equals, the most even cut.
/// kInvalidArgument when there are fewer layers than stages, or no stage.
Result<std::vector<StageSlice>> partition(const ModelSpec& spec, std::uint32_t stages);

/// The cut with `layers_per_stage` layers in each stage, as a round file may demand.
/// kInvalidArgument unless all are positive and sum to the model's layers.
Result<std::vector<StageSlice>> partition(const ModelSpec& spec,
                                          std::span<const std::int64_t> layers_per_stage);

}  // namespace coshard::shard
