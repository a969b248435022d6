// AdamW, bit-identical on every device: the element update fixed by protocol/base/commit_scalars.h,
// usable from CUDA, and the plain CPU loop over it that every other implementation is tested
// against. Pure; any thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>

#include "protocol/base/commit_scalars.h"
#include "shard/numeric/exact_float.h"

namespace coshard::shard {

/// What the element update needs of CommitScalars, as plain floats that a kernel takes by value.
struct AdamwScalars {
  float step_size, decay, sqrt_bias_correction2;
  float beta1, one_minus_beta1, beta2, one_minus_beta2;
  float eps, clip_factor;
};

/// `decays`: whether weight decay applies to the parameter (matrices, not norm gains).
inline AdamwScalars adamw_scalars(const CommitScalars& commit, bool decays) {
  return {.step_size = commit.step_size,
          .decay = decays ? commit.decay_factor : 1.0F,
          .sqrt_bias_correction2 = commit.sqrt_bias_correction2,
          .beta1 = commit.beta1,
          .one_minus_beta1 = commit.one_minus_beta1,
          .beta2 = commit.beta2,
          .one_minus_beta2 = commit.one_minus_beta2,
          .eps = commit.eps,
          .clip_factor = commit.clip_factor};
}

/// Updates one weight and its moments in place from the averaged gradient. Each line below is one
/// rounding per operation, in the order written.
COSHARD_HOST_DEVICE inline void adamw_element(float& weight, float& m, float& v, float average,
                                              const AdamwScalars& s) {
  const float g = exact_mul(average, s.clip_factor);
  m = exact_add(exact_mul(s.beta1, m), exact_mul(s.one_minus_beta1, g));
  v = exact_add(exact_mul(s.beta2, v), exact_mul(s.one_minus_beta2, exact_mul(g, g)));
  const float denominator = exact_add(exact_div(exact_sqrt(v), s.sqrt_bias_correction2), s.eps);
  weight = exact_sub(exact_mul(weight, s.decay), exact_mul(s.step_size, exact_div(m, denominator)));
}

/// Updates all elements of one parameter, or of any part of it: the update is element-wise. The
/// spans have equal lengths. A skipped commit changes nothing.
void adamw_update(std::span<float> weights, std::span<float> m, std::span<float> v,
                  std::span<const float> average, const CommitScalars& commit, bool decays);

}  // namespace coshard::shard
