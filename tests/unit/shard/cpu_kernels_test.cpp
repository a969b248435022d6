// Each vectorised loop against the formula in double, at sizes with and without a tail.
// SPDX-License-Identifier: Apache-2.0
#include "shard/model/cpu_kernels.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "protocol/base/rng.h"

namespace coshard::shard::cpu {
namespace {

using Values = std::vector<float>;

Values random(std::size_t count, std::uint64_t seed, double scale = 1) {
  Rng rng(seed);
  Values values(count);
  for (float& value : values) value = static_cast<float>((rng.unit() - 0.5) * 2 * scale);
  return values;
}

class Widths : public ::testing::TestWithParam<std::int64_t> {
 protected:
  static constexpr std::int64_t kRows = 5;
  std::int64_t width() const { return GetParam(); }
  std::size_t size() const { return static_cast<std::size_t>(kRows * width()); }
};

INSTANTIATE_TEST_SUITE_P(Kernels, Widths, ::testing::Values(1, 7, 16, 33, 64, 200));

double inverse_rms(const float* x, std::int64_t width, double eps) {
  double squares = 0;
  for (std::int64_t i = 0; i < width; ++i) squares += static_cast<double>(x[i]) * x[i];
  return 1 / std::sqrt(squares / static_cast<double>(width) + eps);
}

TEST_P(Widths, RmsNormForward) {
  const Values x = random(size(), 1), gain = random(static_cast<std::size_t>(width()), 2);
  Values y(size()), inv_rms(kRows);
  rms_norm_forward(x.data(), gain.data(), 1e-5F, kRows, width(), y.data(), inv_rms.data());
  for (std::int64_t r = 0; r < kRows; ++r) {
    const double expected = inverse_rms(x.data() + r * width(), width(), 1e-5);
    EXPECT_NEAR(inv_rms[static_cast<std::size_t>(r)], expected, 1e-6 * expected);
    for (std::int64_t i = 0; i < width(); ++i) {
      const auto at = static_cast<std::size_t>(r * width() + i);
      const double value = x[at] * expected * gain[static_cast<std::size_t>(i)];
      EXPECT_NEAR(y[at], value, 1e-6 * (std::abs(value) + 1e-3));
    }
  }
}

/// Central differences in double of sum(dy * norm(x)) are an independent derivative.
TEST_P(Widths, RmsNormBackward) {
  const Values x = random(size(), 3), gain = random(static_cast<std::size_t>(width()), 4);
  const Values dy = random(size(), 5), residual = random(size(), 6);
  Values y(size()), inv_rms(kRows), dx(size()), dgain(static_cast<std::size_t>(width()), 0.25F);
  rms_norm_forward(x.data(), gain.data(), 1e-5F, kRows, width(), y.data(), inv_rms.data());
  rms_norm_backward(dy.data(), x.data(), gain.data(), inv_rms.data(), residual.data(), kRows,
                    width(), dx.data());
  rms_norm_backward_gain(dy.data(), x.data(), inv_rms.data(), kRows, width(), 0, width(),
                         dgain.data());
  const auto value = [&](const std::vector<double>& row, std::int64_t r) {
    double squares = 0, sum = 0;
    for (const double v : row) squares += v * v;
    const double inverse = 1 / std::sqrt(squares / static_cast<double>(width()) + 1e-5);
    for (std::size_t i = 0; i < row.size(); ++i)
      sum += dy[static_cast<std::size_t>(r * width()) + i] * row[i] * inverse * gain[i];
    return sum;
  };
  for (std::int64_t r = 0; r < kRows; ++r) {
    const auto begin = x.begin() + r * width();
    std::vector<double> row(begin, begin + width());
    for (std::size_t i = 0; i < row.size(); ++i) {
      const double here = row[i], h = 1e-4;
      row[i] = here + h;
      const double above = value(row, r);
      row[i] = here - h;
      const double derivative = (above - value(row, r)) / (2 * h);
      row[i] = here;
      const std::size_t at = static_cast<std::size_t>(r * width()) + i;
      EXPECT_NEAR(dx[at] - residual[at], derivative, 1e-4 * (std::abs(derivative) + 1));
    }
  }
  for (std::size_t i = 0; i < dgain.size(); ++i) {
    double expected = 0.25;
    for (std::size_t r = 0; r < kRows; ++r) {
      const std::size_t at = r * dgain.size() + i;
      expected += static_cast<double>(dy[at]) * x[at] * inv_rms[r];
    }
    EXPECT_NEAR(dgain[i], expected, 1e-5);
  }
}

TEST_P(Widths, SwigluForwardAndBackward) {
  Values gate_up = random(2 * size(), 7, 6);
  const Values before = gate_up, dy = random(size(), 8);
  Values y(size()), grad = dy;
  swiglu_forward(gate_up.data(), kRows, width(), y.data());
  swiglu_backward(gate_up.data(), grad.data(), kRows, width());
  EXPECT_EQ(grad, y) << "the backward hands out what the forward returned";
  for (std::int64_t r = 0; r < kRows; ++r) {
    for (std::int64_t i = 0; i < width(); ++i) {
      const auto left = static_cast<std::size_t>(2 * r * width() + i);
      const std::size_t right = left + static_cast<std::size_t>(width());
      const auto at = static_cast<std::size_t>(r * width() + i);
      const double g = before[left], u = before[right], s = 1 / (1 + std::exp(-g));
      EXPECT_NEAR(y[at], g * s * u, 1e-5 * (std::abs(g * u) + 1e-3));
      EXPECT_NEAR(gate_up[left], dy[at] * u * (s + g * s * (1 - s)), 1e-5 * (std::abs(u) + 1e-3));
      EXPECT_NEAR(gate_up[right], dy[at] * g * s, 1e-5 * (std::abs(g) + 1e-3));
    }
  }
}

TEST_P(Widths, CrossEntropy) {
  Values logits = random(size(), 9, 30);
  const Values before = logits;
  std::vector<std::int32_t> targets;
  for (std::int64_t r = 0; r < kRows; ++r)
    targets.push_back(static_cast<std::int32_t>((r * 3) % width()));
  Values losses(kRows);
  cross_entropy(logits.data(), targets.data(), kRows, width(), losses.data());
  for (std::size_t r = 0; r < kRows; ++r) {
    const std::size_t row = r * static_cast<std::size_t>(width());
    double sum = 0;
    for (std::int64_t i = 0; i < width(); ++i)
      sum += std::exp(static_cast<double>(before[row + static_cast<std::size_t>(i)]));
    const double target = before[row + static_cast<std::size_t>(targets[r])];
    EXPECT_NEAR(losses[r], std::log(sum) - target, 1e-5 * (1 + std::abs(target)));
    for (std::int64_t i = 0; i < width(); ++i) {
      const std::size_t at = row + static_cast<std::size_t>(i);
      const double expected = std::exp(before[at]) / sum - (i == targets[r] ? 1 : 0);
      EXPECT_NEAR(logits[at], expected, 2e-6);
    }
  }
}

TEST(Rope, TurnsPairsAndTurnsBack) {
  constexpr std::int64_t kTokens = 3, kHeadDim = 4, kHeads = 2, kRowWidth = 10;
  Values cosines, sines;
  for (std::int64_t t = 0; t < kTokens; ++t) {
    for (std::int64_t j = 0; j < kHeadDim / 2; ++j) {
      cosines.push_back(static_cast<float>(std::cos(static_cast<double>(t * (j + 1)))));
      sines.push_back(static_cast<float>(std::sin(static_cast<double>(t * (j + 1)))));
    }
  }
  const RopeTable table{cosines.data(), sines.data(), kTokens, kHeadDim};
  Values x = random(2 * kTokens * kRowWidth, 10);
  const Values before = x;
  rope(x.data(), table, 0, 2 * kTokens, kRowWidth, kHeads, 1);
  for (std::size_t r = 0; r < 2 * kTokens; ++r) {
    for (std::size_t h = 0; h < kHeads; ++h) {
      for (std::size_t j = 0; j < 2; ++j) {
        const std::size_t left = r * kRowWidth + h * kHeadDim + j, right = left + 2;
        const double angle = static_cast<double>(r % kTokens) * (static_cast<double>(j) + 1);
        EXPECT_NEAR(x[left], before[left] * std::cos(angle) - before[right] * std::sin(angle),
                    1e-6);
        EXPECT_NEAR(x[right], before[left] * std::sin(angle) + before[right] * std::cos(angle),
                    1e-6);
      }
    }
    for (std::size_t i = kHeads * kHeadDim; i < kRowWidth; ++i)
      EXPECT_EQ(x[r * kRowWidth + i], before[r * kRowWidth + i]) << "values are not rotated";
  }
  rope(x.data(), table, 0, 2 * kTokens, kRowWidth, kHeads, -1);
  for (std::size_t i = 0; i < x.size(); ++i) EXPECT_NEAR(x[i], before[i], 1e-6);
}

TEST(EmbeddingBackward, AddsRowsOfRepeatedTokensInOrder) {
  const Values dx{1, 2, 10, 20, 100, 200};
  const std::vector<std::int32_t> tokens{2, 0, 2};
  Values table{1, 1, 1, 1, 1, 1};
  embedding_backward(dx.data(), tokens.data(), 3, 2, table.data());
  EXPECT_EQ(table, (Values{11, 21, 1, 1, 102, 203}));
}

TEST(MagnitudeCheck, SumsSquaresAndShowsWhatIsNotFinite) {
  Values values(37, 2.0F);
  EXPECT_EQ(magnitude_check(values.data(), 37), 148.0F);
  for (const float bad :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
        -std::numeric_limits<float>::infinity()}) {
    for (const std::size_t at : {0U, 20U, 36U}) {
      Values spoiled = values;
      spoiled[at] = bad;
      EXPECT_FALSE(std::isfinite(magnitude_check(spoiled.data(), 37)));
    }
  }
}

}  // namespace
}  // namespace coshard::shard::cpu
