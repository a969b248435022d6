// See loss_curve.h.
// SPDX-License-Identifier: Apache-2.0
#include "node/loss_curve.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>

namespace coshard::node {
namespace {

constexpr std::size_t kLabelWidth = 7;
constexpr std::size_t kLabelEvery = 4;  // rows between two labels of the loss

/// Dots on a grid of cells; a cell is one character.
class Canvas {
 public:
  Canvas(std::size_t width, std::size_t height, bool unicode)
      : columns_(unicode ? 2 : 1),
        rows_(unicode ? 4 : 1),
        width_(width),
        height_(height),
        cells_(width * height, 0) {}

  std::size_t dots_wide() const { return width_ * columns_; }
  std::size_t dots_high() const { return height_ * rows_; }

  void set(std::size_t x, std::size_t y) {
    // Bits of a Braille cell: dots 1-3 and 7 on the left, 4-6 and 8 on the right.
    constexpr std::array<std::array<std::uint8_t, 4>, 2> kDots{
        {{0x01, 0x02, 0x04, 0x40}, {0x08, 0x10, 0x20, 0x80}}};
    cells_[(y / rows_) * width_ + x / columns_] |= kDots[x % columns_][y % rows_];
  }

  std::string row(std::size_t y) const {
    std::string line;
    for (std::size_t x = 0; x < width_; ++x) {
      const std::uint8_t cell = cells_[y * width_ + x];
      if (cell == 0) {
        line += ' ';
      } else if (columns_ == 1) {
        line += '*';
      } else {  // U+2800 + cell, as UTF-8
        line += '\xE2';
        line += static_cast<char>(0xA0 | (cell >> 6));
        line += static_cast<char>(0x80 | (cell & 0x3F));
      }
    }
    line.erase(line.find_last_not_of(' ') + 1);
    return line;
  }

 private:
  std::size_t columns_, rows_, width_, height_;
  std::vector<std::uint8_t> cells_;
};

std::string label(double value) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%*.3f ", static_cast<int>(kLabelWidth), value);
  return text.data();
}

struct Range {
  double low, high;
  /// Where `value` lies on `dots` dots; the range is not empty.
  std::size_t place(double value, std::size_t dots) const {
    const double share = std::clamp((value - low) / (high - low), 0.0, 1.0);
    return static_cast<std::size_t>(std::lround(share * static_cast<double>(dots - 1)));
  }
};

void plot(std::span<const LossPoint> points, Range steps, Range losses, Canvas& canvas) {
  std::size_t before_x = 0, before_y = 0;
  for (std::size_t i = 0; i < points.size(); ++i) {
    const std::size_t x = steps.place(static_cast<double>(points[i].step), canvas.dots_wide());
    const std::size_t y = canvas.dots_high() - 1 - losses.place(points[i].loss, canvas.dots_high());
    canvas.set(x, y);
    // A straight line from the point before, so that steep or sparse curves do not fall apart.
    const auto gap = static_cast<long>(
        i == 0 ? 0 : std::max(x - before_x, y > before_y ? y - before_y : before_y - y));
    for (long j = 1; j < gap; ++j) {
      const double t = static_cast<double>(j) / static_cast<double>(gap);
      const auto between = [t](std::size_t a, std::size_t b) {
        return static_cast<std::size_t>(
            std::lround(static_cast<double>(a) * (1 - t) + static_cast<double>(b) * t));
      };
      canvas.set(between(before_x, x), between(before_y, y));
    }
    before_x = x;
    before_y = y;
  }
}

std::string repeat(std::string_view text, std::size_t times) {
  std::string out;
  for (std::size_t i = 0; i < times; ++i) out += text;
  return out;
}

}  // namespace

std::vector<std::string> draw_loss_curve(std::span<const LossPoint> all, const CurveStyle& style) {
  std::vector<LossPoint> points;
  for (const LossPoint& point : all) {
    if (std::isfinite(point.loss)) points.push_back(point);
  }
  if (points.size() < 2 || style.width < 2 || style.height < 2) return {};
  std::ranges::sort(points, {}, &LossPoint::step);
  const auto [low, high] = std::ranges::minmax(points, {}, &LossPoint::loss);
  const Range losses{low.loss, std::max(high.loss, low.loss + 1e-3)};
  const Range steps{static_cast<double>(points.front().step),
                    std::max(static_cast<double>(points.back().step),
                             static_cast<double>(points.front().step) + 1)};
  Canvas canvas(style.width, style.height, style.unicode);
  plot(points, steps, losses, canvas);

  std::vector<std::string> lines;
  const auto rows = static_cast<double>(style.height - 1);
  for (std::size_t y = 0; y < style.height; ++y) {
    const double value = losses.high - (losses.high - losses.low) * static_cast<double>(y) / rows;
    const bool labelled = y % kLabelEvery == 0 || y + 1 == style.height;
    const std::string tick = labelled ? (style.unicode ? "┤" : "+") : (style.unicode ? "│" : "|");
    lines.push_back((labelled ? label(value) : std::string(kLabelWidth + 1, ' ')) + tick +
                    canvas.row(y));
  }
  lines.push_back(std::string(kLabelWidth + 1, ' ') + (style.unicode ? "└" : "+") +
                  repeat(style.unicode ? "─" : "-", style.width));
  const std::string first = "step " + std::to_string(points.front().step);
  const std::string last = std::to_string(points.back().step);
  const std::size_t used = first.size() + last.size();
  lines.push_back(std::string(kLabelWidth + 2, ' ') + first +
                  std::string(style.width > used ? style.width - used : 1, ' ') + last);
  return lines;
}

}  // namespace coshard::node
