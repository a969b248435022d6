// See partition.h.
// SPDX-License-Identifier: Apache-2.0
#include "shard/plan/partition.h"

#include <algorithm>
#include <string>
#include <utility>

#include "protocol/base/int128.h"
#include "protocol/base/limits.h"

namespace coshard::shard {
namespace {

StageSlice slice_of(const ModelSpec& spec, std::int64_t first, std::int64_t last) {
  return {first, last, first == 0, last == spec.layers};
}

/// `layers` spread over `stages` as evenly as can be. The later ones take the remainder: the first
/// stage keeps the most microbatches in flight.
std::vector<std::int64_t> spread(std::int64_t layers, std::int64_t stages) {
  std::vector<std::int64_t> counts;
  for (std::int64_t s = 0; s < stages; ++s)
    counts.push_back(layers / stages + (s >= stages - layers % stages ? 1 : 0));
  return counts;
}

/// What a cut is judged by, in this order: the slowest stage, then the sum of squares.
std::pair<std::uint64_t, uint128_t> cost_of(const std::vector<std::int64_t>& layers_per_stage,
                                            std::uint64_t layer_flops, std::uint64_t head_flops) {
  std::uint64_t slowest = 0;
  uint128_t squares = 0;
  for (std::size_t s = 0; s < layers_per_stage.size(); ++s) {
    const std::uint64_t flops = static_cast<std::uint64_t>(layers_per_stage[s]) * layer_flops +
                                (s + 1 == layers_per_stage.size() ? head_flops : 0);
    slowest = std::max(slowest, flops);
    squares += static_cast<uint128_t>(flops) * flops;
  }
  return {slowest, squares};
}

}  // namespace

Result<std::vector<StageSlice>> partition(const ModelSpec& spec, std::uint32_t stages) {
  COSHARD_TRY(validate(spec));
  const auto stages_max = std::min<std::int64_t>(spec.layers, limits::kStagesMax);
  if (stages < 1 || stages > stages_max)
    return fail(ErrorCode::kInvalidArgument,
                "model stages: expected 1 to " + std::to_string(stages_max) +
                    " (every stage needs a layer), found " + std::to_string(stages));
  // Layers are alike and only the last stage has more than layers, so a cut is how many of them the
  // last stage takes; the others share the rest evenly.
  const std::uint64_t layer_flops = flops_per_token(spec, {0, 1, false, false});
  const std::uint64_t head_flops = flops_per_token(spec, {0, 0, false, true});
  const auto others = static_cast<std::int64_t>(stages) - 1;
  std::vector<std::int64_t> best;
  for (std::int64_t last = others == 0 ? spec.layers : 1; last <= spec.layers - others; ++last) {
    std::vector<std::int64_t> counts = spread(spec.layers - last, others);
    counts.push_back(last);
    if (best.empty() ||
        cost_of(counts, layer_flops, head_flops) < cost_of(best, layer_flops, head_flops))
      best = std::move(counts);
  }
  return partition(spec, best);
}

Result<std::vector<StageSlice>> partition(const ModelSpec& spec,
                                          std::span<const std::int64_t> layers_per_stage) {
  COSHARD_TRY(validate(spec));
  std::vector<StageSlice> slices;
  std::int64_t first = 0;
  for (const std::int64_t layers : layers_per_stage) {
    if (layers < 1 || layers > spec.layers)
      return fail(ErrorCode::kInvalidArgument,
                  "model stages: expected 1 to " + std::to_string(spec.layers) +
                      " layers in each stage, found " + std::to_string(layers));
    slices.push_back(slice_of(spec, first, first + layers));
    first += layers;
    if (slices.size() > limits::kStagesMax) break;
  }
  if (first != spec.layers || slices.size() > limits::kStagesMax)
    return fail(ErrorCode::kInvalidArgument,
                "model stages: expected layers that sum to " + std::to_string(spec.layers) +
                    " over at most " + std::to_string(limits::kStagesMax) + " stages, found " +
                    std::to_string(first) + " over " + std::to_string(layers_per_stage.size()));
  return slices;
}

}  // namespace coshard::shard
