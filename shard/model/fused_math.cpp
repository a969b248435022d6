// The fast version of stage_math.h: forward and backward written as pairs over fused_ops.h.
// Queries, keys and values are one matrix product, gate and up another; residual additions happen
// inside the products; weight gradients are added by the product that makes them. A layer with
// input x:
//
//   h = norm(x)   qkv = rope(h Wqkv^T)   y = x + attention(qkv) Wo^T
//   n = norm(y)   gu = n Wgu^T           z = y + swiglu(gu) Wd^T
//
// SPDX-License-Identifier: Apache-2.0
#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <cmath>

#include "shard/model/fused_ops.h"
#include "shard/model/stage_math.h"

namespace coshard::shard {
namespace {

using at::Tensor;

class FusedMath final : public StageMath {
 public:
  FusedMath(const ModelSpec& spec, at::Device device)
      : spec_(spec),
        counts_{spec.heads, spec.kv_heads, spec.head_dim()},
        rope_(rope_tensors(spec, device)) {}

  Tensor embed(const Tensor& table, const Tensor& tokens) override {
    return at::index_select(table, 0, tokens);
  }

  void embed_backward(const Tensor& tokens, const Tensor& dx, const Tensor& dtable) override {
    ops::embedding_backward(tokens, dx, dtable);
  }

  Tensor layer_forward(const LayerTensors& weights, const BatchShape& shape, const Tensor& x,
                       SavedTensors* saved) override {
    const at::NoGradGuard no_grad;
    return mlp_forward(weights, attention_forward(weights, shape, x, saved), saved);
  }

  Tensor layer_backward(const LayerTensors& weights, const LayerTensors& grads,
                        const BatchShape& shape, SavedTensors& saved, const Tensor& dz) override {
    const at::NoGradGuard no_grad;
    const Tensor dy = mlp_backward(weights, grads, saved, dz);
    return attention_backward(weights, grads, shape, saved, dy);
  }

  Tensor logits(const HeadTensors& weights, const Tensor& x) override {
    const at::NoGradGuard no_grad;
    return at::mm(ops::rms_norm(x, weights.norm, spec_.norm_eps).y, weights.projection.t());
  }

  HeadResult head_loss(const HeadTensors& weights, const HeadTensors& grads, const Tensor& x,
                       const Tensor& targets) override {
    const at::NoGradGuard no_grad;
    const ops::Normed normed = ops::rms_norm(x, weights.norm, spec_.norm_eps);
    const auto [loss_sum, dlogits] =
        ops::cross_entropy(at::mm(normed.y, weights.projection.t()), targets);
    if (!std::isfinite(loss_sum)) return {loss_sum, {}};
    ops::accumulate_weight(grads.projection, dlogits, normed.y);
    const Tensor dnormed = at::mm(dlogits, weights.projection);
    return {loss_sum, ops::rms_norm_backward(dnormed, x, weights.norm, normed.inv_rms,
                                             at::zeros_like(x), grads.norm)};
  }

 private:
  Tensor attention_forward(const LayerTensors& w, const BatchShape& shape, const Tensor& x,
                           SavedTensors* saved) const {
    const ops::Normed normed = ops::rms_norm(x, w.attention_norm, spec_.norm_eps);
    const Tensor qkv = at::mm(normed.y, w.qkv.t());
    ops::rope(qkv, rope_, shape, spec_.heads + spec_.kv_heads, 1);
    const Tensor mixed = ops::attention(qkv, shape, counts_, saved);
    if (saved != nullptr)
      for (const Tensor& tensor : {qkv, mixed, x, normed.y, normed.inv_rms}) saved->push(tensor);
    return at::addmm(x, mixed, w.attention_out.t());
  }

  Tensor attention_backward(const LayerTensors& w, const LayerTensors& dw, const BatchShape& shape,
                            SavedTensors& saved, const Tensor& dy) const {
    const Tensor inv_rms = saved.pop(), h = saved.pop(), x = saved.pop();
    const Tensor mixed = saved.pop(), qkv = saved.pop();
    ops::accumulate_weight(dw.attention_out, dy, mixed);
    const Tensor dmixed = at::mm(dy, w.attention_out);
    const Tensor dqkv = ops::attention_backward(qkv, shape, counts_, saved, dmixed);
    ops::rope(dqkv, rope_, shape, spec_.heads + spec_.kv_heads, -1);
    ops::accumulate_weight(dw.qkv, dqkv, h);
    return ops::rms_norm_backward(at::mm(dqkv, w.qkv), x, w.attention_norm, inv_rms, dy,
                                  dw.attention_norm);
  }

  Tensor mlp_forward(const LayerTensors& w, const Tensor& y, SavedTensors* saved) const {
    const ops::Normed normed = ops::rms_norm(y, w.mlp_norm, spec_.norm_eps);
    const Tensor gate_up = at::mm(normed.y, w.gate_up.t());
    if (saved != nullptr)
      for (const Tensor& tensor : {gate_up, y, normed.y, normed.inv_rms}) saved->push(tensor);
    return at::addmm(y, ops::swiglu(gate_up), w.down.t());
  }

  Tensor mlp_backward(const LayerTensors& w, const LayerTensors& dw, SavedTensors& saved,
                      const Tensor& dz) const {
    const Tensor inv_rms = saved.pop(), n = saved.pop(), y = saved.pop(), gate_up = saved.pop();
    const Tensor hidden = at::mm(dz, w.down);
    ops::swiglu_backward(gate_up, hidden);
    ops::accumulate_weight(dw.down, dz, hidden);
    ops::accumulate_weight(dw.gate_up, gate_up, n);
    return ops::rms_norm_backward(at::mm(gate_up, w.gate_up), y, w.mlp_norm, inv_rms, dz,
                                  dw.mlp_norm);
  }

  ModelSpec spec_;
  ops::HeadCounts counts_;
  RopeTensors rope_;
};

}  // namespace

std::unique_ptr<StageMath> make_fused_math(const ModelSpec& spec, at::Device device) {
  return std::make_unique<FusedMath>(spec, device);
}

}  // namespace coshard::shard
