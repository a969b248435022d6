// AdamW, one element per thread and turn. Bound by memory: 16 bytes read and 12 written for an
// element's 15 operations.
//   version 1 (this one): coalesced 4-byte accesses, grid of at most kBlocksMax blocks
// SPDX-License-Identifier: Apache-2.0
#include "shard/cuda/kernels.h"
#include "shard/cuda/kernels/launch.cuh"

namespace coshard::shard::cuda {
namespace {

__global__ void adamw_kernel(AdamwArrays arrays, AdamwScalars scalars) {
  adamw_body(this_place(), arrays, scalars);
}

}  // namespace

void launch_adamw(const AdamwArrays& arrays, const AdamwScalars& scalars, Stream stream) {
  const Grid grid = grid_for(arrays.count);
  adamw_kernel<<<grid.blocks, grid.threads, 0, stream>>>(arrays, scalars);
}

}  // namespace coshard::shard::cuda
