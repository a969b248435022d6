// Squared norm of one gradient chunk in one fixed order of additions, so that every device gets the
// same bits: 256 lanes, lane l adds elements l, l + 256, ... ascending, then a pairwise tree over
// lanes (128, 64, ..., 1). The product of two floats is exact in double, so that fused multiply-add
// changes nothing. Pure; the constants serve kernels too.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>

#include "shard/numeric/exact_float.h"

namespace coshard::shard {

inline constexpr int kNormLanes = 256;

/// What lane `lane` of 256 contributes: one CUDA thread's work.
COSHARD_HOST_DEVICE inline double squared_norm_lane(const float* values, std::size_t count,
                                                    std::size_t lane) {
  double sum = 0;
  for (std::size_t i = lane; i < count; i += kNormLanes)
    sum += static_cast<double>(values[i]) * static_cast<double>(values[i]);
  return sum;
}

/// Not finite when an element is not, or never otherwise: squares of floats and their sums fit in
/// double's range.
double squared_norm(std::span<const float> chunk);

}  // namespace coshard::shard
