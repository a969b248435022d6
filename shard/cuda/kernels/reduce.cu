// Sum of contributions in the order given, times a scale: the reducer's work on one chunk.
//   version 1 (this one): one element per thread and turn; the table of pointers is an argument
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "protocol/base/limits.h"
#include "shard/cuda/kernels.h"
#include "shard/cuda/kernels/launch.cuh"

namespace coshard::shard::cuda {
namespace {

template <std::size_t kCapacity>
__global__ void reduce_kernel(float* out, const __grid_constant__ Contributions<kCapacity> in,
                              std::uint64_t count, float scale) {
  reduce_body(this_place(), out, in, count, scale);
}

template <std::size_t kCapacity>
void launch(float* out, std::span<const float* const> from, std::uint64_t count, float scale,
            Stream stream) {
  Contributions<kCapacity> in{};
  std::copy(from.begin(), from.end(), in.at);
  in.size = static_cast<unsigned>(from.size());
  const Grid grid = grid_for(count);
  reduce_kernel<<<grid.blocks, grid.threads, 0, stream>>>(out, in, count, scale);
}

// Few replicas are the rule: an argument of 8 KiB for each of their launches would be waste.
constexpr std::size_t kFew = 16;

}  // namespace

void launch_reduce(float* out, std::span<const float* const> contributions, std::uint64_t count,
                   float scale, Stream stream) {
  if (contributions.size() <= kFew) {
    launch<kFew>(out, contributions, count, scale, stream);
  } else {
    launch<limits::kReplicasMax>(out, contributions, count, scale, stream);
  }
}

}  // namespace coshard::shard::cuda
