// Commit scalars against closed forms in extended precision.
// SPDX-License-Identifier: Apache-2.0
#include "protocol/round/lr_schedule.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace coshard::round {
namespace {

OptimizerConfig config() {
  OptimizerConfig config;
  config.learning_rate = 1e-3;
  config.warmup_steps = 20;
  config.total_steps = 200;
  return config;
}

TEST(LearningRate, WarmsUpLinearlyThenFollowsTheCosine) {
  EXPECT_DOUBLE_EQ(learning_rate(config(), StepId(1)), 1e-3 / 20);
  EXPECT_DOUBLE_EQ(learning_rate(config(), StepId(10)), 1e-3 / 2);
  EXPECT_DOUBLE_EQ(learning_rate(config(), StepId(20)), 1e-3);
  EXPECT_DOUBLE_EQ(learning_rate(config(), StepId(110)), 1e-3 * 0.55);  // half way: cos = 0
  EXPECT_DOUBLE_EQ(learning_rate(config(), StepId(200)), 1e-4);
  EXPECT_DOUBLE_EQ(learning_rate(config(), StepId(500)), 1e-4);
  for (std::uint64_t step = 21; step < 200; ++step)
    EXPECT_GT(learning_rate(config(), StepId(step)), learning_rate(config(), StepId(step + 1)));
}

TEST(LearningRate, ConstantAndWithoutWarmup) {
  OptimizerConfig constant = config();
  constant.schedule = LearningRateSchedule::kConstant;
  EXPECT_DOUBLE_EQ(learning_rate(constant, StepId(5)), 1e-3 / 4);
  EXPECT_DOUBLE_EQ(learning_rate(constant, StepId(150)), 1e-3);
  OptimizerConfig bare = config();
  bare.warmup_steps = 0;
  bare.total_steps = 1;
  EXPECT_DOUBLE_EQ(learning_rate(bare, StepId(1)), 1e-4);
  bare.warmup_steps = 5;  // longer than the round
  EXPECT_DOUBLE_EQ(learning_rate(bare, StepId(1)), 1e-3 / 5);
}

TEST(CommitScalars, AreTheClosedFormsRoundedOnce) {
  for (const std::uint64_t step : {1U, 2U, 19U, 20U, 21U, 77U, 200U}) {
    const CommitScalars scalars = commit_scalars(config(), StepId(step), 0.5, {1, 2, 3});
    const long double rate = learning_rate(config(), StepId(step));
    const auto t = static_cast<long double>(step);
    EXPECT_EQ(scalars.step, StepId(step));
    EXPECT_FLOAT_EQ(scalars.learning_rate, static_cast<float>(rate));
    EXPECT_FLOAT_EQ(scalars.step_size, static_cast<float>(rate / (1 - std::pow(0.9L, t))));
    EXPECT_FLOAT_EQ(scalars.sqrt_bias_correction2,
                    static_cast<float>(std::sqrt(1 - std::pow(0.95L, t))));
    EXPECT_FLOAT_EQ(scalars.decay_factor, static_cast<float>(1 - rate * 0.1L));
    EXPECT_EQ(scalars.beta1, 0.9F);
    EXPECT_FLOAT_EQ(scalars.one_minus_beta1, 0.1F);
    EXPECT_EQ(scalars.beta2, 0.95F);
    EXPECT_FLOAT_EQ(scalars.one_minus_beta2, 0.05F);
    EXPECT_EQ(scalars.eps, 1e-8F);
    EXPECT_EQ(scalars.clip_factor, 1.0F);
    EXPECT_FALSE(scalars.skip);
    EXPECT_EQ(scalars.fingerprint_key[1], 2);
  }
}

TEST(CommitScalars, ClipTheNormAndSkipWhatIsNotFinite) {
  EXPECT_EQ(commit_scalars(config(), StepId(3), 4.0, {}).clip_factor, 0.25F);
  EXPECT_EQ(commit_scalars(config(), StepId(3), 1.0, {}).clip_factor, 1.0F);
  EXPECT_EQ(commit_scalars(config(), StepId(3), 0.0, {}).clip_factor, 1.0F);
  OptimizerConfig free = config();
  free.clip_norm = 0;
  EXPECT_EQ(commit_scalars(free, StepId(3), 4.0, {}).clip_factor, 1.0F);
  for (const double norm :
       {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
    const CommitScalars scalars = commit_scalars(config(), StepId(3), norm, {});
    EXPECT_TRUE(scalars.skip);
    EXPECT_EQ(scalars.clip_factor, 1.0F);
  }
}

TEST(GradientNorm, AddsInGlobalOrderWhateverTheCut) {
  // 2^54 + 1 is lost to rounding, 1 + 1 + … + 2^54 is not: the order shows in the sum.
  const double big = 0x1p54;
  const std::vector<std::vector<double>> two{{1, 1, 1, 1}, {big, 1, 1, 1, 1}};
  const std::vector<std::vector<double>> one{{1, 1, 1, 1, big, 1, 1, 1, 1}};
  const std::vector<std::vector<double>> turned{{big, 1, 1, 1, 1}, {1, 1, 1, 1}};
  EXPECT_EQ(gradient_norm(two), gradient_norm(one));
  EXPECT_EQ(gradient_norm(two) * gradient_norm(two), std::sqrt(big + 4) * std::sqrt(big + 4));
  const std::vector<std::vector<double>> simple{{9}, {16}};
  EXPECT_EQ(gradient_norm(simple), 5.0);
  const std::vector<std::vector<double>> broken{{9}, {std::nan("")}};
  EXPECT_FALSE(std::isfinite(gradient_norm(broken)));
  EXPECT_EQ(gradient_norm(turned), std::sqrt(big));
}

}  // namespace
}  // namespace coshard::round
