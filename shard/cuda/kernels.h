// The kernels as the rest of the module calls them: device pointers, sizes and a stream, no torch
// type. Each only enqueues; a launch that fails is found by the caller's cudaGetLastError.
// Arithmetic and its order: shard/numeric, through kernels/bodies.h. Home thread: cs-engine, under
// the caller's device guard.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "shard/cuda/kernels/bodies.h"

struct CUstream_st;

namespace coshard::shard::cuda {

/// cudaStream_t, without its header.
using Stream = CUstream_st*;

/// Updates `count` elements, at least 1.
void launch_adamw(const AdamwArrays& arrays, const AdamwScalars& scalars, Stream stream);

/// See reduce_body. 1 to limits::kReplicasMax contributions of `count` elements, at least 1.
void launch_reduce(float* out, std::span<const float* const> contributions, std::uint64_t count,
                   float scale, Stream stream);

/// *out = squared norm of `count` elements in the order of shard/numeric/squared_norm.h.
void launch_squared_norm(double* out, const float* values, std::uint64_t count, Stream stream);

/// Adds the array's lanes to lanes[0] (a) and lanes[1] (b) on the device, modulo 2^64.
void launch_fingerprint(std::uint64_t* lanes, const FingerprintArray& array,
                        const FingerprintKey& key, Stream stream);

}  // namespace coshard::shard::cuda
