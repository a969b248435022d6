// fp32 to bf16 by rounding to nearest even, the same bits as the host's: working copies of master
// weights for matrix products.
//   version 1 (this one): one element per thread and turn
// SPDX-License-Identifier: Apache-2.0
#include "shard/cuda/kernels.h"
#include "shard/cuda/kernels/launch.cuh"

namespace coshard::shard::cuda {
namespace {

__global__ void to_bf16_kernel(std::uint16_t* out, const float* values, std::uint64_t count) {
  to_bf16_body(this_place(), out, values, count);
}

}  // namespace

void launch_to_bf16(std::uint16_t* out, const float* values, std::uint64_t count, Stream stream) {
  const Grid grid = grid_for(count);
  to_bf16_kernel<<<grid.blocks, grid.threads, 0, stream>>>(out, values, count);
}

}  // namespace coshard::shard::cuda
