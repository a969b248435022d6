// What every kernel file needs of CUDA beyond its body. Included by nvcc alone.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda_runtime.h>

#include "shard/cuda/kernels/bodies.h"

namespace coshard::shard::cuda {

__device__ inline Place this_place() { return {blockIdx.x, threadIdx.x, {gridDim.x, blockDim.x}}; }

/// Sums `value` over the block in the order of fold_lanes; the answer is thread 0's alone. `lanes`
/// is shared memory, one element per thread.
template <class T>
__device__ T sum_over_block(T* lanes, T value) {
  lanes[threadIdx.x] = value;
  for (unsigned stride = kThreadsPerBlock / 2; stride > 0; stride /= 2) {
    __syncthreads();
    fold_lanes(lanes, threadIdx.x, stride);
  }
  return lanes[0];
}

}  // namespace coshard::shard::cuda
