// Who moves where: against all moves tried out, and the patience before one.
// SPDX-License-Identifier: Apache-2.0
#include "protocol/round/rebalance.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "protocol/base/limits.h"
#include "protocol/base/rng.h"

namespace coshard::round {
namespace {

TEST(Rebalance, AReplicaGoesWhereOneIsMissing) {
  const auto move = best_move({{1, 1, 1}, {1}});
  ASSERT_TRUE(move.has_value());
  EXPECT_EQ(move->from, StageIndex(0));
  EXPECT_EQ(move->to, StageIndex(1));
  EXPECT_EQ(best_move({{0, 0, 0}, {0}})->to, StageIndex(1)) << "rates are not needed";
}

TEST(Rebalance, NothingMovesWhereThatWouldNotHelpMuch) {
  EXPECT_FALSE(best_move({{1, 1}, {1}}).has_value()) << "it would only turn the stages around";
  EXPECT_FALSE(best_move({{1, 1}, {1, 1}}).has_value());
  EXPECT_FALSE(best_move({{4}, {1, 1}}).has_value()) << "the only one stays";
  EXPECT_FALSE(best_move({{10, 10, 1}, {10, 1}}).has_value()) << "a tenth is not worth a copy";
  EXPECT_FALSE(best_move({{5}, {5}}).has_value());
}

TEST(Rebalance, TheReplicaThatHelpsMostGoes) {
  const auto move = best_move({{10, 10, 10, 1}, {10}});
  ASSERT_TRUE(move.has_value());
  EXPECT_NE(move->replica, 3U) << "the slow one would help little";
  EXPECT_EQ(best_move({{8, 8}, {1}, {4, 4, 4}})->to, StageIndex(1)) << "the weakest gets it";
}

/// Where all rates are known and a unit is the same everywhere: no other move leaves a stronger
/// weakest stage.
TEST(Rebalance, NoOtherMoveIsBetter) {
  int moves = 0;
  for (std::uint64_t seed = 1; seed <= 2000; ++seed) {
    Rng rng(seed, 3);
    std::vector<StageRates> stages(2 + rng.below(3));
    for (StageRates& stage : stages) stage.assign(1 + rng.below(4), 2.0);
    const auto weakest = [](const std::vector<StageRates>& at) {
      double least = 1e300;
      for (const auto& stage : at)
        least = std::min(least, std::accumulate(stage.begin(), stage.end(), 0.0));
      return least;
    };
    double best = weakest(stages);
    for (std::size_t from = 0; from < stages.size(); ++from)
      for (std::size_t to = 0; to < stages.size(); ++to) {
        if (from == to || stages[from].size() < 2) continue;
        std::vector<StageRates> then = stages;
        then[from].pop_back();
        then[to].push_back(2.0);
        best = std::max(best, weakest(then));
      }
    const auto move = best_move(stages);
    std::vector<StageRates> then = stages;
    if (move) {
      ++moves;
      then[move->from.value].pop_back();
      then[move->to.value].push_back(2.0);
    }
    EXPECT_EQ(weakest(then), best) << "seed " << seed;
  }
  EXPECT_GT(moves, 100);
}

TEST(Hysteresis, AMoveIsWantedForSomeStepsAndTimeAndNotSoonAfterAnother) {
  using std::chrono::seconds;
  Hysteresis hysteresis(seconds(30));
  TimePoint now{};
  const Move move{StageIndex(0), 2, StageIndex(1)}, other{StageIndex(2), 0, StageIndex(1)};
  const auto steps_until = [&](const Move& wanted, Duration step) {
    std::uint32_t steps = 1;
    for (; !hysteresis.step(wanted, now); now += step) ++steps;
    return steps;
  };
  EXPECT_EQ(steps_until(move, seconds(1)), 31U) << "30 seconds";
  EXPECT_EQ(steps_until(move, seconds(10)), limits::kMovePauseSteps) << "the pause";
  for (std::uint32_t i = 0; i < limits::kMovePauseSteps; ++i) hysteresis.step(std::nullopt, now);
  for (std::uint32_t i = 1; i < limits::kMoveAfterSteps; ++i, now += seconds(10))
    EXPECT_FALSE(hysteresis.step(move, now));
  EXPECT_FALSE(hysteresis.step(std::nullopt, now)) << "somebody came";
  EXPECT_EQ(steps_until(other, seconds(10)), limits::kMoveAfterSteps) << "from the start";
}

}  // namespace
}  // namespace coshard::round
