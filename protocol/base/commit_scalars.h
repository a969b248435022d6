// What a commit carries to every replica: the scalars of one optimizer update, computed once, in
// double, by protocol/round/lr_schedule, and rounded to fp32 (design 3.1). Value type, any thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>

#include "protocol/base/ids.h"

namespace coshard {

/// AdamW (Loshchilov and Hutter, 2019) as exactly rounded fp32 operations in this order, for each
/// element:
///   g = average * clip_factor
///   m = beta1 * m + one_minus_beta1 * g
///   v = beta2 * v + one_minus_beta2 * (g * g)
///   w = w * decay - step_size * (m / (sqrt(v) / sqrt_bias_correction2 + eps))
/// where decay is `decay_factor` for matrices and 1 for norm gains. `skip` leaves weights and
/// moments untouched.
struct CommitScalars {
  StepId step;
  float learning_rate = 0;  ///< for display; already contained in step_size and decay_factor
  float step_size = 0;      ///< learning_rate / (1 - beta1^step)
  float decay_factor = 1;   ///< 1 - learning_rate * weight_decay
  float sqrt_bias_correction2 = 1;  ///< sqrt(1 - beta2^step)
  float beta1 = 0, one_minus_beta1 = 1;
  float beta2 = 0, one_minus_beta2 = 1;
  float eps = 1e-8F;
  float clip_factor = 1;  ///< min(1, clip_norm / norm of the whole model's averaged gradient)
  bool skip = false;
  std::array<std::uint8_t, 16> fingerprint_key{};  ///< key of the parameter digest after this step

  bool operator==(const CommitScalars&) const = default;
};

/// Keyed 128-bit digest of a stage's parameters, computed where they live
/// (shard/engine/fingerprint).
using Fingerprint = std::array<std::uint8_t, 16>;

}  // namespace coshard
