// The fixed chunks in which a stage's gradient is reduced, hashed and normed: never across two
// parameters, so that neither the cut nor the device changes the chunks of a parameter (design 3.1,
// clipping factor). Pure function.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "protocol/base/limits.h"
#include "shard/plan/spec.h"

namespace coshard::shard {

struct GradientChunk {
  std::uint32_t parameter = 0;  ///< index into the stage's parameters
  std::uint64_t offset = 0;     ///< first element in the stage's flat vector
  std::uint64_t count = 0;      ///< elements, 1 to limits::kChunkElements
  bool operator==(const GradientChunk&) const = default;
};

/// Chunks in global order, covering the flat vector of `stage_parameters` exactly once. All chunks
/// of a parameter but its last have `chunk_elements` elements.
std::vector<GradientChunk> gradient_layout(std::span<const ParameterSpec> stage_parameters,
                                           std::uint64_t chunk_elements = limits::kChunkElements);

}  // namespace coshard::shard
