// See pace.h.
// SPDX-License-Identifier: Apache-2.0
#include "protocol/round/pace.h"

#include <algorithm>
#include <queue>
#include <vector>

#include "protocol/base/check.h"

namespace coshard::round {
namespace {

constexpr double kNewestWeight = 0.3;  ///< of the newest sample in the moving average
constexpr double kSecondsMin = 1e-6;
constexpr double kTolerance = 1.1;  ///< measured times are not better than that
constexpr double kForgotten = 0.03;
/// So many samples make a measurement; fewer may have met a box that was just warming up.
constexpr std::uint32_t kSamples = 4;
constexpr double kForgottenSoon = 0.15;

}  // namespace

double finish_in(std::span<const Worker> workers, std::uint32_t units) {
  double last = 0;
  if (units == 0) return last;
  COSHARD_CHECK(!workers.empty());
  using Next = std::pair<double, const Worker*>;  // when he would be through with one more
  std::priority_queue<Next, std::vector<Next>, std::greater<>> queue;
  for (const Worker& worker : workers) queue.emplace(worker.done_in(1), &worker);
  for (; units > 0; --units) {
    const auto [done, worker] = queue.top();
    queue.pop();
    last = std::max(last, done);
    queue.emplace(done + worker->seconds, worker);
  }
  return last;
}

bool is_worth_it(const Worker& worker, std::span<const Worker> workers, std::uint32_t units,
                 double noise) {
  return worker.done_in(1) <= kTolerance * finish_in(workers, units) + noise;
}

void Pace::holds(std::uint32_t units, TimePoint now) {
  if (held_ == 0) busy_since_ = returned_at_ = now;
  if (units == 0) take_sample();
  held_ = units;
}

void Pace::relieved(std::uint32_t units, TimePoint now) {
  COSHARD_CHECK_OP(held_, >=, units);
  if (units == 0) return;
  const double so_far = coshard::seconds(now - returned_at_) / held_;
  measured_ = std::max(seconds().value_or(0), so_far);
  held_ -= units;
  done_ = 0;
  busy_since_ = returned_at_ = now;
}

void Pace::ends(std::uint32_t units, TimePoint now) {
  COSHARD_CHECK_OP(held_, >=, units);
  held_ -= units;
  done_ += units;
  returned_at_ = now;
  if (held_ == 0) take_sample();
}

void Pace::take_sample() {
  if (done_ == 0) return;
  const double sample = *running();
  measured_ = measured_ ? *measured_ + kNewestWeight * (sample - *measured_) : sample;
  done_ = 0;
  ++samples_;
}

void Pace::rests() {
  if (measured_) *measured_ *= 1 - (samples_ < kSamples ? kForgottenSoon : kForgotten);
}

std::optional<double> Pace::running() const {
  if (done_ == 0) return std::nullopt;
  return std::max(coshard::seconds(returned_at_ - busy_since_) / done_, kSecondsMin);
}

std::optional<double> Pace::seconds() const { return measured_ ? measured_ : running(); }

Worker Pace::worker(double seconds, TimePoint now) const {
  Worker worker{seconds, 0};
  if (held_ == 0) return worker;
  const double elapsed = coshard::seconds(now - returned_at_);
  worker.seconds = std::max(worker.seconds, elapsed / held_);
  worker.free_in = held_ * worker.seconds - elapsed;
  return worker;
}

}  // namespace coshard::round
