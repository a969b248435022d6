// The kernels on the CPU: their bodies, run over every block and thread of a launch, against the
// plain references of shard/numeric, bit for bit.
// SPDX-License-Identifier: Apache-2.0
#include "shard/cuda/kernels/bodies.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>
#include <vector>

#include "shard/numeric/reduce.h"

namespace coshard::shard::cuda {
namespace {

/// Runs `body` as a GPU might: every thread of every block once, in an order that `seed` decides.
template <class Body>
void launch_on_host(Grid grid, unsigned seed, Body&& body) {
  std::vector<unsigned> order(std::size_t{grid.blocks} * grid.threads);
  std::iota(order.begin(), order.end(), 0U);
  std::shuffle(order.begin(), order.end(), std::mt19937(seed));
  for (const unsigned thread : order)
    body(Place{thread / grid.threads, thread % grid.threads, grid});
}

/// The grid that the kernel uses, and two that need many turns and cut unevenly.
std::vector<Grid> grids(std::uint64_t items) { return {grid_for(items), {3, 7}, {1, 1}}; }

/// Finite floats of every magnitude: both signs, zeros, subnormals, and large ones.
std::vector<float> floats(std::size_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::uniform_int_distribution<int> exponent(-148, 60);
  std::normal_distribution<float> mantissa;
  std::vector<float> out(count);
  for (float& value : out) value = std::ldexp(mantissa(random), exponent(random));
  if (count > 4) out[1] = 0.0F, out[2] = -0.0F, out[3] = std::numeric_limits<float>::denorm_min();
  return out;
}

std::vector<std::uint32_t> bits(const std::vector<float>& values) {
  std::vector<std::uint32_t> out(values.size());
  std::transform(values.begin(), values.end(), out.begin(),
                 [](float value) { return std::bit_cast<std::uint32_t>(value); });
  return out;
}

TEST(Grid, VisitsEveryItemExactlyOnce) {
  const std::uint64_t turn = std::uint64_t{kBlocksMax} * kThreadsPerBlock;
  for (const std::uint64_t items : {std::uint64_t{1}, std::uint64_t{255}, std::uint64_t{256},
                                    std::uint64_t{257}, turn - 1, turn, turn + 1, 2 * turn + 17}) {
    const Grid grid = grid_for(items);
    ASSERT_GE(grid.blocks, 1U);
    ASSERT_LE(grid.blocks, kBlocksMax);
    std::vector<std::uint8_t> visits(items);
    launch_on_host(grid, 1, [&](const Place& at) {
      for (std::uint64_t i = first_item(at); i < items; i += items_per_turn(at)) ++visits[i];
    });
    EXPECT_EQ(std::count(visits.begin(), visits.end(), 1), static_cast<std::ptrdiff_t>(items));
  }
}

TEST(Grid, HasNoIdleBlock) {
  for (const std::uint64_t items : {1U, 256U, 257U, 10'000U})
    EXPECT_LT((std::uint64_t{grid_for(items).blocks} - 1) * kThreadsPerBlock, items);
}

CommitScalars commit_of_step(int step) {
  CommitScalars commit;
  commit.step_size = 1e-3F / (1 - std::pow(0.9F, static_cast<float>(step)));
  commit.decay_factor = 1 - 1e-4F;
  commit.sqrt_bias_correction2 = std::sqrt(1 - std::pow(0.95F, static_cast<float>(step)));
  commit.beta1 = 0.9F, commit.one_minus_beta1 = 0.1F;
  commit.beta2 = 0.95F, commit.one_minus_beta2 = 0.05F;
  commit.clip_factor = 0.37F;
  return commit;
}

TEST(AdamwBody, EqualsThePlainLoopBitForBit) {
  constexpr std::size_t kCount = 4099;
  for (const Grid grid : grids(kCount)) {
    std::vector<float> weight = floats(kCount, 1), m(kCount), v(kCount);
    std::vector<float> plain_weight = weight, plain_m = m, plain_v = v;
    for (int step = 1; step <= 4; ++step) {
      const std::vector<float> average = floats(kCount, 10 + static_cast<unsigned>(step));
      const CommitScalars commit = commit_of_step(step);
      const bool decays = step % 2 == 0;
      adamw_update(plain_weight, plain_m, plain_v, average, commit, decays);
      const AdamwArrays arrays{weight.data(), m.data(), v.data(), average.data(), kCount};
      launch_on_host(
          grid, 2, [&](const Place& at) { adamw_body(at, arrays, adamw_scalars(commit, decays)); });
    }
    EXPECT_EQ(bits(weight), bits(plain_weight));
    EXPECT_EQ(bits(m), bits(plain_m));
    EXPECT_EQ(bits(v), bits(plain_v));
    EXPECT_NE(bits(weight), bits(floats(kCount, 1)));
  }
}

TEST(ReduceBody, EqualsThePlainSumInOrderWhereverTheResultGoes) {
  constexpr std::size_t kCount = 1031;
  for (const unsigned size : {1U, 2U, 3U, 16U}) {
    std::vector<std::vector<float>> from;
    std::vector<std::span<const float>> spans;
    for (unsigned c = 0; c < size; ++c) from.push_back(floats(kCount, c));
    for (const auto& contribution : from) spans.emplace_back(contribution);
    std::vector<float> plain(kCount);
    sum_in_order(plain, spans, 0.125F / 3);
    for (unsigned target = 0; target <= size; ++target) {  // The last target is memory of its own.
      auto arrays = from;
      arrays.emplace_back(kCount);
      Contributions<16> in{};
      in.size = size;
      for (unsigned c = 0; c < size; ++c) in.at[c] = arrays[c].data();
      launch_on_host(grid_for(kCount), target, [&](const Place& at) {
        reduce_body(at, arrays[target].data(), in, kCount, 0.125F / 3);
      });
      EXPECT_EQ(bits(arrays[target]), bits(plain)) << size << " contributions into " << target;
    }
  }
}

/// A block as kernels/launch.cuh runs it: between two barriers any order of threads.
template <class T>
T sum_over_block_on_host(std::vector<T> lanes, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<unsigned> order(lanes.size());
  std::iota(order.begin(), order.end(), 0U);
  for (auto stride = static_cast<unsigned>(lanes.size() / 2); stride > 0; stride /= 2) {
    std::shuffle(order.begin(), order.end(), random);
    for (const unsigned lane : order) fold_lanes(lanes.data(), lane, stride);
  }
  return lanes[0];
}

TEST(SquaredNormBody, EqualsThePlainNormBitForBit) {
  for (const std::size_t count :
       {0U, 1U, 255U, 256U, 257U, 1000U, 8191U, 8192U, 8193U, 8448U, 70'001U}) {
    const std::vector<float> values = floats(count, 5);
    std::vector<double> lanes(kNormLanes);
    for (std::size_t lane = 0; lane < lanes.size(); ++lane)
      lanes[lane] = squared_norm_body(values.data(), count, lane);
    EXPECT_EQ(std::bit_cast<std::uint64_t>(sum_over_block_on_host(lanes, 3)),
              std::bit_cast<std::uint64_t>(squared_norm(values)))
        << count;
  }
}

TEST(FingerprintBody, EqualsThePlainFingerprintForEveryLaunch) {
  const FingerprintKey key{0x0123456789ABCDEFU, 0xFEDCBA9876543210U};
  for (const std::size_t count : {1U, 2U, 3U, 4U, 5U, 1023U, 4096U, 9001U}) {
    const std::vector<float> values = floats(count, 7);
    const FingerprintArray array{values.data(), count, 12};
    const FingerprintLanes plain = fingerprint_part(key, 12, 0, values);
    for (const Grid grid : grids(fingerprint_groups(array))) {
      FingerprintLanes lanes;
      launch_on_host(grid, 4,
                     [&](const Place& at) { lanes.add(fingerprint_body(at, array, key)); });
      EXPECT_EQ(lanes, plain) << count;
    }
    EXPECT_NE(fingerprint_part(key, 13, 0, values), plain) << "the parameter's index counts";
  }
}

TEST(FingerprintBody, TreeOverABlockAddsWordsModulo2To64) {
  std::vector<std::uint64_t> lanes(kThreadsPerBlock, 0x8000000000000001U);
  lanes[7] += 5;
  EXPECT_EQ(sum_over_block_on_host(lanes, 1), kThreadsPerBlock + 5U);
}

}  // namespace
}  // namespace coshard::shard::cuda
