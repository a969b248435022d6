// A pipeline is the one-process run cut into pieces: loss, gradient norm and parameters are equal
// bit for bit on the CPU (same microbatch order, one thread), wherever the model is cut and in
// whatever order stages work. Replicas add in another order, so they are close, not equal.
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <unistd.h>

#include <filesystem>

#include "tests/support/pipeline.h"

namespace coshard::test {
namespace {

constexpr std::uint64_t kSteps = 50;

PipelineOptions tiny() {
  PipelineOptions options;
  // Odd sizes on purpose: tails of vectors, groups of heads, a vocabulary that is not even.
  options.spec = {.hidden = 40,
                  .layers = 4,
                  .heads = 4,
                  .kv_heads = 2,
                  .ffn_hidden = 52,
                  .vocab = 61,
                  .sequence = 12};
  options.sequences = 2;
  options.optimizer = {.learning_rate = 3e-3, .warmup_steps = 5, .total_steps = kSteps};
  options.engine.seed = 7;
  return options;
}

/// Every way to cut four layers into one to four stages.
std::vector<std::vector<std::int64_t>> all_cuts() {
  std::vector<std::vector<std::int64_t>> cuts;
  for (unsigned mask = 0; mask < 8; ++mask) {
    std::vector<std::int64_t> layers{1};
    for (unsigned bit = 0; bit < 3; ++bit) {
      if ((mask >> bit & 1U) != 0)
        layers.push_back(1);
      else
        ++layers.back();
    }
    cuts.push_back(layers);
  }
  return cuts;
}

std::string show(const std::vector<std::int64_t>& layers) {
  std::string text;
  for (const std::int64_t count : layers) text += std::to_string(count) + " ";
  return text;
}

std::vector<StepRecord> run(Pipeline& pipeline, std::uint64_t steps) {
  std::vector<StepRecord> records;
  for (std::uint64_t i = 0; i < steps; ++i) records.push_back(pipeline.step());
  return records;
}

/// Loss and gradient norm of every step, then every parameter.
void expect_same_bits(const std::vector<StepRecord>& expected,
                      const std::vector<std::string>& parameters, const PipelineOptions& options) {
  SCOPED_TRACE("layers per stage " + show(options.layers_per_stage) + ", microbatches " +
               std::to_string(options.microbatches) +
               (options.order == Order::kGPipe ? ", GPipe" : ", 1F1B"));
  Pipeline pipeline(options);
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const StepRecord found = pipeline.step();
    ASSERT_EQ(found.loss, expected[i].loss) << "step " << i + 1;
    ASSERT_EQ(found.grad_norm, expected[i].grad_norm) << "step " << i + 1;
  }
  ASSERT_TRUE(pipeline.parameters() == parameters);
}

class CutAnywhere : public ::testing::TestWithParam<std::uint32_t> {};

TEST_P(CutAnywhere, EqualsOneProcessBitForBit) {
  PipelineOptions options = tiny();
  options.microbatches = GetParam();
  Pipeline whole(options);
  const std::vector<StepRecord> expected = run(whole, kSteps);
  EXPECT_LT(expected.back().loss, 0.85 * expected.front().loss);
  const std::vector<std::string> parameters = whole.parameters();
  for (const auto& cut : all_cuts()) {
    for (const Order order : {Order::kGPipe, Order::k1F1B}) {
      options.layers_per_stage = cut;
      options.order = order;
      expect_same_bits(expected, parameters, options);
      if (HasFatalFailure()) return;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Microbatches, CutAnywhere, ::testing::Range(1U, 9U));

TEST(Pipeline, PlainVersionIsIndependentOfTheCutToo) {
  PipelineOptions options = tiny();
  options.engine.fused = false;
  Pipeline whole(options);
  const std::vector<StepRecord> expected = run(whole, 10);
  for (const auto& cut : all_cuts()) {
    options.layers_per_stage = cut;
    expect_same_bits(expected, whole.parameters(), options);
  }
}

TEST(Pipeline, RecomputedActivationsChangeNoBit) {
  PipelineOptions options = tiny();
  options.layers_per_stage = {2, 2};
  Pipeline kept(options);
  const std::vector<StepRecord> expected = run(kept, 10);
  options.engine.recompute_activations = true;
  expect_same_bits(expected, kept.parameters(), options);
}

TEST(Pipeline, FusedFollowsPlain) {
  PipelineOptions options = tiny();
  Pipeline fused(options);
  options.engine.fused = false;
  Pipeline plain(options);
  // fp32 roundings of other orders of summation, amplified by 50 AdamW steps on a falling loss.
  for (std::uint64_t i = 0; i < kSteps; ++i) {
    const double expected = plain.step().loss;
    EXPECT_NEAR(fused.step().loss, expected, 1e-4 * expected) << "step " << i + 1;
  }
}

TEST(Pipeline, ReplicasFollowTheSingleRun) {
  PipelineOptions options = tiny();
  options.microbatches = 6;
  Pipeline single(options);
  const std::vector<StepRecord> expected = run(single, kSteps);
  options.layers_per_stage = {2, 2};
  for (const std::uint32_t replicas : {2U, 3U}) {
    options.replicas = replicas;
    Pipeline pipeline(options);
    for (const StepRecord& record : expected) {
      const StepRecord found = pipeline.step();
      EXPECT_NEAR(found.loss, record.loss, 1e-5 * record.loss) << replicas << " replicas";
    }
  }
}

TEST(Pipeline, ResumedRunEqualsUninterruptedRunBitForBit) {
  const auto directory =
      std::filesystem::temp_directory_path() / ("coshard-resume-" + std::to_string(::getpid()));
  std::filesystem::create_directories(directory);
  PipelineOptions options = tiny();
  options.layers_per_stage = {1, 3};
  Pipeline uninterrupted(options);
  const std::vector<StepRecord> expected = run(uninterrupted, 20);
  {
    Pipeline first(options);
    run(first, 8);
    for (std::size_t stage = 0; stage < first.stages(); ++stage) {
      const auto saved = first.engine(stage).save(directory / std::to_string(stage), StepId(8));
      ASSERT_TRUE(saved) << saved.error().message;
    }
  }
  options.engine.seed = 7;
  Pipeline second(options);
  for (std::size_t stage = 0; stage < second.stages(); ++stage) {
    const auto step = second.engine(stage).load(directory / std::to_string(stage));
    ASSERT_TRUE(step) << step.error().message;
    EXPECT_EQ(*step, StepId(8));
  }
  second.set_last_step(StepId(8));
  const std::vector<StepRecord> found = run(second, 12);
  for (std::size_t i = 0; i < found.size(); ++i) EXPECT_EQ(found[i], expected[i + 8]);
  EXPECT_TRUE(second.parameters() == uninterrupted.parameters());
  std::filesystem::remove_all(directory);
}

}  // namespace
}  // namespace coshard::test
