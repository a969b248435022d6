// See wait.h.
// SPDX-License-Identifier: Apache-2.0
#include "protocol/round/wait.h"

#include <algorithm>
#include <cstdio>

#include "protocol/base/limits.h"

namespace coshard::round {
namespace {

std::string tenths(Duration time) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f s", seconds(time));
  return text;
}

}  // namespace

std::string sentence(const Wait& wait, TimePoint now) {
  const std::string age = wait.what + ": " + tenths(now - wait.since);
  if (now < wait.deadline) return age + "; in " + tenths(wait.deadline - now) + " " + wait.then;
  return age + "; " + tenths(now - wait.deadline) + " late: " + wait.then;
}

std::vector<Wait> most_urgent(std::vector<Wait> waits) {
  std::ranges::stable_sort(waits, {}, &Wait::deadline);
  if (waits.size() > limits::kWaitsShown) waits.resize(limits::kWaitsShown);
  return waits;
}

void Times::add(Duration time) {
  times_.push_back(time);
  if (times_.size() > kTimes) times_.pop_front();
}

Duration Times::expected(Duration cap) const {
  if (times_.empty()) return cap;
  std::vector<Duration> values(times_.begin(), times_.end());
  const auto median = [&values] {
    const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
    std::ranges::nth_element(values, middle);
    return *middle;
  };
  const Duration usual = median();
  for (Duration& value : values) value = value > usual ? value - usual : usual - value;
  return std::min<Duration>(usual + 6 * median(), cap);
}

}  // namespace coshard::round
