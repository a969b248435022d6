// The element-wise and row-wise work of a block on the CPU in fp32, as loops over plain pointers
// that compilers vectorise: each function is one pass over memory where ATen needs several. Every
// sum has a fixed order, so results depend neither on the vector width, nor on alignment, nor on
// how rows are dealt to threads. Torch-free, pure; any thread. All matrices are row-major.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace coshard::shard::cpu {

/// y = x * inv_rms * gain with inv_rms = 1 / sqrt(mean(x^2) + eps), row by row.
/// x, y: (rows, width); gain: (width); inv_rms: (rows), kept for the backward.
void rms_norm_forward(const float* x, const float* gain, float eps, std::int64_t rows,
                      std::int64_t width, float* y, float* inv_rms);

/// dx = residual + the gradient of x through the norm. dy, x, residual, dx: (rows, width); dx
/// overlaps none of them.
void rms_norm_backward(const float* dy, const float* x, const float* gain, const float* inv_rms,
                       const float* residual, std::int64_t rows, std::int64_t width, float* dx);

/// dgain[c] += sum over rows, ascending, of dy * x * inv_rms, for columns [first, last).
void rms_norm_backward_gain(const float* dy, const float* x, const float* inv_rms,
                            std::int64_t rows, std::int64_t width, std::int64_t first,
                            std::int64_t last, float* dgain);

/// Rotates the first `heads` heads of each row in place: pairs (j, j + head_dim / 2), the
/// "rotate-half" convention. x: (rows, row_width); cosines, sines: (tokens, head_dim / 2); row r
/// stands at position (first_row + r) % tokens. `direction` is 1 or, for the backward, -1.
struct RopeTable {
  const float* cosines;
  const float* sines;
  std::int64_t tokens, head_dim;
};
void rope(float* x, const RopeTable& table, std::int64_t first_row, std::int64_t rows,
          std::int64_t row_width, std::int64_t heads, float direction);

/// y = silu(gate) * up. gate_up: (rows, 2 * width), gate left; y: (rows, width).
void swiglu_forward(const float* gate_up, std::int64_t rows, std::int64_t width, float* y);

/// In place: gate_up becomes its gradient, and dy becomes what swiglu_forward returned, which the
/// weight gradient of the next product needs and nobody kept.
void swiglu_backward(float* gate_up, float* dy, std::int64_t rows, std::int64_t width);

/// In place: logits (rows, vocab) become the gradient of the sum of losses, softmax - one_hot.
/// losses: (rows), -log softmax[target].
void cross_entropy(float* logits, const std::int32_t* targets, std::int64_t rows,
                   std::int64_t vocab, float* losses);

/// dtable[tokens[r]] += dx[r], rows ascending. dx: (rows, width).
void embedding_backward(const float* dx, const std::int32_t* tokens, std::int64_t rows,
                        std::int64_t width, float* dtable);

/// Sum of squares of `count` values; NaN or Inf when one of them is not finite. For checks, not
/// for clipping.
float magnitude_check(const float* values, std::int64_t count);

}  // namespace coshard::shard::cpu
