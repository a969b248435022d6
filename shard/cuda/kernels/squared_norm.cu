// Squared norm of one chunk by one block of 256 threads, which are the 256 lanes of the contract:
// the order of additions is fixed, so a chunk cannot be spread over more of them.
//   version 1: numeric's lane loop, then the tree in shared memory; every addition waits for a load
//   version 2 (this one): loads of 32 turns ahead of their additions
// SPDX-License-Identifier: Apache-2.0
#include "shard/cuda/kernels.h"
#include "shard/cuda/kernels/launch.cuh"

namespace coshard::shard::cuda {
namespace {

static_assert(kThreadsPerBlock == kNormLanes, "one thread is one lane of the norm");

__global__ void squared_norm_kernel(double* out, const float* values, std::uint64_t count) {
  __shared__ double lanes[kNormLanes];
  const double sum = sum_over_block(lanes, squared_norm_body(values, count, threadIdx.x));
  if (threadIdx.x == 0) *out = sum;
}

}  // namespace

void launch_squared_norm(double* out, const float* values, std::uint64_t count, Stream stream) {
  squared_norm_kernel<<<1, kNormLanes, 0, stream>>>(out, values, count);
}

}  // namespace coshard::shard::cuda
