// What one CUDA thread does in each of our kernels, as functions that the host compiles too: the
// kernels are these bodies under a launch, and tests/unit/cuda runs the very same bodies on the CPU
// over every (block, thread) of the launch. The arithmetic itself is shard/numeric's. No torch and
// no CUDA header. Pure.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "shard/numeric/adamw.h"
#include "shard/numeric/exact_float.h"
#include "shard/numeric/fingerprint.h"
#include "shard/numeric/squared_norm.h"

namespace coshard::shard::cuda {

/// One dimension is enough for all of ours.
struct Grid {
  unsigned blocks = 0, threads = 0;
};

/// Where a thread stands in its grid.
struct Place {
  unsigned block, thread;
  Grid grid;
};

inline constexpr unsigned kThreadsPerBlock = 256;
/// More blocks than any GPU runs at a time; beyond that, threads take another turn instead.
inline constexpr unsigned kBlocksMax = 4096;

/// Covers `items` (at least 1) with one thread each, or with several turns of kBlocksMax blocks.
constexpr Grid grid_for(std::uint64_t items) {
  const std::uint64_t blocks = (items + kThreadsPerBlock - 1) / kThreadsPerBlock;
  return {blocks < kBlocksMax ? static_cast<unsigned>(blocks) : kBlocksMax, kThreadsPerBlock};
}

/// Thread t of the whole grid takes items t, t + turn, t + 2 turn, ...: neighbours touch
/// neighbours.
COSHARD_HOST_DEVICE inline std::uint64_t first_item(const Place& at) {
  return std::uint64_t{at.block} * at.grid.threads + at.thread;
}
COSHARD_HOST_DEVICE inline std::uint64_t items_per_turn(const Place& at) {
  return std::uint64_t{at.grid.blocks} * at.grid.threads;
}

/// The four arrays of an update; see engine/device.h, UpdateSlice.
struct AdamwArrays {
  float* weight;
  float* first_moment;
  float* second_moment;
  const float* average;
  std::uint64_t count;
};

COSHARD_HOST_DEVICE inline void adamw_body(const Place& at, const AdamwArrays& a,
                                           const AdamwScalars& scalars) {
  for (std::uint64_t i = first_item(at); i < a.count; i += items_per_turn(at))
    adamw_element(a.weight[i], a.first_moment[i], a.second_moment[i], a.average[i], scalars);
}

/// Pointers that travel as a kernel's argument, so that no table has to be copied to the device.
template <std::size_t kCapacity>
struct Contributions {
  const float* at[kCapacity];
  unsigned size;
};

/// out[i] = (c0[i] + c1[i] + ...) * scale. Every element is read before it is written, so `out` may
/// be any of the contributions.
template <std::size_t kCapacity>
COSHARD_HOST_DEVICE void reduce_body(const Place& at, float* out,
                                     const Contributions<kCapacity>& contributions,
                                     std::uint64_t count, float scale) {
  for (std::uint64_t i = first_item(at); i < count; i += items_per_turn(at)) {
    float sum = contributions.at[0][i];
    for (unsigned c = 1; c < contributions.size; ++c) sum = exact_add(sum, contributions.at[c][i]);
    out[i] = exact_mul(sum, scale);
  }
}

/// One level of the pairwise tree over a block's lanes, between two barriers: strides 128, 64, ...,
/// 1. Works for doubles (norms, where the order is the contract) and words (fingerprints).
template <class T>
COSHARD_HOST_DEVICE void fold_lanes(T* lanes, unsigned lane, unsigned stride) {
  if (lane < stride) lanes[lane] += lanes[lane + stride];
}

/// Turns of a lane whose loads are under way together.
inline constexpr unsigned kNormTurnsAhead = 32;

/// squared_norm_lane of shard/numeric, the same additions in the same order, but with the loads of
/// many turns ahead of them: a lane's additions wait for each other, its loads need not.
COSHARD_HOST_DEVICE inline double squared_norm_body(const float* values, std::uint64_t count,
                                                    std::uint64_t lane) {
  constexpr std::uint64_t kLast = std::uint64_t{kNormTurnsAhead - 1} * kNormLanes;
  double sum = 0;
  std::uint64_t i = lane;
  for (; i + kLast < count; i += kLast + kNormLanes) {
    float ahead[kNormTurnsAhead];
    for (unsigned turn = 0; turn < kNormTurnsAhead; ++turn)
      ahead[turn] = values[i + std::uint64_t{turn} * kNormLanes];
    for (const float value : ahead) sum += static_cast<double>(value) * static_cast<double>(value);
  }
  for (; i < count; i += kNormLanes)
    sum += static_cast<double>(values[i]) * static_cast<double>(values[i]);
  return sum;
}

/// A whole parameter and its global index.
struct FingerprintArray {
  const float* values;
  std::uint64_t count;
  std::uint64_t parameter;
};

COSHARD_HOST_DEVICE inline std::uint64_t fingerprint_groups(const FingerprintArray& array) {
  return (array.count + 3) / 4;
}

/// The part of one thread: groups of four elements, the missing tail counting as 0.
COSHARD_HOST_DEVICE inline FingerprintLanes fingerprint_body(const Place& at,
                                                             const FingerprintArray& array,
                                                             const FingerprintKey& key) {
  FingerprintLanes lanes;
  const std::uint64_t groups = fingerprint_groups(array);
  for (std::uint64_t group = first_item(at); group < groups; group += items_per_turn(at)) {
    const std::uint64_t begin = 4 * group;
    const std::uint64_t left = array.count - begin;
    std::uint32_t bits[4] = {0, 0, 0, 0};
    memcpy(bits, array.values + begin, 4 * (left < 4 ? left : 4));
    lanes.add(fingerprint_group(key, array.parameter, group, {bits[0], bits[1], bits[2], bits[3]}));
  }
  return lanes;
}

}  // namespace coshard::shard::cuda
