// Stage checkpoints to a Hugging Face LLaMA directory (hf_llama.h).
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <system_error>

#include "shard/checkpoint/float_convert.h"
#include "shard/checkpoint/hf_llama.h"
#include "shard/checkpoint/hf_tokenizer.h"
#include "shard/checkpoint/stage_checkpoint.h"
#include "shard/data/file.h"

namespace coshard::shard {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kStepElements = std::size_t{1} << 18;

tl::unexpected<Error> invalid(std::string message) {
  return fail(ErrorCode::kInvalidArgument, "export: " + std::move(message));
}

std::string slice_text(const StageSlice& slice) {
  return "layers " + std::to_string(slice.first_layer) + " to " + std::to_string(slice.last_layer);
}

/// The stages by first layer; an error unless together they are one model at one step.
Result<std::vector<StageCheckpoint>> open_stages(const std::vector<fs::path>& paths) {
  if (paths.empty()) return invalid("expected the checkpoints of all stages, found none");
  std::vector<StageCheckpoint> stages;
  for (const fs::path& path : paths) {
    COSHARD_ASSIGN(StageCheckpoint stage, StageCheckpoint::open(path));
    stages.push_back(std::move(stage));
  }
  std::stable_sort(stages.begin(), stages.end(), [](const auto& a, const auto& b) {
    return a.info().slice.first_layer < b.info().slice.first_layer;
  });
  const StageCheckpointInfo& first = stages[0].info();
  std::int64_t covered = 0;
  for (const StageCheckpoint& stage : stages) {
    const StageCheckpointInfo& info = stage.info();
    const std::string name = stage.file().path().string();
    if (info.model != first.model) return invalid(name + " is of another model than the others");
    if (info.step != first.step)
      return invalid(name + ": expected step " + std::to_string(first.step.value) +
                     " as in the others, found " + std::to_string(info.step.value));
    if (info.slice.first_layer != covered)
      return invalid("expected a stage that begins at layer " + std::to_string(covered) +
                     ", found " + slice_text(info.slice) + " in " + name);
    covered = info.slice.last_layer;
  }
  if (covered != first.model.layers || !first.slice.has_embedding ||
      !stages.back().info().slice.has_head)
    return invalid("the stages end at layer " + std::to_string(covered) + " of " +
                   std::to_string(first.model.layers) + ", or lack embedding or head");
  return stages;
}

Result<void> stream_weight(const StageCheckpoint& stage, std::size_t parameter, bool bf16,
                           const ByteSink& sink) {
  const std::uint64_t elements = stage.parameters()[parameter].elements;
  std::vector<float> floats(
      static_cast<std::size_t>(std::min<std::uint64_t>(elements, kStepElements)));
  Bytes narrow;
  for (std::uint64_t first = 0; first < elements; first += floats.size()) {
    const auto part = std::span(floats).first(
        static_cast<std::size_t>(std::min<std::uint64_t>(floats.size(), elements - first)));
    COSHARD_TRY(stage.read(parameter, StateKind::kWeight, first, part));
    narrow.clear();
    if (bf16)
      for (const float value : part) put_le(narrow, bf16_of_float(value));
    COSHARD_TRY(sink(
        bf16 ? ByteView(narrow)
             : ByteView(reinterpret_cast<const std::uint8_t*>(part.data()), part.size_bytes())));
  }
  return {};
}

}  // namespace

Result<HfExportReport> export_hf_llama(const HfExportOptions& options) {
  COSHARD_ASSIGN(const std::vector<StageCheckpoint> stages, open_stages(options.stage_files));
  HfExportReport report{stages[0].info().model, stages[0].info().step, 0, {}};
  std::vector<TensorSource> tensors;
  for (const StageCheckpoint& stage : stages) {
    for (std::size_t i = 0; i < stage.parameters().size(); ++i) {
      const ParameterSpec& parameter = stage.parameters()[i];
      report.parameters += parameter.elements;
      tensors.push_back({parameter.name, options.bf16 ? StorageType::kBF16 : StorageType::kF32,
                         parameter.shape, [&stage, i, &options](const ByteSink& sink) {
                           return stream_weight(stage, i, options.bf16, sink);
                         }});
    }
  }
  std::error_code failure;
  fs::create_directories(options.out, failure);
  if (failure)
    return fail(ErrorCode::kPermissionDenied,
                options.out.string() + ": cannot be made: " + failure.message());
  // transformers refuses a file whose metadata does not say which framework's layout it has.
  COSHARD_ASSIGN(report.weights,
                 write_safetensors(options.out / "model.safetensors", tensors, {{"format", "pt"}}));
  const auto end =
      options.tokenizer != nullptr ? options.tokenizer->end_of_document() : std::nullopt;
  COSHARD_TRY(write_atomically(options.out / "generation_config.json",
                               as_bytes(hf_generation_config_text(end))));
  if (options.tokenizer != nullptr)
    COSHARD_TRY(write_hf_tokenizer(*options.tokenizer, report.model.sequence, options.out));
  const std::string config =
      hf_config_text(report.model, options.bf16 ? "bfloat16" : "float32", end);
  COSHARD_TRY(write_atomically(options.out / "config.json", as_bytes(config)));
  return report;
}

}  // namespace coshard::shard
