// fp32 operations that round exactly once on every device: no contraction to fused multiply-add, no
// fast division or square root, subnormals kept. On the host the build's -ffp-contract=off makes
// plain operators do just that; CUDA needs its intrinsics. Included by nvcc too: no standard
// library types here.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>

#if defined(__CUDACC__)
#define COSHARD_HOST_DEVICE __host__ __device__
#else
#define COSHARD_HOST_DEVICE
#endif

namespace coshard::shard {

#if defined(__CUDA_ARCH__)
COSHARD_HOST_DEVICE inline float exact_add(float a, float b) { return __fadd_rn(a, b); }
COSHARD_HOST_DEVICE inline float exact_sub(float a, float b) { return __fsub_rn(a, b); }
COSHARD_HOST_DEVICE inline float exact_mul(float a, float b) { return __fmul_rn(a, b); }
COSHARD_HOST_DEVICE inline float exact_div(float a, float b) { return __fdiv_rn(a, b); }
COSHARD_HOST_DEVICE inline float exact_sqrt(float a) { return __fsqrt_rn(a); }
#else
COSHARD_HOST_DEVICE inline float exact_add(float a, float b) { return a + b; }
COSHARD_HOST_DEVICE inline float exact_sub(float a, float b) { return a - b; }
COSHARD_HOST_DEVICE inline float exact_mul(float a, float b) { return a * b; }
COSHARD_HOST_DEVICE inline float exact_div(float a, float b) { return a / b; }
COSHARD_HOST_DEVICE inline float exact_sqrt(float a) { return sqrtf(a); }
#endif

}  // namespace coshard::shard
