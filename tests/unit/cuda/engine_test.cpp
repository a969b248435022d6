// One training step of a small model by every kind of engine that this box can run, against the CPU
// engine in fp32: losses and gradients within a tolerance, the update bit for bit. The CPU's own
// other kinds prove the test where there is no GPU; the GPU's skip there and say so.
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <memory>
#include <random>
#include <string>

#include "shard/engine/stage_engine.h"

namespace coshard::shard {
namespace {

struct Kind {
  const char* name;
  DeviceKind device;
  Precision precision;
  bool fused;
  double loss_tolerance;      ///< relative
  double gradient_tolerance;  ///< norm of the difference over norm of the reference, per parameter
};

void PrintTo(const Kind& kind, std::ostream* out) { *out << kind.name; }

// fp32 differs by the order of additions alone. bf16 rounds every activation to 8 bits: 2^-9
// relative for each of about ten roundings on a path, which add like a random walk.
constexpr Kind kKinds[] = {
    {"cpu_plain_fp32", DeviceKind::kCpu, Precision::kFp32, false, 1e-6, 1e-4},
    {"cpu_plain_bf16", DeviceKind::kCpu, Precision::kBf16, false, 5e-3, 5e-2},
    // Takes the branches through ATen that a GPU takes, not the CPU's own loops.
    {"cpu_fused_bf16", DeviceKind::kCpu, Precision::kBf16, true, 5e-3, 5e-2},
    {"cuda_plain_fp32", DeviceKind::kCuda, Precision::kFp32, false, 1e-5, 1e-3},
    {"cuda_fused_fp32", DeviceKind::kCuda, Precision::kFp32, true, 1e-5, 1e-3},
    {"cuda_fused_bf16", DeviceKind::kCuda, Precision::kBf16, true, 5e-3, 5e-2},
};

std::string why_no_gpu() {
  static const Result<DeviceModule*> module = open_cuda_module();
  if (!module) return module.error().message;
  return (*module)->device_count() > 0 ? "" : (*module)->why_no_device();
}

StageConfig reference_config() {
  StageConfig config;
  config.spec = {.hidden = 64,
                 .layers = 2,
                 .heads = 4,
                 .kv_heads = 2,
                 .ffn_hidden = 176,
                 .vocab = 256,
                 .sequence = 64};
  config.slice = whole_model(config.spec);
  return config;
}

TokenBatch tokens_of_step(const ModelSpec& spec, unsigned step) {
  std::mt19937 random(step);
  std::uniform_int_distribution<std::int32_t> token(0, static_cast<std::int32_t>(spec.vocab) - 1);
  TokenBatch batch{4, spec.sequence, {}, {}};
  for (std::int64_t i = 0; i < batch.target_tokens(); ++i) {
    batch.inputs.push_back(token(random));
    batch.targets.push_back(token(random));
  }
  return batch;
}

CommitScalars commit_of_step(std::uint64_t step) {
  CommitScalars commit;
  commit.step = StepId{step};
  commit.step_size = 1e-2F;
  commit.decay_factor = 1 - 1e-3F;
  commit.sqrt_bias_correction2 = 0.5F;
  commit.beta1 = 0.9F, commit.one_minus_beta1 = 0.1F;
  commit.beta2 = 0.95F, commit.one_minus_beta2 = 0.05F;
  commit.fingerprint_key = {1, 2, 3, 4, 5};
  return commit;
}

class EveryEngine : public ::testing::TestWithParam<Kind> {
 protected:
  void SetUp() override {
    const std::string why = why_no_gpu();
    if (GetParam().device == DeviceKind::kCuda && !why.empty()) GTEST_SKIP() << why;
    StageConfig config = reference_config();
    reference_ = make(config);
    config.device = {GetParam().device, 0};
    config.precision = GetParam().precision;
    config.fused = GetParam().fused;
    other_ = make(config);
  }

  static std::unique_ptr<StageEngine> make(const StageConfig& config) {
    auto engine = make_stage_engine(config);
    EXPECT_TRUE(engine) << engine.error().message;
    return engine ? std::move(*engine) : nullptr;
  }

  std::unique_ptr<StageEngine> reference_, other_;
};

INSTANTIATE_TEST_SUITE_P(Kinds, EveryEngine, ::testing::ValuesIn(kKinds),
                         [](const auto& each) { return std::string(each.param.name); });

double relative_distance(const TensorBlob& is, const TensorBlob& should) {
  const auto at = [](const TensorBlob& blob, std::size_t i) {
    float value = 0;
    std::memcpy(&value, blob.view().data() + sizeof value * i, sizeof value);
    return static_cast<double>(value);
  };
  double distance = 0, norm = 0;
  for (std::size_t i = 0; i < should.view().size() / sizeof(float); ++i) {
    distance += std::pow(at(is, i) - at(should, i), 2);
    norm += std::pow(at(should, i), 2);
  }
  return std::sqrt(distance / norm);
}

TEST_P(EveryEngine, LossAndGradientsAreTheReferencesWithinTolerance) {
  const ModelSpec spec = reference_config().spec;
  const TokenBatch batch = tokens_of_step(spec, 1);
  const auto expected = reference_->forward_loss(MicrobatchIndex{0}, batch, batch);
  const auto found = other_->forward_loss(MicrobatchIndex{0}, batch, batch);
  ASSERT_TRUE(expected && found) << (found ? "" : found.error().message);
  EXPECT_NEAR(found->loss_sum / expected->loss_sum, 1, GetParam().loss_tolerance);
  for (const ParameterSpec& parameter : parameters(spec, whole_model(spec))) {
    const auto should = reference_->gradient(parameter.name);
    const auto is = other_->gradient(parameter.name);
    ASSERT_TRUE(should && is);
    ASSERT_EQ(is->view().size(), should->view().size());
    EXPECT_LT(relative_distance(*is, *should), GetParam().gradient_tolerance) << parameter.name;
  }
}

TEST_P(EveryEngine, TheSameAveragesGiveTheSameWeightsBitForBit) {
  const ModelSpec spec = reference_config().spec;
  for (std::uint64_t step = 1; step <= 3; ++step) {
    const TokenBatch batch = tokens_of_step(spec, static_cast<unsigned>(step));
    ASSERT_TRUE(reference_->forward_loss(MicrobatchIndex{0}, batch, batch));
    const float scale = 1.0F / static_cast<float>(batch.target_tokens());
    for (std::uint32_t chunk = 0; chunk < reference_->layout().size(); ++chunk) {
      const auto own = reference_->gradient_chunk(ChunkIndex{chunk});
      ASSERT_TRUE(own);
      const auto average = reference_->reduce_chunk(ChunkIndex{chunk}, {{*own}}, scale);
      const auto same = other_->reduce_chunk(ChunkIndex{chunk}, {{*own}}, scale);
      ASSERT_TRUE(average && same);
      EXPECT_EQ(*average->bytes, *same->bytes);
      EXPECT_EQ(average->squared_norm, same->squared_norm);
      EXPECT_EQ(other_->set_average(ChunkIndex{chunk}, average->bytes).value(),
                average->squared_norm);
    }
    const auto expected = reference_->apply_update(commit_of_step(step));
    const auto found = other_->apply_update(commit_of_step(step));
    ASSERT_TRUE(expected && found);
    EXPECT_EQ(found->digest, expected->digest) << "step " << step;
  }
  for (const ParameterSpec& parameter : parameters(spec, whole_model(spec)))
    EXPECT_EQ(*other_->parameter(parameter.name)->bytes,
              *reference_->parameter(parameter.name)->bytes)
        << parameter.name;
}

}  // namespace
}  // namespace coshard::shard
