// The book of one step: see step.h.
// SPDX-License-Identifier: Apache-2.0
#include "protocol/round/step.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <utility>

#include "protocol/base/check.h"

namespace coshard::round {
namespace {

/// Equality of what was said, bit for bit: a repeated NaN is a repetition.
bool same_bits(const std::vector<double>& a, const std::vector<double>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](double x, double y) {
    return std::bit_cast<std::uint64_t>(x) == std::bit_cast<std::uint64_t>(y);
  });
}

}  // namespace

StepBook::StepBook(StepId step, const RoundShape& shape, TimePoint opened)
    : step_(step),
      shape_(shape),
      opened_(opened),
      pages_(shape.stages),
      attempts_(shape.microbatches) {
  for (auto& page : pages_) page.units.resize(shape.microbatches);
}

std::vector<GrantedMicrobatch> StepBook::grant(const NodeId& node, std::uint32_t slots_total) {
  auto& units = pages_[0].units;
  auto own = static_cast<std::uint32_t>(std::count_if(
      units.begin(), units.end(), [&](const Unit& unit) { return unit.assigned == node; }));
  for (Unit& unit : units) {
    if (own >= slots_total) break;
    if (unit.assigned) continue;
    unit.assigned = node;
    unit.done.attempt = attempts_[static_cast<std::size_t>(&unit - units.data())];
    ++own;
  }
  std::vector<GrantedMicrobatch> granted;
  for (std::uint32_t m = 0; m < shape_.microbatches; ++m)
    if (units[m].assigned == node && !units[m].ordered)
      granted.push_back({MicrobatchIndex(m), units[m].done.attempt});
  return granted;
}

std::uint32_t StepBook::ungranted() const {
  const auto& units = pages_[0].units;
  return static_cast<std::uint32_t>(std::count_if(
      units.begin(), units.end(), [](const Unit& unit) { return !unit.assigned && !unit.node; }));
}

std::map<NodeId, StepBook::Load> StepBook::loads() const {
  std::map<NodeId, Load> loads;
  for (const Unit& unit : pages_[0].units) {
    if (!unit.assigned) continue;
    Load& load = loads[*unit.assigned];
    ++load.given;
    load.open += unit.node ? 0 : 1;
  }
  return loads;
}

Entry StepBook::done(StageIndex stage, const NodeId& node, const UnitDone& done) {
  const std::uint32_t m = done.microbatch.value;
  if (stage.value >= shape_.stages || m >= shape_.microbatches) return Entry::kFalse;
  if (shape_.tokens_per_microbatch != 0 && done.tokens != shape_.tokens_per_microbatch)
    return Entry::kFalse;
  if (done.attempt > attempts_[m]) return Entry::kFalse;
  Page& page = pages_[stage.value];
  Unit& unit = page.units[m];
  if (unit.node) return *unit.node == node ? Entry::kRepeated : Entry::kConflict;
  if (unit.assigned ? *unit.assigned != node : stage.value == 0) return Entry::kFalse;
  COSHARD_CHECK(!page.closed);
  unit.node = node;
  unit.done = done;
  ++page.done;
  spoilt_ |= !std::isfinite(done.loss_sum);
  return Entry::kEntered;
}

void StepBook::lose(StageIndex stage, const NodeId& node) {
  Page& page = pages_.at(stage.value);
  if (page.closed) {
    std::erase(page.replicas, node);
    page.averages.erase(node);
    page.in_doubt = true;
    return;
  }
  for (Unit& unit : page.units) {
    if (unit.node != node) continue;
    unit.node.reset();
    --page.done;
  }
}

void StepBook::settle(StageIndex stage, const std::vector<NodeId>& holders) {
  Page& page = pages_.at(stage.value);
  if (!page.closed || !std::exchange(page.in_doubt, false)) return;
  page.closed->holders = holders;
  for (const auto& [node, report] : page.averages)
    if (std::find(holders.begin(), holders.end(), node) == holders.end())
      page.closed->holders.push_back(node);
  if (!page.closed->holders.empty()) return;
  page.averaging = page.closed->attempt.next();
  page.closed.reset();
  page.averages.clear();
  for (Unit& unit : page.units) {
    const auto& live = page.replicas;
    if (!unit.node || std::find(live.begin(), live.end(), *unit.node) != live.end()) continue;
    unit.node.reset();
    --page.done;
  }
}

void StepBook::repair(const RepairPlan& plan) {
  attempts_ = plan.attempts;
  ordered_ = plan.ordered;
  spoilt_ |= plan.blanks > 0;
  const auto reopen = [this](StageIndex stage, MicrobatchIndex microbatch) -> Unit& {
    Unit& unit = pages_.at(stage.value).units.at(microbatch.value);
    COSHARD_CHECK(!unit.node);
    unit = Unit{};
    return unit;
  };
  for (const auto& [stage, microbatch] : plan.opened) reopen(stage, microbatch);
  for (const auto& given : plan.counted) {
    Unit& unit = reopen(given.stage, given.microbatch);
    unit.assigned = given.node;
    unit.ordered = true;
  }
  for (const MicrobatchIndex microbatch : plan.grant_anew) reopen(StageIndex(0), microbatch);
}

bool StepBook::is_done(StageIndex stage, MicrobatchIndex microbatch) const {
  return page(stage).units.at(microbatch.value).node.has_value();
}

std::optional<NodeId> StepBook::holder(StageIndex stage, MicrobatchIndex microbatch) const {
  const Unit& unit = page(stage).units.at(microbatch.value);
  return unit.node ? unit.node : unit.assigned;
}

bool StepBook::complete(StageIndex stage) const { return page(stage).done == shape_.microbatches; }

const StageClosed& StepBook::close(StageIndex stage, std::vector<NodeId> replicas,
                                   std::vector<NodeId> joiners) {
  COSHARD_CHECK(complete(stage) && phase(stage) == StagePhase::kWorking);
  COSHARD_CHECK(!replicas.empty());
  Page& page = pages_[stage.value];
  StageClosed closed{
      step_, stage, page.averaging, tokens(stage), {}, std::move(replicas), std::move(joiners)};
  std::uint32_t counted = 0;
  for (const auto& node : closed.reducers) {
    Contribution contribution{node, {}};
    for (std::uint32_t m = 0; m < shape_.microbatches; ++m)
      if (page.units[m].node == node) contribution.microbatches.push_back(MicrobatchIndex(m));
    counted += static_cast<std::uint32_t>(contribution.microbatches.size());
    if (!contribution.microbatches.empty()) closed.contributions.push_back(contribution);
  }
  COSHARD_CHECK_OP(counted, ==, shape_.microbatches);
  page.replicas = closed.reducers;
  page.closed = std::move(closed);
  return *page.closed;
}

Entry StepBook::averaged(const NodeId& node, const AverageReport& report) {
  if (report.stage.value >= shape_.stages) return Entry::kFalse;
  Page& page = pages_[report.stage.value];
  // Reopened since, for a loss: what was averaged before is of no use.
  if (!page.closed) return report.attempt < page.averaging ? Entry::kStale : Entry::kFalse;
  if (report.attempt != page.closed->attempt) return Entry::kStale;
  const auto& replicas = page.replicas;
  if (std::find(replicas.begin(), replicas.end(), node) == replicas.end()) return Entry::kFalse;
  if (!page.averages.empty()) {  // all that stand there are the same
    const AverageReport& said = page.averages.begin()->second;
    const bool same = said.average_hash == report.average_hash &&
                      same_bits(said.squared_norms, report.squared_norms);
    if (!same) return Entry::kConflict;
  }
  if (page.averages.contains(node)) return Entry::kRepeated;
  page.averages[node] = report;
  return Entry::kEntered;
}

StagePhase StepBook::phase(StageIndex stage) const {
  const Page& at = page(stage);
  if (!at.closed) return StagePhase::kWorking;
  return at.averages.size() == at.replicas.size() ? StagePhase::kAveraged : StagePhase::kAveraging;
}

const StageClosed* StepBook::closed(StageIndex stage) const {
  const Page& at = page(stage);
  return at.closed ? &*at.closed : nullptr;
}

bool StepBook::has_averaged(StageIndex stage, const NodeId& node) const {
  return page(stage).averages.contains(node);
}

bool StepBook::all_averaged() const {
  for (std::uint32_t stage = 0; stage < shape_.stages; ++stage)
    if (phase(StageIndex(stage)) != StagePhase::kAveraged) return false;
  return true;
}

std::uint32_t StepBook::units_done() const {
  std::uint32_t done = 0;
  for (const auto& page : pages_) done += page.done;
  return done;
}

std::uint32_t StepBook::units_done_by(const NodeId& node) const {
  std::uint32_t done = 0;
  for (const auto& page : pages_)
    for (const auto& unit : page.units) done += unit.node == node ? 1 : 0;
  return done;
}

double StepBook::loss_sum() const {
  if (spoilt_) return std::numeric_limits<double>::quiet_NaN();
  double sum = 0;
  for (const auto& unit : pages_.back().units) sum += unit.done.loss_sum;
  return sum;
}

std::uint64_t StepBook::tokens(StageIndex stage) const {
  std::uint64_t sum = 0;
  for (const auto& unit : page(stage).units) sum += unit.done.tokens;
  return sum;
}

std::vector<std::vector<double>> StepBook::squared_norms() const {
  std::vector<std::vector<double>> norms;
  for (const auto& page : pages_) norms.push_back(page.averages.begin()->second.squared_norms);
  return norms;
}

std::vector<UnitRecord> StepBook::units() const {
  std::vector<UnitRecord> units;
  for (std::uint32_t stage = 0; stage < shape_.stages; ++stage)
    for (std::uint32_t m = 0; m < shape_.microbatches; ++m) {
      const Unit& unit = pages_[stage].units[m];
      units.push_back(
          {StageIndex(stage), MicrobatchIndex(m), unit.done.attempt, unit.node.value()});
    }
  return units;
}

}  // namespace coshard::round
