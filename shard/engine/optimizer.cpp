// See optimizer.h.
// SPDX-License-Identifier: Apache-2.0
#include "shard/engine/optimizer.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <string>

#include "protocol/base/failpoint.h"
#include "shard/engine/blob_convert.h"

namespace coshard::shard {
namespace {

std::string name(ChunkIndex chunk) { return "gradient chunk " + std::to_string(chunk.value); }

}  // namespace

Optimizer::Optimizer(StageModule& module, DeviceKernels& kernels)
    : module_(module),
      kernels_(kernels),
      chunks_(gradient_layout(module.layout().specs())),
      first_moments_(at::zeros_like(module.weights())),
      second_moments_(at::zeros_like(module.weights())),
      average_(at::zeros_like(module.weights())),
      averaged_(chunks_.size(), false) {}

Result<void> Optimizer::check(ChunkIndex chunk) const {
  if (chunk.value < chunks_.size()) return {};
  return fail(ErrorCode::kInvalidArgument,
              name(chunk) + ": expected one of " + std::to_string(chunks_.size()));
}

Result<void> Optimizer::check_size(ChunkIndex chunk, const SharedBytes& bytes) const {
  const std::uint64_t expected = chunks_[chunk.value].count * sizeof(float);
  if (bytes && bytes->size() == expected) return {};
  return fail(ErrorCode::kInvalidArgument, name(chunk) + ": expected " + std::to_string(expected) +
                                               " bytes, found " +
                                               std::to_string(bytes ? bytes->size() : 0));
}

float* Optimizer::average_at(ChunkIndex chunk) const {
  return average_.mutable_data_ptr<float>() + module_.layout().offset(chunks_[chunk.value]);
}

Result<double> Optimizer::reduce(ChunkIndex chunk, std::span<const SharedBytes> contributions,
                                 float scale) {
  const GradientChunk& range = chunks_[chunk.value];
  const std::int64_t offset = module_.layout().offset(range);
  const auto count = static_cast<std::int64_t>(range.count);
  std::vector<const float*> addends;
  std::vector<at::Tensor> uploaded;
  for (const SharedBytes& contribution : contributions) {
    COSHARD_TRY(check_size(chunk, contribution));
    if (average_.is_cpu()) {
      addends.push_back(reinterpret_cast<const float*>(contribution->data()));
      continue;
    }
    uploaded.push_back(at::empty({count}, average_.options()));
    kernels_.copy_to_device(uploaded.back().mutable_data_ptr(), contribution->data(),
                            contribution->size());
    addends.push_back(uploaded.back().const_data_ptr<float>());
  }
  if (addends.empty()) addends.push_back(module_.gradients().const_data_ptr<float>() + offset);
  kernels_.reduce_in_order(average_at(chunk), addends, range.count, scale);
  return accept(chunk);
}

Result<double> Optimizer::set_average(ChunkIndex chunk, const SharedBytes& average) {
  COSHARD_TRY(check_size(chunk, average));
  kernels_.copy_to_device(average_at(chunk), average->data(), average->size());
  return accept(chunk);
}

Result<double> Optimizer::accept(ChunkIndex chunk) {
  const double norm = kernels_.squared_norm(average_at(chunk), chunks_[chunk.value].count);
  averaged_[chunk.value] = std::isfinite(norm);
  return norm;
}

SharedBytes Optimizer::average(ChunkIndex chunk) const {
  const GradientChunk& range = chunks_[chunk.value];
  return to_bytes(average_, module_.layout().offset(range), static_cast<std::int64_t>(range.count));
}

Result<void> Optimizer::apply(const CommitScalars& scalars) {
  if (!scalars.skip) {
    const auto missing = std::find(averaged_.begin(), averaged_.end(), false);
    if (missing != averaged_.end())
      return fail(ErrorCode::kFailedPrecondition,
                  "update of step " + std::to_string(scalars.step.value) +
                      ": expected a finite average of every gradient chunk, found none of chunk " +
                      std::to_string(missing - averaged_.begin()));
    const ParameterLayout& layout = module_.layout();
    for (std::size_t i = 0; i < layout.specs().size(); ++i) {
      const std::int64_t offset = layout.offset(i);
      kernels_.adamw_update({.weight = module_.weights().mutable_data_ptr<float>() + offset,
                             .first_moment = first_moments_.mutable_data_ptr<float>() + offset,
                             .second_moment = second_moments_.mutable_data_ptr<float>() + offset,
                             .average = average_.const_data_ptr<float>() + offset,
                             .count = layout.specs()[i].elements,
                             .decayed = layout.specs()[i].decays()},
                            scalars);
      COSHARD_FAILPOINT("update.half");
    }
    module_.weights_changed();
  }
  zero_sums();
  return {};
}

void Optimizer::zero_sums() {
  module_.gradients().zero_();
  averaged_.assign(chunks_.size(), false);
}

Fingerprint Optimizer::fingerprint(const std::array<std::uint8_t, 16>& key) const {
  const FingerprintKey words = fingerprint_key(key);
  const ParameterLayout& layout = module_.layout();
  FingerprintLanes lanes;
  for (std::size_t i = 0; i < layout.specs().size(); ++i)
    lanes.add(kernels_.fingerprint(words, layout.specs()[i].global_index,
                                   module_.weights().const_data_ptr<float>() + layout.offset(i),
                                   layout.specs()[i].elements));
  return to_fingerprint(lanes);
}

std::uint64_t Optimizer::gradient_bytes() const {
  return module_.gradients().nbytes() + average_.nbytes();
}

}  // namespace coshard::shard
