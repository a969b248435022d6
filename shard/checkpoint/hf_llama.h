// A model as a Hugging Face LLaMA directory: written from the checkpoints of all stages, tensor by
// tensor, and read as the start of a round, each node only its own tensors. Parameter names and the
// rotate-half convention of rotary positions are Hugging Face's throughout coshard, so nothing is
// permuted. One thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "protocol/base/ids.h"
#include "shard/checkpoint/hf_config.h"
#include "shard/checkpoint/safetensors.h"
#include "shard/data/tokenizer.h"
#include "shard/plan/spec.h"

namespace coshard::shard {

struct HfExportOptions {
  std::vector<std::filesystem::path>
      stage_files;                       ///< checkpoints of all stages of one step, in any order
  std::filesystem::path out;             ///< made if it does not exist
  const Tokenizer* tokenizer = nullptr;  ///< null: no tokenizer files
  bool bf16 = false;                     ///< weights rounded to bf16; fp32 otherwise
};

struct HfExportReport {
  ModelSpec model;
  StepId step;
  std::uint64_t parameters = 0;
  Hash weights{};  ///< SHA-256 of model.safetensors
};

/// Writes model.safetensors, generation_config.json, the tokenizer and, last, config.json.
/// kInvalidArgument unless the stages are the whole of one model at one step (the message names
/// what is missing), kCorruption for a damaged stage file, kResourceExhausted for a full disk.
Result<HfExportReport> export_hf_llama(const HfExportOptions& options);

/// A Hugging Face LLaMA directory, whole or in several safetensors files with an index.
class HfLlamaDirectory {
 public:
  /// Reads config.json and the index if there is one; no weights. kNotFound, kInvalidArgument
  /// (unsupported model).
  static Result<HfLlamaDirectory> open(const std::filesystem::path& folder);

  /// `sequence` is the longest that the model was made for; a round may take a shorter one.
  const ModelSpec& model() const { return config_.model; }

  /// Elements [first, first + out.size()) of a parameter, widened to fp32. A tied head reads the
  /// embedding. Opens the file that holds it on first use. kNotFound, kCorruption (another shape
  /// than config.json says).
  Result<void> read(const ParameterSpec& parameter, std::uint64_t first, std::span<float> out);

  /// Names of the weight files that read() has opened: a node holds only its own.
  std::vector<std::string> files_opened() const;

 private:
  HfLlamaDirectory(std::filesystem::path folder, HfConfig config)
      : folder_(std::move(folder)), config_(config) {}
  Result<const SafetensorsFile*> file_of(const std::string& tensor);

  std::filesystem::path folder_;
  HfConfig config_;
  std::map<std::string, std::string> file_of_tensor_;  ///< empty: all in model.safetensors
  std::map<std::string, SafetensorsFile> files_;
};

/// weight_map of model.safetensors.index.json: tensor name to file name, each a plain name inside
/// the directory.
Result<std::map<std::string, std::string>> parse_hf_index(std::string_view text);

}  // namespace coshard::shard
