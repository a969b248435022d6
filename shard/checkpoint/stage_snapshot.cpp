// See stage_snapshot.h.
// SPDX-License-Identifier: Apache-2.0
#include "shard/checkpoint/stage_snapshot.h"

#include <utility>

#include "protocol/base/check.h"

namespace coshard::shard {

StageSnapshot::StageSnapshot(StageCheckpointInfo info) : info_(std::move(info)), first_{0} {
  for (const ParameterSpec& parameter : parameters(info_.model, info_.slice))
    first_.push_back(first_.back() + parameter.elements);
  values_ = std::make_unique_for_overwrite<float[]>(3 * first_.back());
}

std::span<float> StageSnapshot::values(std::size_t parameter, StateKind kind) {
  COSHARD_CHECK_OP(parameter + 1, <, first_.size());
  const auto before = static_cast<std::uint64_t>(kind) * first_.back();
  return {values_.get() + before + first_[parameter], first_[parameter + 1] - first_[parameter]};
}

std::span<const float> StageSnapshot::values(std::size_t parameter, StateKind kind) const {
  return const_cast<StageSnapshot*>(this)->values(parameter, kind);
}

Result<StageCheckpointHashes> StageSnapshot::write(const std::filesystem::path& path) const {
  return write_stage_checkpoint(
      path, info_, [this](std::size_t parameter, StateKind kind, const FloatSink& sink) {
        return sink(values(parameter, kind));
      });
}

}  // namespace coshard::shard
