// The engine against PyTorch in Python (llama_reference.py, float64): logits, losses, every
// gradient by name, ten AdamW steps. What is compared is fp32 against float64, so each tolerance is
// a bound
// on the engine's own rounding. SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "shard/checkpoint/safetensors.h"
#include "tests/support/pipeline.h"

namespace coshard::test {
namespace {

constexpr std::uint64_t kSteps = 10;

PipelineOptions model() {
  PipelineOptions options;
  options.spec = {.hidden = 64,
                  .layers = 3,
                  .heads = 4,
                  .kv_heads = 2,
                  .ffn_hidden = 88,
                  .vocab = 97,
                  .sequence = 24};
  options.microbatches = 3;
  options.optimizer = {.learning_rate = 2e-3, .warmup_steps = 3, .total_steps = kSteps};
  options.engine.seed = 11;
  return options;
}

std::string list(const std::vector<std::int32_t>& values) {
  std::string text = "[";
  for (std::size_t i = 0; i < values.size(); ++i)
    text += (i == 0 ? "" : ",") + std::to_string(values[i]);
  return text + "]";
}

void write_case(const std::filesystem::path& path, const PipelineOptions& options,
                const Pipeline& pipeline) {
  std::ofstream out(path);
  out.precision(17);
  const shard::ModelSpec& s = options.spec;
  out << "{\"spec\":{\"hidden\":" << s.hidden << ",\"layers\":" << s.layers
      << ",\"heads\":" << s.heads << ",\"kv_heads\":" << s.kv_heads
      << ",\"rope_theta\":" << s.rope_theta << ",\"norm_eps\":" << s.norm_eps << "},";
  const round::OptimizerConfig& o = options.optimizer;
  out << "\"betas\":[" << o.beta1 << "," << o.beta2 << "],\"eps\":" << o.eps
      << ",\"weight_decay\":" << o.weight_decay << ",\"clip_norm\":" << o.clip_norm
      << ",\"steps\":[";
  for (std::uint64_t step = 1; step <= kSteps; ++step) {
    out << (step == 1 ? "" : ",") << "{\"learning_rate\":" << round::learning_rate(o, StepId(step))
        << ",\"microbatches\":[";
    for (std::uint32_t m = 0; m < options.microbatches; ++m) {
      const shard::TokenBatch batch = pipeline.batch(StepId(step), m);
      out << (m == 0 ? "" : ",") << "{\"sequences\":" << batch.sequences
          << ",\"length\":" << batch.length << ",\"inputs\":" << list(batch.inputs)
          << ",\"targets\":" << list(batch.targets) << "}";
    }
    out << "]}";
  }
  out << "]}";
}

std::vector<float> floats(const TensorBlob& blob) {
  std::vector<float> values(blob.view().size() / sizeof(float));
  std::memcpy(values.data(), blob.view().data(), blob.view().size());
  return values;
}

/// Largest error relative to the largest expected value.
double error_of(const std::vector<float>& found, const std::vector<float>& expected) {
  EXPECT_EQ(found.size(), expected.size());
  double error = 0, largest = 1e-30;
  for (std::size_t i = 0; i < std::min(found.size(), expected.size()); ++i) {
    error = std::max(error, std::abs(static_cast<double>(found[i]) - expected[i]));
    largest = std::max(largest, std::abs(static_cast<double>(expected[i])));
  }
  return error / largest;
}

/// Gradients pass through up to all layers of fp32 products of width `hidden` and `ffn`; a rounding
/// of 6e-8 grows with the square root of the terms and linearly with the depth. The embedding has
/// come the whole way and adds up repeated tokens; norm gains add up all rows of a microbatch.
double gradient_tolerance(const std::string& name) {
  if (name.find("norm") != std::string::npos) return 2e-5;
  if (name == "model.embed_tokens.weight") return 1e-5;
  return 5e-6;
}

class Reference {
 public:
  static Result<Reference> run(const std::filesystem::path& folder) {
    const std::string command = std::string(COSHARD_PYTHON) + " " + COSHARD_GOLDEN_DIR +
                                "/llama_reference.py " + folder.string();
    if (std::system(command.c_str()) != 0)
      return fail(ErrorCode::kInternal, "the reference failed: " + command);
    COSHARD_ASSIGN(auto file, shard::SafetensorsFile::open(folder / "reference.safetensors"));
    return Reference(std::move(file));
  }
  std::vector<float> tensor(const std::string& name) const {
    const auto entry = file_.find(name);
    EXPECT_TRUE(entry) << name;
    std::vector<float> values(entry ? (*entry)->elements() : 0);
    if (entry) {
      EXPECT_TRUE(file_.read_floats(**entry, 0, values));
    }
    return values;
  }

 private:
  explicit Reference(shard::SafetensorsFile file) : file_(std::move(file)) {}
  shard::SafetensorsFile file_;
};

bool python_has_torch() {
  const std::string command =
      std::string(COSHARD_PYTHON) + " -c 'import torch, safetensors.torch' 2>/dev/null";
  return std::system(command.c_str()) == 0;
}

class EngineVsPyTorch : public ::testing::TestWithParam<bool> {};
INSTANTIATE_TEST_SUITE_P(FusedAndPlain, EngineVsPyTorch, ::testing::Bool());

TEST_P(EngineVsPyTorch, LogitsLossesGradientsAndTenSteps) {
  if (!python_has_torch())
    GTEST_SKIP() << COSHARD_PYTHON << " has no torch or safetensors: run deploy/setup --cuda";
  const auto folder =
      std::filesystem::temp_directory_path() / ("coshard-golden-" + std::to_string(::getpid()));
  std::filesystem::create_directories(folder);
  PipelineOptions options = model();
  options.engine.fused = GetParam();
  Pipeline pipeline(options);
  shard::StageEngine& engine = pipeline.engine(0);
  write_case(folder / "case.json", options, pipeline);
  ASSERT_TRUE(engine.save(folder / "weights.safetensors", StepId(0)));
  const auto reference = Reference::run(folder);
  ASSERT_TRUE(reference) << reference.error().message;

  const auto logits = engine.logits(pipeline.batch(StepId(1), 0));
  ASSERT_TRUE(logits) << logits.error().message;
  EXPECT_LT(error_of(floats(*logits), reference->tensor("logits")), 5e-6);

  for (std::uint32_t m = 0; m < options.microbatches; ++m) {
    const shard::TokenBatch batch = pipeline.batch(StepId(1), m);
    ASSERT_TRUE(engine.forward_loss(MicrobatchIndex(m), batch, batch));
  }
  const auto whole = shard::whole_model(options.spec);
  for (const auto& parameter : shard::parameters(options.spec, whole)) {
    const auto gradient = engine.gradient(parameter.name);
    ASSERT_TRUE(gradient);
    EXPECT_LT(error_of(floats(*gradient), reference->tensor("grad/" + parameter.name)),
              gradient_tolerance(parameter.name))
        << parameter.name;
  }
  engine.abort_step();

  const std::vector<float> losses = reference->tensor("loss");
  for (std::uint64_t step = 0; step < kSteps; ++step)
    EXPECT_NEAR(pipeline.step().loss, losses[step], 2e-6 * losses[step]) << "step " << step + 1;
  for (const auto& parameter : shard::parameters(options.spec, whole)) {
    // AdamW divides by the root of the second moment: where a gradient is nearly zero, its rounding
    // moves the weight by a share of the learning rate. Ten steps of at most 2e-3 each.
    const auto found = engine.parameter(parameter.name);
    ASSERT_TRUE(found);
    const std::vector<float> values = floats(*found);
    const std::vector<float> expected = reference->tensor("step10/" + parameter.name);
    ASSERT_EQ(values.size(), expected.size());
    for (std::size_t i = 0; i < values.size(); ++i)
      ASSERT_NEAR(values[i], expected[i], 2e-4 * 10 * 2e-3) << parameter.name << "[" << i << "]";
  }
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace coshard::test
