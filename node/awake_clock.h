// The time by which the daemons judge others. One thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "protocol/base/clock.h"

namespace coshard::node {

/// Time in which this process is awake. Who reads it at least every `gap` learns nothing of the
/// time in which the whole process stood still (frozen, swapped out, its disk stuck): what others
/// said meanwhile is still to be read, and counting it as their silence would give up everybody at
/// once. One thread.
class AwakeClock final : public Clock {
 public:
  /// `clock` outlives this one.
  AwakeClock(const Clock& clock, Duration gap) : clock_(clock), gap_(gap), read_(clock.now()) {}
  TimePoint now() const override {
    const TimePoint now = clock_.now();
    if (now - read_ > gap_) asleep_ += now - read_;
    read_ = now;
    return now - asleep_;
  }
  std::uint64_t wall_ms() const override { return clock_.wall_ms(); }

 private:
  const Clock& clock_;
  const Duration gap_;
  mutable TimePoint read_;
  mutable Duration asleep_{};
};

}  // namespace coshard::node
