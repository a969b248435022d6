// See rebalance.h.
// SPDX-License-Identifier: Apache-2.0
#include "protocol/round/rebalance.h"

#include <algorithm>
#include <numeric>

#include "protocol/base/limits.h"

namespace coshard::round {
namespace {

constexpr double kGain = 1.25;

double mean_of_known(const StageRates& rates, double otherwise) {
  double sum = 0;
  int known = 0;
  for (const double rate : rates) {
    sum += rate;
    known += rate > 0 ? 1 : 0;
  }
  return known > 0 ? sum / known : otherwise;
}

}  // namespace

std::optional<Move> best_move(const std::vector<StageRates>& stages) {
  StageRates all;
  for (const StageRates& rates : stages) all.insert(all.end(), rates.begin(), rates.end());
  const double anywhere = mean_of_known(all, 1);
  std::vector<double> typical, strength;
  std::vector<StageRates> rates = stages;
  for (StageRates& stage : rates) {
    typical.push_back(mean_of_known(stage, anywhere));
    for (double& rate : stage) rate = rate > 0 ? rate : typical.back();
    strength.push_back(std::accumulate(stage.begin(), stage.end(), 0.0));
  }
  const auto poor = std::ranges::min_element(strength);
  const auto to = static_cast<std::size_t>(poor - strength.begin());
  double best = kGain * *poor;
  std::optional<Move> move;
  for (std::size_t from = 0; from < rates.size(); ++from) {
    if (from == to || rates[from].size() < 2) continue;
    for (std::size_t replica = 0; replica < rates[from].size(); ++replica) {
      std::vector<double> then = strength;
      then[from] -= rates[from][replica];
      then[to] += typical[to] * rates[from][replica] / typical[from];
      const double weakest = *std::ranges::min_element(then);
      if (weakest < best || (move && weakest == best)) continue;
      best = weakest;
      move = Move{StageIndex(static_cast<std::uint32_t>(from)), static_cast<std::uint32_t>(replica),
                  StageIndex(static_cast<std::uint32_t>(to))};
    }
  }
  return move;
}

bool Hysteresis::step(const std::optional<Move>& best, TimePoint now) {
  if (rest_ > 0) --rest_;
  const bool same = best && wanted_ && best->from == wanted_->from && best->to == wanted_->to;
  if (!same) {
    wanted_since_ = now;
    wanted_for_ = 0;
  }
  wanted_for_ += best ? 1 : 0;
  wanted_ = best;
  if (wanted_for_ < limits::kMoveAfterSteps || now - wanted_since_ < patience_ || rest_ > 0)
    return false;
  rest_ = limits::kMovePauseSteps;
  wanted_.reset();
  wanted_for_ = 0;
  return true;
}

}  // namespace coshard::round
