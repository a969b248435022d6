// See relief.h.
// SPDX-License-Identifier: Apache-2.0
#include "protocol/round/relief.h"

#include <algorithm>
#include <map>
#include <tuple>

#include "protocol/base/limits.h"
#include "protocol/round/pace.h"

namespace coshard::round {
namespace {

/// A unit is handed over where that halves the time until it is done, since times are estimates,
/// and where it saves more than asking and telling takes.
constexpr double kGain = 2;
const double kCost = seconds(limits::kSurveyInterval);

/// A backward takes about twice its forward (methods: FLOPs of a transformer layer).
constexpr double kForwardShare = 1.0 / 3;

/// Of one unit, what its node has still to do.
double share_left(const HeldUnit& unit) {
  if (unit.progress == UnitProgress::kDone) return 0;
  return unit.progress < UnitProgress::kOutput ? 1 : 1 - kForwardShare;
}

bool can_be_given_back(const HeldUnit& unit, bool last_stage) {
  const bool begun = unit.progress >= UnitProgress::kForward;
  return unit.counts && unit.progress >= UnitProgress::kInput &&
         unit.progress < UnitProgress::kBackward && !(begun && last_stage);
}

struct Replica {
  const Witness* witness = nullptr;
  Worker worker;
  std::vector<const HeldUnit*> spare;  ///< that it can give back, the least advanced last
};

Replica describe(const Witness& witness, double typical, bool last_stage) {
  Replica replica{&witness, {}, {}};
  const double rate = witness.units_per_second;
  replica.worker.seconds = rate > 0 ? 1 / rate : typical;
  for (const HeldUnit& unit : witness.holdings->units) {
    replica.worker.free_in += share_left(unit) * replica.worker.seconds;
    if (rate > 0 && can_be_given_back(unit, last_stage)) replica.spare.push_back(&unit);
  }
  std::ranges::sort(replica.spare, std::greater{}, [](const HeldUnit* unit) {
    return std::pair(unit->progress, MicrobatchIndex(~unit->microbatch.value));
  });
  return replica;
}

void relieve_stage(std::vector<Replica> replicas, std::vector<Relief>& reliefs) {
  if (replicas.size() < 2) return;
  const auto ends = [](const Replica& replica) { return replica.worker.free_in; };
  const auto takes_one = [](const Replica& replica) { return replica.worker.done_in(1); };
  for (;;) {
    const auto slowest = std::ranges::max_element(replicas, {}, ends);
    const auto soonest = std::ranges::min_element(replicas, {}, takes_one);
    const double otherwise = takes_one(*soonest);
    if (slowest == soonest || slowest->spare.empty()) return;
    if (ends(*slowest) < kGain * otherwise || ends(*slowest) < otherwise + kCost) return;
    const HeldUnit& unit = *slowest->spare.back();
    slowest->spare.pop_back();
    reliefs.push_back({slowest->witness->node, unit.microbatch, unit.attempt});
    slowest->worker.free_in -= share_left(unit) * slowest->worker.seconds;
    soonest->worker.free_in += soonest->worker.seconds;
  }
}

}  // namespace

std::vector<Relief> plan_relief(const std::vector<Witness>& live) {
  std::map<StageIndex, std::vector<const Witness*>> stages;
  for (const Witness& witness : live) stages[witness.stage].push_back(&witness);
  std::vector<Relief> reliefs;
  for (const auto& [stage, witnesses] : stages) {
    double sum = 0;
    int known = 0;
    for (const Witness* witness : witnesses)
      if (witness->units_per_second > 0) {
        sum += 1 / witness->units_per_second;
        ++known;
      }
    if (known == 0) continue;
    std::vector<Replica> replicas;
    for (const Witness* witness : witnesses)
      replicas.push_back(describe(*witness, sum / known, stage == stages.rbegin()->first));
    relieve_stage(std::move(replicas), reliefs);
  }
  return reliefs;
}

}  // namespace coshard::round
