// Learning rate and commit scalars: see lr_schedule.h.
// SPDX-License-Identifier: Apache-2.0
#include "protocol/round/lr_schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "protocol/base/check.h"

namespace coshard::round {

double learning_rate(const OptimizerConfig& config, StepId step) {
  COSHARD_CHECK_OP(step.value, >, 0U);
  const auto warmup = static_cast<double>(config.warmup_steps);
  const auto at = static_cast<double>(step.value);
  if (step.value <= config.warmup_steps) return config.learning_rate * at / warmup;
  if (config.schedule == LearningRateSchedule::kConstant) return config.learning_rate;
  const double length = static_cast<double>(config.total_steps) - warmup;
  const double progress = length > 0 ? std::min((at - warmup) / length, 1.0) : 1.0;
  const double cosine = 0.5 * (1.0 + std::cos(std::numbers::pi * progress));
  return config.learning_rate * (config.final_fraction + (1.0 - config.final_fraction) * cosine);
}

double gradient_norm(std::span<const std::vector<double>> squared_norms_by_stage) {
  double sum = 0;
  for (const auto& stage : squared_norms_by_stage)
    for (const double squared : stage) sum += squared;
  return std::sqrt(sum);
}

CommitScalars commit_scalars(const OptimizerConfig& config, StepId step, double grad_norm,
                             const std::array<std::uint8_t, 16>& fingerprint_key) {
  const double rate = learning_rate(config, step);
  const auto exponent = static_cast<double>(step.value);
  const double correction1 = 1.0 - std::pow(config.beta1, exponent);
  const double correction2 = 1.0 - std::pow(config.beta2, exponent);
  CommitScalars scalars;
  scalars.step = step;
  scalars.learning_rate = static_cast<float>(rate);
  scalars.step_size = static_cast<float>(rate / correction1);
  scalars.decay_factor = static_cast<float>(1.0 - rate * config.weight_decay);
  scalars.sqrt_bias_correction2 = static_cast<float>(std::sqrt(correction2));
  scalars.beta1 = static_cast<float>(config.beta1);
  scalars.one_minus_beta1 = static_cast<float>(1.0 - config.beta1);
  scalars.beta2 = static_cast<float>(config.beta2);
  scalars.one_minus_beta2 = static_cast<float>(1.0 - config.beta2);
  scalars.eps = static_cast<float>(config.eps);
  scalars.skip = !std::isfinite(grad_norm);
  if (!scalars.skip && config.clip_norm > 0 && grad_norm > config.clip_norm)
    scalars.clip_factor = static_cast<float>(config.clip_norm / grad_norm);
  scalars.fingerprint_key = fingerprint_key;
  return scalars;
}

}  // namespace coshard::round
