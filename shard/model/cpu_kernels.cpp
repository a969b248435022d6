// See cpu_kernels.h.
// SPDX-License-Identifier: Apache-2.0
#include "shard/model/cpu_kernels.h"

#include <bit>
#include <cmath>

// One function compiled for several vector widths, chosen when the program starts. The build's
// -ffp-contract=off keeps their results equal. Sanitizers cannot run before such a choice.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && \
    !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define COSHARD_SIMD __attribute__((target_clones("default", "arch=x86-64-v3", "arch=x86-64-v4")))
#else
#define COSHARD_SIMD
#endif
#define COSHARD_INLINE inline __attribute__((always_inline))

namespace coshard::shard::cpu {
namespace {

/// Sums run in this many lanes and end in a pairwise tree, whatever the machine's vectors are.
constexpr std::int64_t kLanes = 16;

COSHARD_INLINE float sum_of_lanes(float* lanes) {
  for (std::int64_t stride = kLanes / 2; stride > 0; stride /= 2)
    for (std::int64_t l = 0; l < stride; ++l) lanes[l] += lanes[l + stride];
  return lanes[0];
}

/// Sum of term(i) for i in [0, count).
template <class Term>
COSHARD_INLINE float lane_sum(std::int64_t count, Term term) {
  float lanes[kLanes] = {};
  std::int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes)
    for (std::int64_t l = 0; l < kLanes; ++l) lanes[l] += term(i + l);
  for (std::int64_t l = 0; i + l < count; ++l) lanes[l] += term(i + l);
  return sum_of_lanes(lanes);
}

COSHARD_INLINE float lane_max(const float* values, std::int64_t count) {
  float lanes[kLanes];
  for (float& lane : lanes) lane = values[0];
  std::int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes)
    for (std::int64_t l = 0; l < kLanes; ++l)
      lanes[l] = values[i + l] > lanes[l] ? values[i + l] : lanes[l];
  for (std::int64_t l = 0; i + l < count; ++l)
    lanes[l] = values[i + l] > lanes[l] ? values[i + l] : lanes[l];
  for (std::int64_t l = 1; l < kLanes; ++l) lanes[0] = lanes[l] > lanes[0] ? lanes[l] : lanes[0];
  return lanes[0];
}

/// e^x within 2 units in the last place (Cephes' polynomial), clamped to [2^-126, 2^127]; NaN stays
/// NaN. Without branches and library calls, so that loops over it vectorise.
COSHARD_INLINE float exponential(float x) {
  x = x < -87.0F ? -87.0F : x;
  x = x > 88.0F ? 88.0F : x;
  constexpr float kRound = 12582912.0F;  // 1.5 * 2^23: adding it leaves the nearest integer below
  const float shifted = x * 1.44269504088896341F + kRound;
  const float n = shifted - kRound;
  const float r = (x - n * 0.693359375F) + n * 2.12194440e-4F;
  float p = 1.9875691500e-4F;
  p = p * r + 1.3981999507e-3F;
  p = p * r + 8.3334519073e-3F;
  p = p * r + 4.1665795894e-2F;
  p = p * r + 1.6666665459e-1F;
  p = p * r + 5.0000001201e-1F;
  const float mantissa = (p * r) * r + r + 1.0F;
  const std::uint32_t exponent = (std::bit_cast<std::uint32_t>(shifted) + 127U) << 23;
  return mantissa * std::bit_cast<float>(exponent);
}

COSHARD_INLINE float sigmoid(float x) { return 1.0F / (1.0F + exponential(-x)); }

}  // namespace

COSHARD_SIMD void rms_norm_forward(const float* x, const float* gain, float eps, std::int64_t rows,
                                   std::int64_t width, float* y, float* inv_rms) {
  for (std::int64_t r = 0; r < rows; ++r) {
    const float* __restrict in = x + r * width;
    float* __restrict out = y + r * width;
    const float squares = lane_sum(width, [=](std::int64_t i) { return in[i] * in[i]; });
    const float inverse = 1.0F / std::sqrt(squares / static_cast<float>(width) + eps);
    inv_rms[r] = inverse;
    for (std::int64_t i = 0; i < width; ++i) out[i] = in[i] * inverse * gain[i];
  }
}

COSHARD_SIMD void rms_norm_backward(const float* dy, const float* x, const float* gain,
                                    const float* inv_rms, const float* residual, std::int64_t rows,
                                    std::int64_t width, float* dx) {
  for (std::int64_t r = 0; r < rows; ++r) {
    const float* __restrict dout = dy + r * width;
    const float* __restrict in = x + r * width;
    const float* __restrict more = residual + r * width;
    float* __restrict out = dx + r * width;
    const float inverse = inv_rms[r];
    const float dot = lane_sum(width, [=](std::int64_t i) { return dout[i] * gain[i] * in[i]; });
    const float scale = dot * inverse * inverse * inverse / static_cast<float>(width);
    for (std::int64_t i = 0; i < width; ++i)
      out[i] = more[i] + (dout[i] * gain[i] * inverse - in[i] * scale);
  }
}

COSHARD_SIMD void rms_norm_backward_gain(const float* dy, const float* x, const float* inv_rms,
                                         std::int64_t rows, std::int64_t width, std::int64_t first,
                                         std::int64_t last, float* dgain) {
  constexpr std::int64_t kColumns = 64;
  for (std::int64_t begin = first; begin < last; begin += kColumns) {
    const std::int64_t columns = last - begin < kColumns ? last - begin : kColumns;
    float sums[kColumns] = {};
    for (std::int64_t r = 0; r < rows; ++r) {
      const float* dout = dy + r * width + begin;
      const float* in = x + r * width + begin;
      const float inverse = inv_rms[r];
      for (std::int64_t c = 0; c < columns; ++c) sums[c] += dout[c] * in[c] * inverse;
    }
    for (std::int64_t c = 0; c < columns; ++c) dgain[begin + c] += sums[c];
  }
}

COSHARD_SIMD void rope(float* x, const RopeTable& table, std::int64_t first_row, std::int64_t rows,
                       std::int64_t row_width, std::int64_t heads, float direction) {
  const std::int64_t half = table.head_dim / 2;
  for (std::int64_t r = 0; r < rows; ++r) {
    const std::int64_t position = (first_row + r) % table.tokens;
    const float* __restrict cosine = table.cosines + position * half;
    const float* __restrict sine = table.sines + position * half;
    for (std::int64_t h = 0; h < heads; ++h) {
      float* __restrict left = x + r * row_width + h * table.head_dim;
      float* __restrict right = left + half;
      for (std::int64_t j = 0; j < half; ++j) {
        const float s = sine[j] * direction;
        const float a = left[j], b = right[j];
        left[j] = a * cosine[j] - b * s;
        right[j] = a * s + b * cosine[j];
      }
    }
  }
}

COSHARD_SIMD void swiglu_forward(const float* gate_up, std::int64_t rows, std::int64_t width,
                                 float* y) {
  for (std::int64_t r = 0; r < rows; ++r) {
    const float* __restrict gate = gate_up + r * 2 * width;
    const float* __restrict up = gate + width;
    float* __restrict out = y + r * width;
    for (std::int64_t i = 0; i < width; ++i) out[i] = gate[i] * sigmoid(gate[i]) * up[i];
  }
}

COSHARD_SIMD void swiglu_backward(float* gate_up, float* dy, std::int64_t rows,
                                  std::int64_t width) {
  for (std::int64_t r = 0; r < rows; ++r) {
    float* __restrict gate = gate_up + r * 2 * width;
    float* __restrict up = gate + width;
    float* __restrict d = dy + r * width;
    for (std::int64_t i = 0; i < width; ++i) {
      const float s = sigmoid(gate[i]);
      const float silu = gate[i] * s;
      const float upper = up[i], grad = d[i];
      gate[i] = grad * upper * (s + silu * (1.0F - s));
      up[i] = grad * silu;
      d[i] = silu * upper;
    }
  }
}

COSHARD_SIMD void cross_entropy(float* logits, const std::int32_t* targets, std::int64_t rows,
                                std::int64_t vocab, float* losses) {
  for (std::int64_t r = 0; r < rows; ++r) {
    float* __restrict row = logits + r * vocab;
    const float largest = lane_max(row, vocab);
    const float target_logit = row[targets[r]];
    for (std::int64_t i = 0; i < vocab; ++i) row[i] = exponential(row[i] - largest);
    const float sum = lane_sum(vocab, [=](std::int64_t i) { return row[i]; });
    losses[r] = std::log(sum) + (largest - target_logit);
    const float inverse = 1.0F / sum;
    for (std::int64_t i = 0; i < vocab; ++i) row[i] *= inverse;
    row[targets[r]] -= 1.0F;
  }
}

COSHARD_SIMD void embedding_backward(const float* dx, const std::int32_t* tokens, std::int64_t rows,
                                     std::int64_t width, float* dtable) {
  for (std::int64_t r = 0; r < rows; ++r) {
    const float* __restrict in = dx + r * width;
    float* __restrict out = dtable + tokens[r] * width;
    for (std::int64_t i = 0; i < width; ++i) out[i] += in[i];
  }
}

COSHARD_SIMD float magnitude_check(const float* values, std::int64_t count) {
  return lane_sum(count, [=](std::int64_t i) { return values[i] * values[i]; });
}

}  // namespace coshard::shard::cpu
