// See partition.h.
// SPDX-License-Identifier: Apache-2.0
#include "shard/plan/partition.h"

#include <algorithm>
#include <limits>
#include <string>

#include "protocol/base/int128.h"
#include "protocol/base/limits.h"

namespace coshard::shard {
namespace {

StageSlice slice_of(const ModelSpec& spec, std::int64_t first, std::int64_t last) {
  return {first, last, first == 0, last == spec.layers};
}

/// FLOPs of any slice in O(1): layers are alike, only the head is extra.
class SliceCost {
 public:
  explicit SliceCost(const ModelSpec& spec)
      : layers_(spec.layers),
        layer_(flops_per_token(spec, {0, 1, false, false})),
        head_(flops_per_token(spec, {0, 0, false, true})) {}
  std::uint64_t operator()(std::int64_t first, std::int64_t last) const {
    return static_cast<std::uint64_t>(last - first) * layer_ + (last == layers_ ? head_ : 0);
  }

 private:
  std::int64_t layers_;
  std::uint64_t layer_, head_;
};

/// Dynamic programme over (stages used, layers covered). `value(cost)` prices one stage, `join`
/// combines; returns the start of the last slice for every state, preferring the smallest start
/// among equals.
template <class Value, class Join>
struct CutTable {
  std::vector<std::vector<uint128_t>> best;
  std::vector<std::vector<std::int64_t>> start;

  CutTable(std::int64_t stages, std::int64_t layers, const SliceCost& cost, Value value, Join join)
      : best(static_cast<std::size_t>(stages) + 1,
             std::vector<uint128_t>(static_cast<std::size_t>(layers) + 1, ~uint128_t{0})),
        start(best.size(), std::vector<std::int64_t>(best[0].size(), 0)) {
    best[0][0] = 0;
    for (std::size_t s = 1; s < best.size(); ++s) {
      for (std::size_t end = s; end < best[s].size(); ++end) {
        for (std::size_t first = s - 1; first < end; ++first) {
          const uint128_t before = best[s - 1][first];
          const uint128_t stage =
              value(cost(static_cast<std::int64_t>(first), static_cast<std::int64_t>(end)));
          if (before == ~uint128_t{0} || stage == ~uint128_t{0}) continue;
          const uint128_t total = join(before, stage);
          if (total >= best[s][end]) continue;
          best[s][end] = total;
          start[s][end] = static_cast<std::int64_t>(first);
        }
      }
    }
  }
};

}  // namespace

Result<std::vector<StageSlice>> partition(const ModelSpec& spec, std::uint32_t stages) {
  COSHARD_TRY(validate(spec));
  const auto stages_max = std::min<std::int64_t>(spec.layers, limits::kStagesMax);
  if (stages < 1 || stages > stages_max)
    return fail(ErrorCode::kInvalidArgument,
                "model stages: expected 1 to " + std::to_string(stages_max) +
                    " (every stage needs a layer), found " + std::to_string(stages));
  const SliceCost cost(spec);
  const CutTable slowest(
      stages, spec.layers, cost, [](std::uint64_t c) { return uint128_t{c}; },
      [](uint128_t a, uint128_t b) { return std::max(a, b); });
  const uint128_t bound = slowest.best.back().back();
  const CutTable even(
      stages, spec.layers, cost,
      [&](std::uint64_t c) { return c > bound ? ~uint128_t{0} : uint128_t{c} * c; },
      [](uint128_t a, uint128_t b) { return a + b; });
  std::vector<StageSlice> slices(stages);
  std::int64_t end = spec.layers;
  for (std::size_t s = stages; s > 0; --s) {
    const std::int64_t first = even.start[s][static_cast<std::size_t>(end)];
    slices[s - 1] = slice_of(spec, first, end);
    end = first;
  }
  return slices;
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
