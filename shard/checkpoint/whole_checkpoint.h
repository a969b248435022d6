// The checkpoints of all stages after one step, together: the state of a whole model, which can be
// exported (hf_llama.h) or cut into the stages of another round. Nothing that is opened here is
// ever written to. No torch. Constant once opened: any thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "shard/checkpoint/stage_checkpoint.h"

namespace coshard::shard {

/// A stage that was cut out.
struct CutStage {
  StageCheckpointHashes hashes;
  std::uint64_t bytes = 0;  ///< of its file
};

class WholeCheckpoint {
 public:
  /// Files in any order. kInvalidArgument unless they are the whole of one model at one step, each
  /// layer once (the message names what is missing); errors of StageCheckpoint::open.
  static Result<WholeCheckpoint> open(const std::vector<std::filesystem::path>& stage_files);

  const ModelSpec& model() const { return stages_.front().info().model; }
  StepId step() const { return stages_.front().info().step; }
  /// By first layer.
  const std::vector<StageCheckpoint>& stages() const { return stages_; }

  /// Writes weights and moments of `slice` as the checkpoint of `stage`: byte for byte what a node
  /// that held that stage would have saved. Errors of write_stage_checkpoint; `slice` lies inside
  /// the model.
  Result<CutStage> cut(const StageSlice& slice, StageIndex stage,
                       const std::filesystem::path& file) const;

 private:
  explicit WholeCheckpoint(std::vector<StageCheckpoint> stages);
  Result<void> stream(const std::string& name, StateKind kind, const FloatSink& sink) const;

  std::vector<StageCheckpoint> stages_;
  /// Of a parameter by its name: which stage, and its index there.
  std::map<std::string, std::pair<std::size_t, std::size_t>> place_;
};

}  // namespace coshard::shard
