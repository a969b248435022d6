// The cut against trying all cuts.
// SPDX-License-Identifier: Apache-2.0
#include "shard/plan/partition.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>

namespace coshard::shard {
namespace {

using ::testing::HasSubstr;

std::uint64_t slowest(const ModelSpec& spec, const std::vector<StageSlice>& slices) {
  std::uint64_t most = 0;
  for (const StageSlice& slice : slices) most = std::max(most, flops_per_token(spec, slice));
  return most;
}

/// The best over all contiguous cuts, by enumeration.
std::uint64_t best_by_force(const ModelSpec& spec, std::uint32_t stages) {
  std::uint64_t best = ~std::uint64_t{0};
  std::vector<std::int64_t> counts;
  const std::function<void(std::int64_t)> extend = [&](std::int64_t left) {
    if (counts.size() + 1 == stages) {
      counts.push_back(left);
      best = std::min(best, slowest(spec, partition(spec, counts).value()));
      counts.pop_back();
      return;
    }
    const auto rest = static_cast<std::int64_t>(stages - counts.size() - 1);
    for (std::int64_t n = 1; n <= left - rest; ++n) {
      counts.push_back(n);
      extend(left - n);
      counts.pop_back();
    }
  };
  extend(spec.layers);
  return best;
}

TEST(Partition, IsAsFastAsTheBestOfAllCuts) {
  ModelSpec spec = preset("tiny").value();
  for (const std::int64_t vocab : {256, 5000, 50'000}) {
    for (std::int64_t layers = 1; layers <= 9; ++layers) {
      spec.vocab = vocab;
      spec.layers = layers;
      for (std::uint32_t stages = 1; stages <= layers; ++stages) {
        const auto slices = partition(spec, stages).value();
        ASSERT_EQ(slices.size(), stages);
        std::int64_t next = 0;
        for (const StageSlice& slice : slices) {
          EXPECT_EQ(slice.first_layer, next);
          EXPECT_GE(slice.layers(), 1);
          EXPECT_EQ(slice.has_embedding, next == 0);
          next = slice.last_layer;
          EXPECT_EQ(slice.has_head, next == layers);
        }
        EXPECT_EQ(next, layers);
        EXPECT_EQ(slowest(spec, slices), best_by_force(spec, stages)) << layers << " " << stages;
      }
    }
  }
}

TEST(Partition, AmongEqualsItIsEven) {
  ModelSpec spec = preset("tiny").value();
  spec.vocab = 30'000;  // the head outweighs several layers and decides alone
  spec.layers = 7;
  const auto slices = partition(spec, 4).value();
  EXPECT_EQ(slices[3].layers(), 1);
  for (int s = 0; s < 3; ++s) EXPECT_EQ(slices[static_cast<std::size_t>(s)].layers(), 2);
}

TEST(Partition, TheDemoIsCutInTheMiddle) {
  const auto slices = partition(preset("tiny").value(), 2).value();
  EXPECT_EQ(slices[0], (StageSlice{0, 2, true, false}));
  EXPECT_EQ(slices[1], (StageSlice{2, 4, false, true}));
}

TEST(Partition, ImpossibleCutsSayWhatWasExpected) {
  const ModelSpec tiny = preset("tiny").value();
  const auto too_many = partition(tiny, 5);
  ASSERT_FALSE(too_many);
  EXPECT_THAT(too_many.error().message, HasSubstr("expected 1 to 4"));
  EXPECT_THAT(too_many.error().message, HasSubstr("found 5"));
  EXPECT_FALSE(partition(tiny, 0));
  const auto wrong_sum = partition(tiny, std::vector<std::int64_t>{1, 2});
  ASSERT_FALSE(wrong_sum);
  EXPECT_THAT(wrong_sum.error().message, HasSubstr("sum to 4"));
  EXPECT_FALSE(partition(tiny, std::vector<std::int64_t>{4, 0}));
  EXPECT_FALSE(partition(tiny, std::vector<std::int64_t>{-1, 5}));
  EXPECT_FALSE(partition(tiny, std::vector<std::int64_t>{}));
  ModelSpec broken = tiny;
  broken.heads = 3;
  EXPECT_FALSE(partition(broken, 2));
}

}  // namespace
}  // namespace coshard::shard
