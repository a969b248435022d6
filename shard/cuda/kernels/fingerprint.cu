// Keyed fingerprint of one array: every group of four elements adds to two sums modulo 2^64, where
// any order gives the same value, so atomic additions keep it deterministic.
//   version 1 (this one): a group per thread and turn, a tree per block, two atomics per block
// SPDX-License-Identifier: Apache-2.0
#include "shard/cuda/kernels.h"
#include "shard/cuda/kernels/launch.cuh"

namespace coshard::shard::cuda {
namespace {

using Word = unsigned long long;  // atomicAdd's 64-bit type
static_assert(sizeof(Word) == sizeof(std::uint64_t));

__global__ void fingerprint_kernel(Word* out, FingerprintArray array, FingerprintKey key) {
  __shared__ Word lanes_a[kThreadsPerBlock];
  __shared__ Word lanes_b[kThreadsPerBlock];
  const FingerprintLanes own = fingerprint_body(this_place(), array, key);
  const Word a = sum_over_block(lanes_a, Word{own.a});
  const Word b = sum_over_block(lanes_b, Word{own.b});
  if (threadIdx.x == 0) {
    atomicAdd(out, a);
    atomicAdd(out + 1, b);
  }
}

}  // namespace

void launch_fingerprint(std::uint64_t* lanes, const FingerprintArray& array,
                        const FingerprintKey& key, Stream stream) {
  const Grid grid = grid_for(fingerprint_groups(array));
  fingerprint_kernel<<<grid.blocks, grid.threads, 0, stream>>>(reinterpret_cast<Word*>(lanes),
                                                               array, key);
}

}  // namespace coshard::shard::cuda
