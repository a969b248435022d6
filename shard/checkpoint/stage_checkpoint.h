// A stage's weights and optimizer state as one safetensors file: for each parameter, in global
// order, fp32 tensors
// `<name>`, then all `adamw.m/<name>`, then all `adamw.v/<name>`. Metadata: coshard.format,
// coshard.step, coshard.stage, coshard.slice, coshard.model (the hyper-parameters as JSON). The
// layout's bytes are fixed here. No torch: the engine
// lends host memory piece by piece.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "protocol/base/ids.h"
#include "shard/checkpoint/safetensors.h"
#include "shard/plan/spec.h"

namespace coshard::shard {

/// The three tensors of a parameter.
enum class StateKind { kWeight = 0, kMomentM = 1, kMomentV = 2 };

/// "", "adamw.m/" or "adamw.v/" before the parameter's name.
std::string state_name(StateKind kind, const std::string& parameter);

struct StageCheckpointInfo {
  ModelSpec model;
  StageSlice slice;
  StageIndex stage;
  StepId step;  ///< the last step that was applied
  bool operator==(const StageCheckpointInfo&) const = default;
};

struct StageCheckpointHashes {
  Hash file{};        ///< SHA-256 of the file
  Hash parameters{};  ///< digest of the weights alone (state_hash.h), equal on all replicas
};

/// Hands the fp32 elements of one tensor of the stage to `sink`, in order, in pieces of any size.
/// `parameter` is the index in parameters(model, slice).
using FloatSink = std::function<Result<void>(std::span<const float>)>;
using StateReader =
    std::function<Result<void>(std::size_t parameter, StateKind kind, const FloatSink& sink)>;

/// Complete and durable under `path`, or an error naming it and no file.
Result<StageCheckpointHashes> write_stage_checkpoint(const std::filesystem::path& path,
                                                     const StageCheckpointInfo& info,
                                                     const StateReader& reader);

/// A checkpoint open for reading; any thread.
class StageCheckpoint {
 public:
  /// kNotFound; kCorruption unless the file is a whole checkpoint: known format, valid model and
  /// slice, exactly the tensors of the slice with their shapes, all fp32. Symbolic links are
  /// refused.
  static Result<StageCheckpoint> open(const std::filesystem::path& path);

  const StageCheckpointInfo& info() const { return info_; }
  const std::vector<ParameterSpec>& parameters() const { return parameters_; }
  const SafetensorsFile& file() const { return file_; }

  /// Elements [first, first + out.size()) of a tensor of parameters()[parameter].
  Result<void> read(std::size_t parameter, StateKind kind, std::uint64_t first,
                    std::span<float> out) const;
  /// The digest of the weights, as write_stage_checkpoint() returned it.
  Result<Hash> parameters_hash() const;

 private:
  StageCheckpoint(SafetensorsFile file, StageCheckpointInfo info,
                  std::vector<ParameterSpec> parameters)
      : file_(std::move(file)), info_(std::move(info)), parameters_(std::move(parameters)) {}

  SafetensorsFile file_;
  StageCheckpointInfo info_;
  std::vector<ParameterSpec> parameters_;
};

}  // namespace coshard::shard
