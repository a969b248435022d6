// The engine against PyTorch in Python (llama_reference.py, float64): logits, losses, every
// gradient by name, ten AdamW steps. What is compared is fp32 against float64, so each tolerance is
// a bound
// on the engine's own rounding.
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>

#include "tests/support/pipeline.h"
#include "tests/support/python.h"

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
          << ",\"length\":" << batch.length << ",\"inputs\":" << json_list(batch.inputs)
          << ",\"targets\":" << json_list(batch.targets) << "}";
    }
    out << "]}";
  }
  out << "]}";
}

/// Gradients pass through up to all layers of fp32 products of width `hidden` and `ffn`; a rounding
/// of 6e-8 grows with the square root of the terms and linearly with the depth. The embedding has
/// come the whole way and adds up repeated tokens; norm gains add up all rows of a microbatch.
double gradient_tolerance(const std::string& name) {
  if (name.find("norm") != std::string::npos) return 2e-5;
  if (name == "model.embed_tokens.weight") return 1e-5;
  return 5e-6;
}

class EngineVsPyTorch : public ::testing::TestWithParam<bool> {};
INSTANTIATE_TEST_SUITE_P(FusedAndPlain, EngineVsPyTorch, ::testing::Bool());

TEST_P(EngineVsPyTorch, LogitsLossesGradientsAndTenSteps) {
  if (!python_has(COSHARD_PYTHON, "torch, safetensors.torch"))
    GTEST_SKIP() << COSHARD_PYTHON << " has no torch or safetensors: run deploy/setup";
  const auto folder =
      std::filesystem::temp_directory_path() / ("coshard-golden-" + std::to_string(::getpid()));
  std::filesystem::create_directories(folder);
  PipelineOptions options = model();
  options.engine.fused = GetParam();
  Pipeline pipeline(options);
  shard::StageEngine& engine = pipeline.engine(0);
  write_case(folder / "case.json", options, pipeline);
  ASSERT_TRUE(engine.save(folder / "weights.safetensors", StepId(0)));
  const auto reference = run_reference(COSHARD_PYTHON, COSHARD_GOLDEN_DIR "/llama_reference.py",
                                       folder, "reference.safetensors");
  ASSERT_TRUE(reference) << reference.error().message;

  const auto logits = engine.logits(pipeline.batch(StepId(1), 0));
  ASSERT_TRUE(logits) << logits.error().message;
  EXPECT_LT(largest_error(floats(*logits), floats(*reference, "logits")), 5e-6);

  for (std::uint32_t m = 0; m < options.microbatches; ++m) {
    const shard::TokenBatch batch = pipeline.batch(StepId(1), m);
    ASSERT_TRUE(engine.forward_loss(MicrobatchIndex(m), batch, batch));
  }
  const auto whole = shard::whole_model(options.spec);
  for (const auto& parameter : shard::parameters(options.spec, whole)) {
    const auto gradient = engine.gradient(parameter.name);
    ASSERT_TRUE(gradient);
    EXPECT_LT(largest_error(floats(*gradient), floats(*reference, "grad/" + parameter.name)),
              gradient_tolerance(parameter.name))
        << parameter.name;
  }
  engine.abort_step();

  const std::vector<float> losses = floats(*reference, "loss");
  ASSERT_EQ(losses.size(), kSteps);
  for (std::uint64_t step = 0; step < kSteps; ++step)
    EXPECT_NEAR(pipeline.step().loss, losses[step], 2e-6 * losses[step]) << "step " << step + 1;
  for (const auto& parameter : shard::parameters(options.spec, whole)) {
    // AdamW divides by the root of the second moment: where a gradient is nearly zero, its rounding
    // moves the weight by a share of the learning rate. Ten steps of at most 2e-3 each.
    const auto found = engine.parameter(parameter.name);
    ASSERT_TRUE(found);
    const std::vector<float> values = floats(*found);
    const std::vector<float> expected = floats(*reference, "step10/" + parameter.name);
    ASSERT_EQ(values.size(), expected.size());
    for (std::size_t i = 0; i < values.size(); ++i)
      ASSERT_NEAR(values[i], expected[i], 2e-4 * 10 * 2e-3) << parameter.name << "[" << i << "]";
  }
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace coshard::test
