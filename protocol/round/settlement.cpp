// What is owed after a commit: see settlement.h.
// SPDX-License-Identifier: Apache-2.0
#include "protocol/round/settlement.h"

#include <algorithm>

#include "protocol/base/check.h"

namespace coshard::round {
namespace {

constexpr std::size_t kRecentSteps = 2;

std::string disagree(const NodeId& a, const NodeId& b, StageIndex stage, StepId step,
                     const char* what) {
  return "nodes " + a.short_hex() + " and " + b.short_hex() + " disagree about the " + what +
         " of stage " + std::to_string(stage.value) + " after step " + std::to_string(step.value);
}

}  // namespace

void Settlement::committed(const StepRecord& record) {
  COSHARD_CHECK(steps_.empty() || steps_.back().record.step() < record.step());
  Owed owed{record, record.ends_ledger_epoch, {}};
  owed.digests.resize(stages_);
  steps_.push_back(std::move(owed));
  if (record.checkpoint) expect_checkpoint(record.step());
}

void Settlement::agreed(StepId step, const std::vector<Fingerprint>& digests) {
  for (Owed& owed : steps_)
    if (owed.record.step() == step && digests.size() == stages_) owed.agreed = digests;
}

std::optional<std::vector<Fingerprint>> Settlement::agreement(StepId step,
                                                              const StageMembers& members) const {
  const Owed* owed = find(step);
  if (owed == nullptr || !owed->agreed.empty() || !digests_in(*owed, members)) return std::nullopt;
  std::vector<Fingerprint> digests;
  for (const auto& stage : owed->digests) {
    if (stage.empty()) return std::nullopt;
    digests.push_back(stage.begin()->second);
  }
  return digests;
}

Entry Settlement::digest(const NodeId& node, const UpdateReport& report) {
  if (report.stage.value >= stages_) return Entry::kFalse;
  const auto owed = std::find_if(steps_.begin(), steps_.end(), [&](const Owed& candidate) {
    return candidate.record.step() == report.step;
  });
  if (owed == steps_.end()) return Entry::kStale;
  auto& digests = owed->digests[report.stage.value];
  if (!digests.empty() && digests.begin()->second != report.digest) {  // all there are the same
    conflict_ = disagree(digests.begin()->first, node, report.stage, report.step, "parameters");
    return Entry::kConflict;
  }
  if (digests.contains(node)) return Entry::kRepeated;
  digests[node] = report.digest;
  auto& recent = recent_[report.step];
  recent.resize(stages_);
  recent[report.stage.value] = report.digest;
  if (recent_.size() > kRecentSteps) recent_.erase(recent_.begin());
  return Entry::kEntered;
}

std::optional<Fingerprint> Settlement::digest_of(StepId step, StageIndex stage) const {
  const auto recent = recent_.find(step);
  return recent == recent_.end() ? std::nullopt : recent->second.at(stage.value);
}

bool Settlement::has_digest(StepId step, const NodeId& node) const {
  const Owed* owed = find(step);
  if (owed == nullptr || !works_on(step.next(), node)) return true;  // settled long ago
  return std::any_of(owed->digests.begin(), owed->digests.end(),
                     [&](const auto& stage) { return stage.contains(node); });
}

bool Settlement::digests_in(const StageMembers& members) const {
  return std::all_of(steps_.begin(), steps_.end(),
                     [&](const Owed& owed) { return digests_in(owed, members); });
}

void Settlement::expect_checkpoint(StepId step) { checkpoints_[step].reports.resize(stages_); }

Entry Settlement::checkpoint(const NodeId& node, const CheckpointReport& report) {
  if (report.stage.value >= stages_) return Entry::kFalse;
  const auto saving = checkpoints_.find(report.step);
  if (saving == checkpoints_.end()) return Entry::kStale;
  auto& reports = saving->second.reports[report.stage.value];
  for (const auto& [other, said] : reports) {
    if (other == node) return Entry::kRepeated;
    if (said.error.empty() && report.error.empty() && said.file_hash != report.file_hash) {
      conflict_ = disagree(other, node, report.stage, report.step, "checkpoint");
      return Entry::kConflict;
    }
  }
  reports[node] = report;
  return Entry::kEntered;
}

bool Settlement::has_checkpoint(StepId step, const NodeId& node) const {
  const auto saving = checkpoints_.find(step);
  if (saving == checkpoints_.end() || !works_on(step, node)) return true;
  return std::any_of(saving->second.reports.begin(), saving->second.reports.end(),
                     [&](const auto& stage) { return stage.contains(node); });
}

bool Settlement::awaits(const NodeId& node) const {
  return std::any_of(checkpoints_.begin(), checkpoints_.end(),
                     [&](const auto& saving) { return !has_checkpoint(saving.first, node); });
}

std::optional<CheckpointRecord> Settlement::take_checkpoint(const StageMembers& members) {
  for (auto saving = checkpoints_.rbegin(); saving != checkpoints_.rend(); ++saving) {
    if (!answered(saving->first, saving->second, members)) continue;
    CheckpointRecord record{saving->first, {}};
    for (const auto& stage : saving->second.reports)
      for (const auto& [node, report] : stage)
        if (report.error.empty()) {
          record.stages.push_back({report.file_hash, report.bytes});
          break;
        }
    if (record.stages.size() < stages_) continue;  // a stage has no file: it will never be complete
    checkpoints_.erase(checkpoints_.begin(), checkpoints_.upper_bound(record.step));
    return record;
  }
  return std::nullopt;
}

bool Settlement::checkpoints_in(const StageMembers& members) const {
  return std::all_of(checkpoints_.begin(), checkpoints_.end(), [&](const auto& saving) {
    return answered(saving.first, saving.second, members);
  });
}

std::vector<SettledStep> Settlement::take_epoch(const StageMembers& members, bool now_or_never) {
  const auto last =
      std::find_if(steps_.begin(), steps_.end(), [](const Owed& owed) { return owed.ends_epoch; });
  if (last == steps_.end()) return {};
  const auto end = std::next(last);
  const bool ready =
      std::all_of(steps_.begin(), end, [&](const Owed& owed) { return digests_in(owed, members); });
  if (!ready && !now_or_never) return {};
  std::vector<SettledStep> settled;
  for (auto owed = steps_.begin(); owed != end; ++owed) {
    SettledStep step{std::move(owed->record), {}};
    step.digests.assign(owed->agreed.begin(), owed->agreed.end());
    if (owed->agreed.empty())
      for (const auto& stage : owed->digests)
        step.digests.push_back(stage.empty() ? std::nullopt : std::optional(stage.begin()->second));
    settled.push_back(std::move(step));
  }
  steps_.erase(steps_.begin(), end);
  return settled;
}

void Settlement::end_epoch() {
  if (!steps_.empty()) steps_.back().ends_epoch = true;
}

const Settlement::Owed* Settlement::find(StepId step) const {
  for (const auto& owed : steps_)
    if (owed.record.step() == step) return &owed;
  return nullptr;
}

bool Settlement::digests_in(const Owed& owed, const StageMembers& members) const {
  if (!owed.agreed.empty()) return true;
  for (std::uint32_t stage = 0; stage < stages_; ++stage)
    for (const auto& node : members[stage])
      if (!owed.digests[stage].contains(node) && works_on(owed.record.step().next(), node))
        return false;
  return true;
}

bool Settlement::works_on(StepId step, const NodeId& node) const {
  const auto first = first_step_.find(node);
  return first == first_step_.end() || first->second <= step;
}

bool Settlement::answered(StepId step, const Saving& saving, const StageMembers& members) const {
  for (std::uint32_t stage = 0; stage < stages_; ++stage)
    for (const auto& node : members[stage])
      if (!saving.reports[stage].contains(node) && works_on(step, node)) return false;
  return true;
}

}  // namespace coshard::round
