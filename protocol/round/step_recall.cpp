// The book of a step that a coordinator takes over in the middle: written anew from what the
// members say they hold. What nobody says is free: it was granted or ordered by a word that nobody
// heard, and nobody obeys that word any more. See step.h.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <set>
#include <tuple>

#include "protocol/base/check.h"
#include "protocol/base/limits.h"
#include "protocol/round/step.h"

namespace coshard::round {
namespace {

/// No honest round comes near; the next ones still fit a message.
constexpr Attempt kAttemptsRecalled{limits::kAttemptsMax / 2};

/// A unit of one microbatch: under which attempt, at which stage.
using Place = std::tuple<StageIndex, MicrobatchIndex, Attempt>;

/// What was sent without an order its receiver has, or will have. What an order named may never
/// have been taken, and is void then: unless its node says that it holds it, it is not there.
OrderedUnits ordered_among(const std::map<NodeId, Holdings>& held) {
  std::set<Place> sent;
  for (const auto& [node, holdings] : held)
    for (const HeldUnit& unit : holdings.units)
      if (unit.to.node != NodeId{} && !unit.to_ordered)
        sent.insert({holdings.stage.next(), unit.microbatch, unit.to.attempt});
  OrderedUnits ordered;
  const auto note = [&](const Place& place, Redo redo) {
    if (!sent.contains(place)) ordered.emplace(place, redo);
  };
  for (const auto& [node, holdings] : held)
    for (const HeldUnit& unit : holdings.units)
      if (!unit.counts)  // more than the forward is not promised
        note({holdings.stage, unit.microbatch, unit.attempt}, Redo::kForward);
  for (const auto& [node, holdings] : held)
    for (const HeldUnit& unit : holdings.units) {
      if (unit.to_ordered)
        note({holdings.stage.next(), unit.microbatch, unit.to.attempt}, Redo::kCount);
      if (unit.from_ordered && holdings.stage.value > 0)
        note({StageIndex(holdings.stage.value - 1), unit.microbatch, unit.from.attempt},
             Redo::kCount);
    }
  return ordered;
}

}  // namespace

std::optional<StepBook::Misfit> StepBook::recall(const std::map<NodeId, Holdings>& held) {
  COSHARD_CHECK(units_done() == 0);
  for (const auto& [node, holdings] : held) {
    if (holdings.averaging > kAttemptsRecalled)
      return Misfit{node, "names an averaging attempt that cannot be"};
    Page& page = pages_.at(holdings.stage.value);
    page.averaging = std::max(page.averaging, holdings.averaging.next());
    for (const HeldUnit& unit : holdings.units)
      if (auto misfit = recall(node, holdings, unit)) return misfit;
  }
  // Others than stage 0 do what comes to them; nobody has to be the one that is expected.
  for (std::size_t stage = 1; stage < pages_.size(); ++stage)
    for (Unit& unit : pages_[stage].units) unit.assigned.reset();
  ordered_ = ordered_among(held);
  return std::nullopt;
}

/// A microbatch is in one sum of its stage, or on its way into one.
std::optional<StepBook::Misfit> StepBook::recall(const NodeId& node, const Holdings& held,
                                                 const HeldUnit& unit) {
  const std::uint32_t m = unit.microbatch.value;
  const auto misfit = [&](const char* what) {
    return Misfit{node, "holds microbatch " + std::to_string(m) + what};
  };
  const Attempt highest = std::max({unit.attempt, unit.from.attempt, unit.to.attempt});
  if (m >= shape_.microbatches || highest > kAttemptsRecalled) return misfit(", which cannot be");
  attempts_[m] = std::max(attempts_[m], highest);
  spoilt_ |= !std::isfinite(unit.loss_sum);
  if (!unit.counts) return std::nullopt;
  Page& page = pages_.at(held.stage.value);
  Unit& entry = page.units[m];
  if (entry.assigned) return misfit(", as another node does");
  entry.assigned = node;
  entry.done = {unit.microbatch, unit.attempt, unit.tokens, unit.loss_sum};
  if (unit.progress != UnitProgress::kDone) return std::nullopt;
  const std::uint64_t tokens = shape_.tokens_per_microbatch;
  if (tokens != 0 && unit.tokens != tokens) return misfit(" with a false token count");
  entry.node = node;
  ++page.done;
  return std::nullopt;
}

}  // namespace coshard::round
