// What a machine waits for, as people see it: what, since when, until when, and what comes then.
// Deadlines come from measured times where there are any: the median and six median deviations, so
// that a slow start or a single mishap does not put up with everything. Values and
// pure functions, any thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "protocol/base/clock.h"

namespace coshard::round {

struct Wait {
  std::string what;  ///< "the gradient of microbatch 5 from stage 1, replica 2"
  TimePoint since{};
  TimePoint deadline{};
  std::string then;  ///< at the deadline: "it counts as lost"
  bool operator==(const Wait&) const = default;
};

/// "the gradient of microbatch 5 from stage 1, replica 2: 1.2 s; in 0.8 s others are preferred", or
/// "…; 0.3 s late: …".
std::string sentence(const Wait& wait, TimePoint now);

/// Those that are due first, first; no more than limits::kWaitsShown.
std::vector<Wait> most_urgent(std::vector<Wait> waits);

/// How long one thing has taken the last times.
class Times {
 public:
  void add(Duration time);
  /// How long it may take this time: the median and six median deviations from it, at most `cap`;
  /// `cap` before the first one.
  Duration expected(Duration cap) const;
  std::size_t count() const { return times_.size(); }

 private:
  static constexpr std::size_t kTimes = 32;
  std::deque<Duration> times_;
};

/// How long something has taken per byte the last times: a disk, a line.
class Rate {
 public:
  /// No bytes say nothing.
  void add(std::uint64_t bytes, Duration time);
  /// How long `bytes` may take this time, as Times say it; `cap` at most, and before the first one.
  Duration expected(std::uint64_t bytes, Duration cap) const;

 private:
  static constexpr Duration kSlowest = std::chrono::hours(24);  ///< per MiB
  Times per_mebibyte_;
};

/// One who is asked, and asked again where the answer does not come in the time that it took
/// before: limits::kRepeatInterval at most, and as long before the first one.
class Inquiry {
 public:
  void ask(TimePoint now);
  /// It gets twice the time now, as whatever keeps it may not be over.
  void ask_again(TimePoint now);
  void answered(TimePoint now) { times_.add(now - since_); }
  /// When to ask again.
  TimePoint due() const { return asked_at_ + patience_; }

 private:
  Times times_;  ///< from the first question to the answer
  TimePoint since_{}, asked_at_{};
  Duration patience_{};
};

}  // namespace coshard::round
