// Who had better take the next unit: against every division of the units there is, and against what
// measured workers really take.
// SPDX-License-Identifier: Apache-2.0
#include "protocol/round/pace.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "protocol/base/rng.h"

namespace coshard::round {
namespace {

using std::chrono_literals::operator""ms;
using std::chrono_literals::operator""s;
constexpr TimePoint kStart{};

/// The end of the best division of `units` among workers [first, …): by trying all.
double best_division(const std::vector<Worker>& workers, std::size_t first, std::uint32_t units) {
  const auto end = [&](std::uint32_t k) { return k == 0 ? 0 : workers[first].done_in(k); };
  if (first + 1 == workers.size()) return end(units);
  double best = 1e300;
  for (std::uint32_t k = 0; k <= units; ++k)
    best = std::min(best, std::max(end(k), best_division(workers, first + 1, units - k)));
  return best;
}

std::vector<Worker> random_workers(Rng& rng) {
  std::vector<Worker> workers(1 + rng.below(4));
  for (Worker& worker : workers) {
    worker.seconds = rng.below(4) == 0 ? 10 : 0.5 + rng.unit();
    worker.free_in = rng.below(2) == 0 ? 0 : 3 * rng.unit();
  }
  return workers;
}

TEST(Pace, NoDivisionOfTheUnitsIsThroughSooner) {
  for (std::uint64_t seed = 1; seed <= 2000; ++seed) {
    Rng rng(seed, 1);
    const auto workers = random_workers(rng);
    const auto units = static_cast<std::uint32_t>(rng.below(9));
    EXPECT_NEAR(finish_in(workers, units), best_division(workers, 0, units), 1e-9)
        << "seed " << seed;
  }
}

/// Whoever takes only what is worth it ends within the tolerance of the best division, and somebody
/// always takes the next one.
TEST(Pace, TakingWhatIsWorthItEndsWithTheBestDivision) {
  for (std::uint64_t seed = 1; seed <= 2000; ++seed) {
    Rng rng(seed, 2);
    auto workers = random_workers(rng);
    auto units = 1 + static_cast<std::uint32_t>(rng.below(8));
    const double best = best_division(workers, 0, units);
    double last = 0;
    while (units > 0) {
      std::size_t tried = 0, at = rng.below(workers.size());
      for (; !is_worth_it(workers[at], workers, units); at = (at + 1) % workers.size())
        ASSERT_LT(tried++, workers.size()) << "seed " << seed << ": nobody takes it";
      workers[at].free_in = workers[at].done_in(1);
      last = std::max(last, workers[at].free_in);
      --units;
    }
    EXPECT_LE(last, 1.1 * 1.1 * best + 1e-9) << "seed " << seed;
  }
}

TEST(Pace, ASlowWorkerIsLeftIdleAtTheEndOnly) {
  const std::vector<Worker> workers{{1, 0}, {1, 0}, {10, 0}};
  EXPECT_TRUE(is_worth_it(workers[2], workers, 42));
  EXPECT_FALSE(is_worth_it(workers[2], workers, 12));
  EXPECT_TRUE(is_worth_it(workers[0], workers, 1));
}

TEST(Pace, MeasuresHowLongAWorkerIsBusyForAllThatHeDoes) {
  Pace pace;
  EXPECT_FALSE(pace.seconds());
  pace.holds(3, kStart);
  pace.ends(1, kStart + 2s);  // a pipeline: the first takes longer, the others overlap
  EXPECT_DOUBLE_EQ(*pace.seconds(), 2);
  pace.holds(3, kStart + 2s);
  pace.ends(2, kStart + 4s);
  pace.ends(1, kStart + 5s);
  EXPECT_DOUBLE_EQ(*pace.seconds(), 1.25);
  EXPECT_EQ(pace.held(), 0U);
  pace.holds(1, kStart + 60s);  // what he was idle for does not count
  pace.ends(1, kStart + 61s);
  EXPECT_DOUBLE_EQ(*pace.seconds(), 1.25 + 0.3 * (1 - 1.25));
}

TEST(Pace, WhoShouldHaveBeenThroughIsSlowerThanMeasured) {
  Pace pace;
  pace.holds(2, kStart);
  EXPECT_NEAR(pace.worker(1, kStart + 500ms).free_in, 1.5, 1e-9);
  EXPECT_NEAR(pace.worker(1, kStart + 500ms).seconds, 1, 1e-9);
  EXPECT_NEAR(pace.worker(1, kStart + 8s).seconds, 4, 1e-9);
  EXPECT_NEAR(pace.worker(1, kStart + 8s).free_in, 0, 1e-9);
}

/// Steps without work until one who took 10 s, `times` over, is tried again beside one who takes 1
/// s.
int steps_until_tried(int times) {
  Pace pace;
  for (TimePoint now = kStart; times > 0; --times, now += 10s) {
    pace.holds(1, now);
    pace.ends(1, now + 10s);
  }
  int steps = 0;
  while (!is_worth_it({*pace.seconds(), 0}, std::vector<Worker>{{1, 0}, {*pace.seconds(), 0}}, 4)) {
    pace.rests();
    if (++steps == 100) break;
  }
  return steps;
}

TEST(Pace, WhoWasSlowIsTriedAgainOneDay) {
  EXPECT_GT(steps_until_tried(4), 20) << "not too soon: each time costs a step";
  EXPECT_LT(steps_until_tried(4), 100);
}

TEST(Pace, ASlowStartIsSoonForgotten) { EXPECT_LT(steps_until_tried(1), 10); }

}  // namespace
}  // namespace coshard::round
