// Causal attention of fused_ops.h: libtorch's flash kernels. On the CPU forward and backward are
// called by name; elsewhere a small autograd graph around scaled_dot_product_attention lets
// libtorch
// choose the kernel pair.
// SPDX-License-Identifier: Apache-2.0
#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/autograd.h>

#include <array>

#include "shard/model/fused_ops.h"

namespace coshard::shard::ops {
namespace {

using at::Tensor;

/// Views (sequences, heads, tokens, head_dim) of queries, keys and values.
std::array<Tensor, 3> split(const Tensor& qkv, const BatchShape& shape, const HeadCounts& counts) {
  const auto parts = qkv.view({shape.sequences, shape.tokens, -1, counts.head_dim})
                         .split_with_sizes({counts.heads, counts.kv_heads, counts.kv_heads}, 2);
  return {parts[0].transpose(1, 2), parts[1].transpose(1, 2), parts[2].transpose(1, 2)};
}

/// The transpose of split: (rows, width) again.
Tensor join(const std::array<Tensor, 3>& parts, const BatchShape& shape) {
  return at::cat({parts[0].transpose(1, 2), parts[1].transpose(1, 2), parts[2].transpose(1, 2)}, 2)
      .view({shape.rows(), -1});
}

/// Each key and value head once for every query head of its group, and the transpose of that.
Tensor spread(const Tensor& x, std::int64_t group) {
  if (group == 1) return x;
  return x.unsqueeze(2)
      .expand({x.size(0), x.size(1), group, x.size(2), x.size(3)})
      .reshape({x.size(0), x.size(1) * group, x.size(2), x.size(3)});
}
Tensor gather(const Tensor& x, std::int64_t group) {
  if (group == 1) return x;
  return x.reshape({x.size(0), x.size(1) / group, group, x.size(2), x.size(3)}).sum(2);
}

/// Scaled dot-product attention by whichever kernel libtorch chooses. On the meta device, where it
/// has none, something of the same shapes.
Tensor any_attention(const Tensor& q, const Tensor& k, const Tensor& v) {
  const std::int64_t group = q.size(1) / k.size(1);
  if (q.is_meta())
    return at::matmul(at::matmul(q, spread(k, group).transpose(-2, -1)), spread(v, group));
  return at::scaled_dot_product_attention(q, k, v, /*attn_mask=*/{}, /*dropout_p=*/0.0,
                                          /*is_causal=*/true, /*scale=*/std::nullopt,
                                          /*enable_gqa=*/group != 1);
}

bool by_name(const Tensor& qkv) { return qkv.is_cpu() && qkv.scalar_type() == at::kFloat; }

}  // namespace

Tensor attention(const Tensor& qkv, const BatchShape& shape, const HeadCounts& counts,
                 SavedTensors* saved) {
  const auto flatten = [&](const Tensor& y) {
    return y.transpose(1, 2).reshape({shape.rows(), counts.heads * counts.head_dim});
  };
  auto [q, k, v] = split(qkv, shape, counts);
  if (by_name(qkv)) {
    const std::int64_t group = counts.heads / counts.kv_heads;
    const auto [y, log_sum_exp] = at::_scaled_dot_product_flash_attention_for_cpu(
        q, spread(k, group), spread(v, group), /*dropout_p=*/0.0, /*is_causal=*/true);
    if (saved != nullptr) {
      saved->push(y);
      saved->push(log_sum_exp);
    }
    return flatten(y);
  }
  const at::AutoGradMode with_grad(saved != nullptr);
  if (saved != nullptr)
    for (Tensor* leaf : {&q, &k, &v}) *leaf = leaf->detach().requires_grad_(true);
  const Tensor y = any_attention(q, k, v);
  if (saved != nullptr)
    for (const Tensor& tensor : {q, k, v, y}) saved->push(tensor);
  return flatten(y.detach());
}

Tensor attention_backward(const Tensor& qkv, const BatchShape& shape, const HeadCounts& counts,
                          SavedTensors& saved, const Tensor& dout) {
  const Tensor dy =
      dout.view({shape.sequences, shape.tokens, counts.heads, counts.head_dim}).transpose(1, 2);
  if (by_name(qkv)) {
    const Tensor log_sum_exp = saved.pop();
    const Tensor y = saved.pop();
    const std::int64_t group = counts.heads / counts.kv_heads;
    const auto [q, k, v] = split(qkv, shape, counts);
    const auto [dq, dk, dv] = at::_scaled_dot_product_flash_attention_for_cpu_backward(
        dy, q, spread(k, group), spread(v, group), y, log_sum_exp, /*dropout_p=*/0.0,
        /*is_causal=*/true);
    return join({dq, gather(dk, group), gather(dv, group)}, shape);
  }
  const Tensor y = saved.pop();
  const Tensor v = saved.pop(), k = saved.pop(), q = saved.pop();
  const auto grads = torch::autograd::grad({y}, {q, k, v}, {dy});
  return join({grads[0], grads[1], grads[2]}, shape);
}

}  // namespace coshard::shard::ops
