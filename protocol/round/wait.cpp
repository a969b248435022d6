// See wait.h.
// SPDX-License-Identifier: Apache-2.0
#include "protocol/round/wait.h"

#include <algorithm>
#include <cstdio>

#include "protocol/base/limits.h"

namespace coshard::round {
namespace {

constexpr double kMebibyte = 1 << 20;

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

void Rate::add(std::uint64_t bytes, Duration time) {
  if (bytes == 0) return;
  const double takes = static_cast<double>(time.count()) * kMebibyte / static_cast<double>(bytes);
  const double slowest = static_cast<double>(kSlowest.count());
  per_mebibyte_.add(Duration(static_cast<Duration::rep>(std::clamp(takes, 0.0, slowest))));
}

Duration Rate::expected(std::uint64_t bytes, Duration cap) const {
  if (per_mebibyte_.count() == 0) return cap;
  const auto per_mebibyte = static_cast<double>(per_mebibyte_.expected(Duration::max()).count());
  const double takes = per_mebibyte * (static_cast<double>(bytes) / kMebibyte);
  return takes < static_cast<double>(cap.count()) ? Duration(static_cast<Duration::rep>(takes))
                                                  : cap;
}

/// Not before the next tick of a shell.
void Inquiry::ask(TimePoint now) {
  since_ = asked_at_ = now;
  patience_ =
      std::max<Duration>(times_.expected(limits::kRepeatInterval), limits::kUnitReportInterval);
}

void Inquiry::ask_again(TimePoint now) {
  asked_at_ = now;
  patience_ = std::min<Duration>(2 * patience_, limits::kRepeatInterval);
}

}  // namespace coshard::round
