// The reference: each formula as it stands in the papers, differentiated by autograd. Slow, and
// meant to be read.
// SPDX-License-Identifier: Apache-2.0
#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/autograd.h>

#include <array>
#include <cmath>
#include <limits>

#include "shard/model/stage_math.h"

namespace coshard::shard {
namespace {

using at::Tensor;

/// A leaf that shares the values of `tensor`.
Tensor leaf(const Tensor& tensor) { return tensor.detach().requires_grad_(true); }

std::array<Tensor, 6> as_list(const LayerTensors& t) {
  return {t.attention_norm, t.qkv, t.attention_out, t.mlp_norm, t.gate_up, t.down};
}

/// An undefined sum takes nothing.
void add_to(const Tensor& sum, const Tensor& addend) {
  if (sum.defined()) sum.add_(addend);
}

class PlainMath final : public StageMath {
 public:
  PlainMath(const ModelSpec& spec, at::Device device)
      : spec_(spec), rope_(rope_tensors(spec, device)) {}

  Tensor embed(const Tensor& table, const Tensor& tokens) override {
    return at::index_select(table, 0, tokens);
  }

  void embed_backward(const Tensor& tokens, const Tensor& dx, const Tensor& dtable) override {
    const Tensor grad = at::embedding_dense_backward(dx, tokens, spec_.vocab, /*padding_idx=*/-1,
                                                     /*scale_grad_by_freq=*/false);
    dtable.add_(grad);
  }

  Tensor layer_forward(const LayerTensors& weights, const BatchShape& shape, const Tensor& x,
                       SavedTensors* saved) override {
    if (saved == nullptr) {
      const at::NoGradGuard no_grad;
      return layer(weights, shape, x);
    }
    const at::AutoGradMode with_grad(true);
    LayerTensors w;
    w.attention_norm = leaf(weights.attention_norm);
    w.qkv = leaf(weights.qkv);
    w.attention_out = leaf(weights.attention_out);
    w.mlp_norm = leaf(weights.mlp_norm);
    w.gate_up = leaf(weights.gate_up);
    w.down = leaf(weights.down);
    const Tensor input = leaf(x);
    const Tensor y = layer(w, shape, input);
    for (const Tensor& tensor : as_list(w)) saved->push(tensor);
    saved->push(input);
    saved->push(y);
    return y.detach();
  }

  Tensor layer_backward(const LayerTensors&, const LayerTensors& grads, const BatchShape&,
                        SavedTensors& saved, const Tensor& dy) override {
    const Tensor y = saved.pop();
    const Tensor input = saved.pop();
    std::array<Tensor, 6> weights;
    for (std::size_t i = weights.size(); i-- > 0;) weights[i] = saved.pop();
    torch::autograd::variable_list inputs{input};
    inputs.insert(inputs.end(), weights.begin(), weights.end());
    const auto found = torch::autograd::grad({y}, inputs, {dy});
    const std::array<Tensor, 6> sums = as_list(grads);
    for (std::size_t i = 0; i < sums.size(); ++i) add_to(sums[i], found[i + 1]);
    return found[0];
  }

  Tensor logits(const HeadTensors& weights, const Tensor& x) override {
    return at::matmul(rms_norm(x, weights.norm), weights.projection.t());
  }

  HeadResult head_loss(const HeadTensors& weights, const HeadTensors& grads, const Tensor& x,
                       const Tensor& targets) override {
    const at::AutoGradMode with_grad(true);
    const HeadTensors w{leaf(weights.norm), leaf(weights.projection)};
    const Tensor input = leaf(x);
    const Tensor scores = logits(w, input).to(at::kFloat);
    const Tensor picked = at::log_softmax(scores, -1).gather(1, targets.to(at::kLong).unsqueeze(1));
    const Tensor loss = -picked.to(at::kDouble).sum();
    HeadResult result;
    result.loss_sum = loss.is_meta() ? 0.0 : loss.item<double>();
    if (!std::isfinite(result.loss_sum)) return result;
    const auto found = torch::autograd::grad({loss}, {input, w.norm, w.projection});
    add_to(grads.norm, found[1]);
    add_to(grads.projection, found[2]);
    result.dx = found[0];
    return result;
  }

 private:
  /// Zhang and Sennrich, "Root Mean Square Layer Normalization", 2019. Inner arithmetic in fp32.
  Tensor rms_norm(const Tensor& x, const Tensor& gain) const {
    const Tensor wide = x.to(at::kFloat);
    const Tensor mean = wide.square().mean(-1, /*keepdim=*/true);
    return (wide * at::rsqrt(mean + spec_.norm_eps) * gain).to(x.scalar_type());
  }

  /// Su et al., "RoFormer", 2021, in the rotate-half form. x: (sequences, tokens, heads, head_dim).
  Tensor rotate(const Tensor& x) const {
    const std::int64_t tokens = x.size(1);
    const Tensor cosines = rope_.cosines.narrow(0, 0, tokens).unsqueeze(1);
    const Tensor sines = rope_.sines.narrow(0, 0, tokens).unsqueeze(1);
    const auto halves = x.to(at::kFloat).chunk(2, -1);
    return at::cat(
               {halves[0] * cosines - halves[1] * sines, halves[0] * sines + halves[1] * cosines},
               -1)
        .to(x.scalar_type());
  }

  /// softmax(q k^T / sqrt(head_dim), causal) v; groups of heads share keys and values.
  Tensor attention(const LayerTensors& w, const BatchShape& shape, const Tensor& h) const {
    const auto heads = [&](const Tensor& projected, std::int64_t count) {
      return projected.view({shape.sequences, shape.tokens, count, spec_.head_dim()});
    };
    const auto parts = w.qkv.split_with_sizes({spec_.hidden, spec_.kv_width(), spec_.kv_width()});
    const std::int64_t group = spec_.heads / spec_.kv_heads;
    const Tensor q = rotate(heads(at::matmul(h, parts[0].t()), spec_.heads)).transpose(1, 2);
    const Tensor k = rotate(heads(at::matmul(h, parts[1].t()), spec_.kv_heads))
                         .repeat_interleave(group, 2)
                         .transpose(1, 2);
    const Tensor v = heads(at::matmul(h, parts[2].t()), spec_.kv_heads)
                         .repeat_interleave(group, 2)
                         .transpose(1, 2);
    const Tensor future =
        at::ones({shape.tokens, shape.tokens}, h.options().dtype(at::kBool)).triu(1);
    const double scale = 1.0 / std::sqrt(static_cast<double>(spec_.head_dim()));
    const Tensor scores = (at::matmul(q, k.transpose(-2, -1)) * scale)
                              .to(at::kFloat)
                              .masked_fill(future, -std::numeric_limits<double>::infinity());
    const Tensor mixed = at::matmul(at::softmax(scores, -1).to(v.scalar_type()), v);
    return mixed.transpose(1, 2).reshape({shape.rows(), spec_.hidden});
  }

  Tensor layer(const LayerTensors& w, const BatchShape& shape, const Tensor& x) const {
    const Tensor attended = attention(w, shape, rms_norm(x, w.attention_norm));
    const Tensor y = x + at::matmul(attended, w.attention_out.t());
    const auto gate_up = at::matmul(rms_norm(y, w.mlp_norm), w.gate_up.t()).chunk(2, -1);
    return y + at::matmul(at::silu(gate_up[0]) * gate_up[1], w.down.t());
  }

  ModelSpec spec_;
  RopeTensors rope_;
};

}  // namespace

std::unique_ptr<StageMath> make_plain_math(const ModelSpec& spec, at::Device device) {
  return std::make_unique<PlainMath>(spec, device);
}

}  // namespace coshard::shard
