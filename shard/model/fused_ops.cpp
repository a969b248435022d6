// See fused_ops.h.
// SPDX-License-Identifier: Apache-2.0
#include "shard/model/fused_ops.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>

#include "shard/model/cpu_kernels.h"

namespace coshard::shard::ops {
namespace {

using at::Tensor;

bool on_cpu_fp32(const Tensor& x) { return x.is_cpu() && x.scalar_type() == at::kFloat; }

const float* in(const Tensor& x) { return x.const_data_ptr<float>(); }
float* out(const Tensor& x) { return x.mutable_data_ptr<float>(); }

/// Deals rows to libtorch's threads in pieces worth a thread's while.
template <class Function>
void for_rows(std::int64_t rows, std::int64_t width, const Function& function) {
  constexpr std::int64_t kElementsPerTask = 32'768;
  at::parallel_for(0, rows, std::max<std::int64_t>(1, kElementsPerTask / width),
                   [&](std::int64_t begin, std::int64_t end) { function(begin, end - begin); });
}

}  // namespace

Normed rms_norm(const Tensor& x, const Tensor& gain, double eps) {
  if (!on_cpu_fp32(x)) {
    const Tensor wide = x.to(at::kFloat);
    const Tensor inv_rms = at::rsqrt(wide.square().mean(-1) + eps);
    return {(wide * inv_rms.unsqueeze(1) * gain).to(x.scalar_type()), inv_rms};
  }
  const std::int64_t rows = x.size(0), width = x.size(1);
  Normed normed{at::empty({rows, width}, x.options()), at::empty({rows}, x.options())};
  for_rows(rows, width, [&](std::int64_t first, std::int64_t count) {
    cpu::rms_norm_forward(in(x) + first * width, in(gain), static_cast<float>(eps), count, width,
                          out(normed.y) + first * width, out(normed.inv_rms) + first);
  });
  return normed;
}

Tensor rms_norm_backward(const Tensor& dy, const Tensor& x, const Tensor& gain,
                         const Tensor& inv_rms, const Tensor& residual, const Tensor& dgain) {
  if (!on_cpu_fp32(x)) {
    const Tensor inverse = inv_rms.unsqueeze(1);
    const Tensor normal = x.to(at::kFloat) * inverse;
    const Tensor wide = dy.to(at::kFloat);
    if (dgain.defined()) dgain.add_((wide * normal).sum(0));
    const Tensor scaled = wide * gain;
    const Tensor dx = (scaled - normal * (scaled * normal).mean(-1, /*keepdim=*/true)) * inverse;
    return residual + dx.to(residual.scalar_type());
  }
  const std::int64_t rows = x.size(0), width = x.size(1);
  const Tensor dx = at::empty({rows, width}, x.options());
  for_rows(rows, width, [&](std::int64_t first, std::int64_t count) {
    const std::int64_t at = first * width;
    cpu::rms_norm_backward(in(dy) + at, in(x) + at, in(gain), in(inv_rms) + first,
                           in(residual) + at, count, width, out(dx) + at);
  });
  if (!dgain.defined()) return dx;
  for_rows(width, rows, [&](std::int64_t first, std::int64_t count) {
    cpu::rms_norm_backward_gain(in(dy), in(x), in(inv_rms), rows, width, first, first + count,
                                out(dgain));
  });
  return dx;
}

void rope(const Tensor& x, const RopeTensors& rope, const BatchShape& shape, std::int64_t heads,
          int direction) {
  const std::int64_t head_dim = rope.cosines.size(1) * 2;
  if (!on_cpu_fp32(x)) {
    const Tensor cosines = rope.cosines.narrow(0, 0, shape.tokens).unsqueeze(1);
    const Tensor sines = rope.sines.narrow(0, 0, shape.tokens).unsqueeze(1) * direction;
    const Tensor view =
        x.narrow(1, 0, heads * head_dim).view({shape.sequences, shape.tokens, heads, head_dim});
    const auto halves = view.to(at::kFloat).chunk(2, -1);
    view.copy_(at::cat(
        {halves[0] * cosines - halves[1] * sines, halves[0] * sines + halves[1] * cosines}, -1));
    return;
  }
  const std::int64_t width = x.size(1);
  const cpu::RopeTable table{in(rope.cosines), in(rope.sines), shape.tokens, head_dim};
  for_rows(shape.rows(), width, [&](std::int64_t first, std::int64_t count) {
    cpu::rope(out(x) + first * width, table, first, count, width, heads,
              static_cast<float>(direction));
  });
}

Tensor swiglu(const Tensor& gate_up) {
  if (!on_cpu_fp32(gate_up)) {
    const auto halves = gate_up.chunk(2, -1);
    return at::silu(halves[0]).mul_(halves[1]);
  }
  const std::int64_t rows = gate_up.size(0), width = gate_up.size(1) / 2;
  const Tensor y = at::empty({rows, width}, gate_up.options());
  for_rows(rows, 2 * width, [&](std::int64_t first, std::int64_t count) {
    cpu::swiglu_forward(in(gate_up) + first * 2 * width, count, width, out(y) + first * width);
  });
  return y;
}

void swiglu_backward(const Tensor& gate_up, const Tensor& dy) {
  if (!on_cpu_fp32(gate_up)) {
    Tensor gate = gate_up.chunk(2, -1)[0], up = gate_up.chunk(2, -1)[1], y = dy;
    const Tensor silu = at::silu(gate), dup = dy * silu;
    at::silu_backward_out(gate, dy * up, gate);
    at::mul_out(y, silu, up);
    up.copy_(dup);
    return;
  }
  const std::int64_t rows = gate_up.size(0), width = gate_up.size(1) / 2;
  for_rows(rows, 2 * width, [&](std::int64_t first, std::int64_t count) {
    cpu::swiglu_backward(out(gate_up) + first * 2 * width, out(dy) + first * width, count, width);
  });
}

CrossEntropy cross_entropy(const Tensor& logits, const Tensor& targets) {
  const std::int64_t rows = logits.size(0), vocab = logits.size(1);
  if (!on_cpu_fp32(logits)) {
    const Tensor log_probabilities = at::log_softmax(logits, -1, at::kFloat);
    const Tensor index = targets.to(at::kLong).unsqueeze(1);
    const Tensor loss = -log_probabilities.gather(1, index).sum(at::kDouble);
    const Tensor minus_one = at::full({rows, 1}, -1.0, log_probabilities.options());
    const Tensor dlogits = log_probabilities.exp().scatter_add_(1, index, minus_one);
    return {loss.is_meta() ? 0.0 : loss.item<double>(), dlogits.to(logits.scalar_type())};
  }
  const Tensor losses = at::empty({rows}, logits.options());
  for_rows(rows, vocab, [&](std::int64_t first, std::int64_t count) {
    cpu::cross_entropy(out(logits) + first * vocab, targets.const_data_ptr<std::int32_t>() + first,
                       count, vocab, out(losses) + first);
  });
  double sum = 0;
  for (std::int64_t r = 0; r < rows; ++r) sum += static_cast<double>(in(losses)[r]);
  return {sum, logits};
}

void embedding_backward(const Tensor& tokens, const Tensor& dx, const Tensor& dtable) {
  if (!on_cpu_fp32(dx)) {
    dtable.add_(at::embedding_dense_backward(dx, tokens, dtable.size(0), /*padding_idx=*/-1,
                                             /*scale_grad_by_freq=*/false));
    return;
  }
  cpu::embedding_backward(in(dx), tokens.const_data_ptr<std::int32_t>(), dx.size(0), dx.size(1),
                          out(dtable));
}

void accumulate_weight(const Tensor& sum, const Tensor& dy, const Tensor& x) {
  if (!sum.defined()) return;
  if (dy.scalar_type() == at::kFloat) {
    sum.addmm_(dy.t(), x);
  } else {
    sum.add_(at::mm(dy.t(), x));
  }
}

}  // namespace coshard::shard::ops
