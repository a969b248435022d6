// Time comes in as an argument. Machines take a TimePoint; thin shells read a Clock; nothing else
// reads the time.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>

namespace coshard {

using Duration = std::chrono::nanoseconds;
/// Monotonic; the origin means nothing outside the process.
using TimePoint = std::chrono::time_point<std::chrono::steady_clock, Duration>;

class Clock {
 public:
  virtual ~Clock() = default;
  /// Monotonic time, for deadlines and rates.
  virtual TimePoint now() const = 0;
  /// Milliseconds since 1970 (UTC): informational only, never for decisions.
  virtual std::uint64_t wall_ms() const = 0;
};

/// The machine's clocks. Any thread.
class SystemClock final : public Clock {
 public:
  TimePoint now() const override { return std::chrono::steady_clock::now(); }
  std::uint64_t wall_ms() const override {
    return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(
                                          std::chrono::system_clock::now().time_since_epoch())
                                          .count());
  }
};

/// A clock that its owner moves by hand: tests and simulation. One thread.
class ManualClock final : public Clock {
 public:
  TimePoint now() const override { return now_; }
  std::uint64_t wall_ms() const override {
    return static_cast<std::uint64_t>(
        std::chrono::duration_cast<std::chrono::milliseconds>(now_.time_since_epoch()).count());
  }
  void advance(Duration by) { now_ += by; }
  void set(TimePoint now) { now_ = now; }

 private:
  TimePoint now_{};
};

inline double seconds(Duration duration) { return std::chrono::duration<double>(duration).count(); }

}  // namespace coshard
