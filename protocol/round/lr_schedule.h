// The scalars of a commit: learning rate by step, bias corrections, decay and clipping, computed
// once, in double, and rounded to fp32 (design 3.1). Pure functions, any thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "protocol/base/commit_scalars.h"

namespace coshard::round {

enum class LearningRateSchedule : std::uint8_t { kCosine = 0, kConstant = 1 };

/// AdamW and its schedule, as the round file gives them.
struct OptimizerConfig {
  double learning_rate = 1e-3;  ///< at the peak
  double beta1 = 0.9;
  double beta2 = 0.95;
  double eps = 1e-8;
  double weight_decay = 0.1;
  double clip_norm = 1.0;          ///< 0: no clipping
  std::uint64_t warmup_steps = 0;  ///< linear from learning_rate / warmup_steps
  std::uint64_t total_steps = 1;   ///< the cosine ends here
  double final_fraction = 0.1;     ///< the cosine ends at this share of the peak
  LearningRateSchedule schedule = LearningRateSchedule::kCosine;
};

/// Learning rate of `step` (1-based).
double learning_rate(const OptimizerConfig& config, StepId step);

/// Adds the chunks' squared norms in global order: stages ascending, chunks ascending in each.
/// Returns the norm (not its square); not finite when any of them is not.
double gradient_norm(std::span<const std::vector<double>> squared_norms_by_stage);

/// Scalars of the commit of `step`. `grad_norm` not finite: a skipped update, clip_factor 1.
CommitScalars commit_scalars(const OptimizerConfig& config, StepId step, double grad_norm,
                             const std::array<std::uint8_t, 16>& fingerprint_key);

}  // namespace coshard::round
