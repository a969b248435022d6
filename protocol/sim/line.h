// One direction of a box's line: what is sent goes out one after the other, at the line's rate.
// Pure; one thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>

#include "protocol/base/clock.h"

namespace coshard::sim {

class Line {
 public:
  /// 0: as fast as anything asks for.
  explicit Line(double bytes_per_second = 0) : bytes_per_second_(bytes_per_second) {}

  /// Takes `bytes` that are there at `now`; when the last of them is through.
  TimePoint take(TimePoint now, std::uint64_t bytes) {
    if (bytes_per_second_ <= 0 || bytes == 0) return now;
    const double takes = static_cast<double>(bytes) / bytes_per_second_;
    free_at_ = std::max(free_at_, now) + Duration(static_cast<std::int64_t>(takes * 1e9));
    return free_at_;
  }

  /// Takes `bytes` of which the last came at `now` and the first as early as the rate asks for: on
  /// a line that was idle they are through at once.
  TimePoint take_flowing(TimePoint now, std::uint64_t bytes) {
    if (bytes_per_second_ <= 0 || bytes == 0) return now;
    const double takes = static_cast<double>(bytes) / bytes_per_second_;
    free_at_ = std::max(free_at_ + Duration(static_cast<std::int64_t>(takes * 1e9)), now);
    return free_at_;
  }

 private:
  double bytes_per_second_;
  TimePoint free_at_{};
};

}  // namespace coshard::sim
