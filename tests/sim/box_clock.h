// The clock of one box of a virtual round: monotonic like the real ones, and its own. It began at
// another time than the others', runs a few per cent faster or slower, and may leap. One thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>

#include "protocol/base/clock.h"
#include "protocol/base/rng.h"

namespace coshard::simtest {

class BoxClock final : public Clock {
 public:
  /// `world`, the virtual time, outlives this.
  explicit BoxClock(const TimePoint& world) : world_(world) {}
  BoxClock(const TimePoint& world, Rng& rng)
      : world_(world),
        rate_(0.95 + 0.1 * rng.unit()),
        ahead_(std::chrono::milliseconds(rng.below(2) * rng.below(1'000'000'000))) {}

  TimePoint now() const override {
    const auto run = static_cast<double>((world_ - TimePoint{}).count()) * rate_;
    shown_ = std::max(shown_, TimePoint{} + ahead_ + Duration(static_cast<std::int64_t>(run)));
    return shown_;
  }
  std::uint64_t wall_ms() const override { return 0; }

  /// Forward; or back, over time in which nobody read it: what it has shown it does not unsay.
  void leap(Duration by) { ahead_ += by; }

 private:
  const TimePoint& world_;
  double rate_ = 1;
  Duration ahead_{};
  mutable TimePoint shown_{};
};

/// How far the clock of a box is ahead after its process has stood still for `how_long`: it went on
/// (SIGSTOP), stood still itself (the box slept), or shows minutes that nobody lived through.
inline Duration any_leap(Duration how_long, Rng& rng) {
  switch (rng.below(3)) {
    case 0:
      return Duration{0};
    case 1:
      return -how_long;
    default:
      return std::chrono::milliseconds(rng.below(600'000));
  }
}

}  // namespace coshard::simtest
