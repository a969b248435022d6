// A loss curve in the terminal, with axes: Braille dots (2 x 4 to a character) where the terminal
// shows UTF-8, stars where it does not. Pure function.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace coshard::node {

struct LossPoint {
  std::uint64_t step = 0;
  double loss = 0;
};

struct CurveStyle {
  std::size_t width = 60;  ///< characters of the plot, without the axis
  std::size_t height = 12;
  bool unicode = true;
};

/// Lines from top to bottom: the plot with loss at the left, the axis, the steps under it. Points
/// that are not finite are left out; nothing when fewer than two remain.
std::vector<std::string> draw_loss_curve(std::span<const LossPoint> points,
                                         const CurveStyle& style);

}  // namespace coshard::node
