// Stage checkpoints to a Hugging Face LLaMA directory (hf_llama.h).
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <system_error>

#include "shard/checkpoint/float_convert.h"
#include "shard/checkpoint/hf_llama.h"
#include "shard/checkpoint/hf_tokenizer.h"
#include "shard/checkpoint/whole_checkpoint.h"
#include "shard/data/file.h"

namespace coshard::shard {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kStepElements = std::size_t{1} << 18;

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
  COSHARD_ASSIGN(const WholeCheckpoint whole, WholeCheckpoint::open(options.stage_files));
  HfExportReport report{whole.model(), whole.step(), 0, {}};
  std::vector<TensorSource> tensors;
  for (const StageCheckpoint& stage : whole.stages()) {
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
