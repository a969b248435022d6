// A trained pipeline, exported to a Hugging Face directory and loaded by transformers, says the
// same.
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>

#include "shard/checkpoint/hf_llama.h"
#include "tests/support/pipeline.h"
#include "tests/support/python.h"

namespace coshard::test {
namespace {

TEST(Export, TransformersLoadsItAndGivesTheSameLogits) {
  if (!python_has(COSHARD_PYTHON, "torch, safetensors.torch, transformers"))
    GTEST_SKIP() << COSHARD_PYTHON << " has no torch, safetensors or transformers: deploy/setup";
  const auto folder =
      std::filesystem::temp_directory_path() / ("coshard-export-" + std::to_string(::getpid()));
  std::filesystem::create_directories(folder);
  PipelineOptions options;
  options.spec = {.hidden = 64,
                  .layers = 3,
                  .heads = 4,
                  .kv_heads = 2,
                  .ffn_hidden = 88,
                  .vocab = 97,
                  .sequence = 24,
                  .rope_theta = 5000,
                  .norm_eps = 1e-6};
  options.layers_per_stage = {1, 2};
  options.optimizer.learning_rate = 3e-3;
  Pipeline pipeline(options);
  pipeline.steps(10);
  shard::HfExportOptions exported;
  exported.out = folder / "hf";
  for (std::size_t stage = 0; stage < pipeline.stages(); ++stage) {
    exported.stage_files.push_back(folder / ("stage" + std::to_string(stage)));
    ASSERT_TRUE(pipeline.engine(stage).save(exported.stage_files.back(), StepId(10)));
  }
  const auto report = shard::export_hf_llama(exported);
  ASSERT_TRUE(report) << report.error().message;

  const shard::TokenBatch batch = pipeline.batch(StepId(99), 0);
  std::ofstream(folder / "case.json")
      << "{\"sequences\":" << batch.sequences << ",\"length\":" << batch.length
      << ",\"inputs\":" << json_list(batch.inputs) << "}";
  const auto reference = run_reference(COSHARD_PYTHON, COSHARD_GOLDEN_DIR "/transformers_logits.py",
                                       folder, "logits.safetensors");
  ASSERT_TRUE(reference) << reference.error().message;
  const auto hidden = pipeline.engine(0).forward(MicrobatchIndex(0), batch);
  ASSERT_TRUE(hidden);
  const auto logits = pipeline.engine(1).logits(*hidden);
  ASSERT_TRUE(logits);
  // Both sides in fp32 with sums in other orders, through three layers.
  EXPECT_LT(largest_error(floats(*logits), floats(*reference, "logits")), 1e-5);
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace coshard::test
