// A contiguous slice of a model: its weights, its gradient sums, and forward and backward through
// all of its layers. Knows nothing of microbatches, blobs or updates: that is the engine.
// cs-engine.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>

#include "shard/model/accumulate.h"
#include "shard/model/parameters.h"
#include "shard/model/stage_math.h"

namespace coshard::shard {

class StageModule {
 public:
  struct Options {
    at::Device device = at::kCPU;
    at::ScalarType compute = at::kFloat;  ///< kBFloat16: a working copy of the matrices
    bool fused = true;
  };
  StageModule(const ModelSpec& spec, const StageSlice& slice, const Options& options);

  const ParameterLayout& layout() const { return layout_; }
  /// Flat fp32 vectors of layout(). Whoever writes the weights calls weights_changed() after.
  const at::Tensor& weights() const { return weights_; }
  const at::Tensor& gradients() const { return gradients_; }
  void weights_changed();
  std::uint64_t parameter_bytes() const;

  /// `input` is tokens (rows) int32 where the slice has the embedding, else (rows, hidden). Returns
  /// (rows, hidden) in the compute dtype. `saved` null: nothing is kept for a backward.
  at::Tensor forward(const BatchShape& shape, const at::Tensor& input, SavedTensors* saved);
  /// Adds to the gradients where `accumulate` says so; returns the gradient of the input, undefined
  /// where it is tokens.
  at::Tensor backward(const BatchShape& shape, const at::Tensor& input, SavedTensors& saved,
                      const at::Tensor& dy, Accumulate accumulate = Accumulate::kYes);

  /// Forward and backward of a slice with the head. targets: (rows) int32. Where the loss is not
  /// finite nothing has been added to the gradients.
  HeadResult forward_loss(const BatchShape& shape, const at::Tensor& input,
                          const at::Tensor& targets, Accumulate accumulate = Accumulate::kYes);
  at::Tensor logits(const BatchShape& shape, const at::Tensor& input);

 private:
  at::Tensor embed(const at::Tensor& input) const;
  const StageTensors& sums(Accumulate accumulate) const {
    return accumulate == Accumulate::kYes ? dw_ : no_sums_;
  }

  StageSlice slice_;
  ParameterLayout layout_;
  Options options_;
  at::Tensor weights_;       // fp32, flat
  at::Tensor working_copy_;  // compute dtype, flat; weights_ itself in fp32
  at::Tensor gradients_;     // fp32, flat
  StageTensors w_;           // views of weights_ and working_copy_
  StageTensors dw_;          // views of gradients_
  StageTensors no_sums_;     // undefined tensors in the same places
  std::unique_ptr<StageMath> math_;
};

}  // namespace coshard::shard
