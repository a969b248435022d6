// Operations of a block in as few passes over memory as the device allows: on the CPU in fp32 the
// loops of cpu_kernels.h, elsewhere ATen. Each has the plain formula of plain_math.cpp as its
// reference. No autograd: forward and backward are pairs. cs-engine.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include "shard/model/stage_math.h"

namespace coshard::shard::ops {

struct Normed {
  at::Tensor y;
  at::Tensor inv_rms;  ///< (rows), fp32
};
/// x: (rows, width); gain: (width) fp32.
Normed rms_norm(const at::Tensor& x, const at::Tensor& gain, double eps);
/// Returns residual + dx; adds to dgain where it is defined.
at::Tensor rms_norm_backward(const at::Tensor& dy, const at::Tensor& x, const at::Tensor& gain,
                             const at::Tensor& inv_rms, const at::Tensor& residual,
                             const at::Tensor& dgain);

/// Rotates in place the first `heads` heads of each row of x: (rows, row_width). `direction` is -1
/// in the backward: the transpose of a rotation.
void rope(const at::Tensor& x, const RopeTensors& rope, const BatchShape& shape, std::int64_t heads,
          int direction);

/// silu(gate) * up of gate_up: (rows, 2 * width).
at::Tensor swiglu(const at::Tensor& gate_up);
/// In place on every device: gate_up becomes its gradient, and dy what swiglu returned, made again.
void swiglu_backward(const at::Tensor& gate_up, const at::Tensor& dy);

/// Causal attention of qkv: (rows, (heads + 2 * kv_heads) * head_dim), queries and keys rotated.
/// Returns (rows, heads * head_dim); pushes what attention_backward pops when `saved` is given.
struct HeadCounts {
  std::int64_t heads, kv_heads, head_dim;
};
at::Tensor attention(const at::Tensor& qkv, const BatchShape& shape, const HeadCounts& counts,
                     SavedTensors* saved);
/// Gradient of qkv.
at::Tensor attention_backward(const at::Tensor& qkv, const BatchShape& shape,
                              const HeadCounts& counts, SavedTensors& saved,
                              const at::Tensor& dout);

/// Turns logits (rows, vocab) into the gradient of the sum of losses, in place where the device
/// allows; returns it and the sum.
struct CrossEntropy {
  double loss_sum;
  at::Tensor dlogits;
};
CrossEntropy cross_entropy(const at::Tensor& logits, const at::Tensor& targets);

/// Adds dx to the rows of dtable that the tokens name, in a fixed order.
void embedding_backward(const at::Tensor& tokens, const at::Tensor& dx, const at::Tensor& dtable);

/// sum += dy^T x, with `sum` in fp32 whatever the others are; nothing where it is undefined.
void accumulate_weight(const at::Tensor& sum, const at::Tensor& dy, const at::Tensor& x);

}  // namespace coshard::shard::ops
