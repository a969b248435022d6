// See stage_module.h.
// SPDX-License-Identifier: Apache-2.0
#include "shard/model/stage_module.h"

#include <ATen/ATen.h>

#include <cmath>

#include "protocol/base/check.h"
#include "protocol/base/failpoint.h"

namespace coshard::shard {

StageModule::StageModule(const ModelSpec& spec, const StageSlice& slice, const Options& options)
    : slice_(slice), layout_(spec, slice), options_(options) {
  const auto flat = at::TensorOptions().dtype(at::kFloat).device(options.device);
  weights_ = at::zeros({layout_.elements()}, flat);
  gradients_ = at::zeros({layout_.elements()}, flat);
  working_copy_ =
      options.compute == at::kFloat ? weights_ : at::zeros_like(weights_, options.compute);
  w_ = stage_tensors(layout_, slice, working_copy_, weights_);
  dw_ = stage_tensors(layout_, slice, gradients_, gradients_);
  no_sums_.layers.resize(dw_.layers.size());
  math_ =
      options.fused ? make_fused_math(spec, options.device) : make_plain_math(spec, options.device);
}

void StageModule::weights_changed() {
  if (options_.compute != at::kFloat) working_copy_.copy_(weights_);
}

std::uint64_t StageModule::parameter_bytes() const {
  const std::uint64_t copy = options_.compute == at::kFloat ? 0 : working_copy_.nbytes();
  return weights_.nbytes() + copy;
}

at::Tensor StageModule::embed(const at::Tensor& input) const {
  if (slice_.has_embedding) return math_->embed(w_.embedding, input);
  return input.to(options_.compute);
}

at::Tensor StageModule::forward(const BatchShape& shape, const at::Tensor& input,
                                SavedTensors* saved) {
  at::Tensor x = embed(input);
  for (const LayerTensors& layer : w_.layers) x = math_->layer_forward(layer, shape, x, saved);
  return x;
}

at::Tensor StageModule::backward(const BatchShape& shape, const at::Tensor& input,
                                 SavedTensors& saved, const at::Tensor& dy, Accumulate accumulate) {
  COSHARD_FAILPOINT("backward.begin");
  const StageTensors& dw = sums(accumulate);
  at::Tensor d = dy.to(options_.compute);
  for (std::size_t i = w_.layers.size(); i-- > 0;)
    d = math_->layer_backward(w_.layers[i], dw.layers[i], shape, saved, d);
  COSHARD_CHECK(saved.empty());
  if (!slice_.has_embedding) return d;
  if (dw.embedding.defined()) math_->embed_backward(input, d, dw.embedding);
  return {};
}

HeadResult StageModule::forward_loss(const BatchShape& shape, const at::Tensor& input,
                                     const at::Tensor& targets, Accumulate accumulate) {
  SavedTensors saved;
  const at::Tensor x = forward(shape, input, &saved);
  HeadResult result = math_->head_loss(w_.head, sums(accumulate).head, x, targets);
  if (std::isfinite(result.loss_sum))
    result.dx = backward(shape, input, saved, result.dx, accumulate);
  return result;
}

at::Tensor StageModule::logits(const BatchShape& shape, const at::Tensor& input) {
  return math_->logits(w_.head, forward(shape, input, nullptr));
}

}  // namespace coshard::shard
