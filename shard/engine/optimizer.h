// From gradient sums to new weights: averages chunk by chunk, then AdamW with explicit state, the
// same bits on every device. The sum itself stays untouched until the update, so that a stage can
// average again after a loss (design 3.2, 3.3). cs-engine.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <span>
#include <vector>

#include "protocol/base/commit_scalars.h"
#include "protocol/base/error.h"
#include "protocol/base/ids.h"
#include "protocol/base/tensor_blob.h"
#include "shard/engine/device.h"
#include "shard/model/stage_module.h"

namespace coshard::shard {

class Optimizer {
 public:
  /// Both outlive the optimizer.
  Optimizer(StageModule& module, DeviceKernels& kernels);

  const std::vector<GradientChunk>& chunks() const { return chunks_; }
  /// kInvalidArgument when there is no such chunk.
  Result<void> check(ChunkIndex chunk) const;

  /// See StageEngine. `chunk` exists.
  Result<double> reduce(ChunkIndex chunk, std::span<const SharedBytes> contributions, float scale);
  Result<double> set_average(ChunkIndex chunk, const SharedBytes& average);
  SharedBytes average(ChunkIndex chunk) const;

  /// kFailedPrecondition until every chunk has its average, unless the commit skips the update.
  Result<void> apply(const CommitScalars& scalars);
  void zero_sums();
  Fingerprint fingerprint(const std::array<std::uint8_t, 16>& key) const;

  const at::Tensor& first_moments() const { return first_moments_; }
  const at::Tensor& second_moments() const { return second_moments_; }
  std::uint64_t gradient_bytes() const;

 private:
  /// Notes the chunk's average as present if it is finite; returns its squared norm.
  Result<double> accept(ChunkIndex chunk);
  Result<void> check_size(ChunkIndex chunk, const SharedBytes& bytes) const;
  float* average_at(ChunkIndex chunk) const;

  StageModule& module_;
  DeviceKernels& kernels_;
  std::vector<GradientChunk> chunks_;
  at::Tensor first_moments_, second_moments_;  // flat, fp32
  at::Tensor average_;                         // flat, fp32
  std::vector<bool> averaged_;                 // by chunk
};

}  // namespace coshard::shard
