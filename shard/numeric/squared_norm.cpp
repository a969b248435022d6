// See squared_norm.h.
// SPDX-License-Identifier: Apache-2.0
#include "shard/numeric/squared_norm.h"

#include <algorithm>
#include <array>

namespace coshard::shard {

double squared_norm(std::span<const float> chunk) {
  // All lanes side by side: the same additions as lane by lane, in an order that vector units like.
  std::array<double, kNormLanes> storage{};
  double* lanes = storage.data();
  for (std::size_t begin = 0; begin < chunk.size(); begin += kNormLanes) {
    const float* values = chunk.data() + begin;
    const std::size_t count = std::min<std::size_t>(kNormLanes, chunk.size() - begin);
    for (std::size_t l = 0; l < count; ++l)
      lanes[l] += static_cast<double>(values[l]) * static_cast<double>(values[l]);
  }
  for (std::size_t stride = kNormLanes / 2; stride > 0; stride /= 2)
    for (std::size_t l = 0; l < stride; ++l) lanes[l] += lanes[l + stride];
  return lanes[0];
}

}  // namespace coshard::shard
