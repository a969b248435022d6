// A stage's weights and moments after one step, copied to host memory: a checkpoint is written from
// the copy while the stage trains on. No torch. Filled on cs-engine, then constant: any thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <vector>

#include "shard/checkpoint/stage_checkpoint.h"

namespace coshard::shard {

class StageSnapshot {
 public:
  /// Room for the state that `info` describes; its values are whatever is written there.
  explicit StageSnapshot(StageCheckpointInfo info);

  const StageCheckpointInfo& info() const { return info_; }
  /// Elements of a tensor of parameters(model, slice)[parameter].
  std::span<float> values(std::size_t parameter, StateKind kind);
  std::span<const float> values(std::size_t parameter, StateKind kind) const;
  /// Bytes of host memory: 12 per parameter.
  std::uint64_t bytes() const { return 3 * first_.back() * sizeof(float); }

  /// As write_stage_checkpoint(): complete and durable under `path`, or an error and no file.
  Result<StageCheckpointHashes> write(const std::filesystem::path& path) const;

 private:
  StageCheckpointInfo info_;
  std::vector<std::uint64_t> first_;  ///< element of each parameter among one kind's, and the end
  std::unique_ptr<float[]> values_;   ///< weights, then first and second moments
};

}  // namespace coshard::shard
