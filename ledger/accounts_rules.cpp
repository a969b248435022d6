// The rules of work and what it earns, one function per kind of entry: each judges first and
// changes state only when nothing can fail any more. Design 4.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "ledger/accounts.h"
#include "ledger/apportion.h"
#include "ledger/pricing.h"
#include "ledger/refusal.h"
#include "protocol/base/check.h"
#include "protocol/base/limits.h"

namespace coshard::ledger {
namespace {

using Status = EpochState::Status;

std::string name(LedgerEpoch epoch) { return "epoch " + std::to_string(epoch.value); }

bool covers(const EpochClose& close, StepId step) {
  return close.first_step <= step && step <= close.last_step;
}

}  // namespace

Result<void> Accounts::on(const Context& context, const Genesis& leaf) {
  COSHARD_TRY(check_genesis(leaf));
  if (context.author.bytes != leaf.coordinator || context.sequence != 1) {
    return fail(ErrorCode::kPermissionDenied,
                "the genesis entry is the coordinator's own and its first");
  }
  genesis_ = leaf;
  log_keys_ = {{leaf.log_key, 0, 0}};
  committed_step_ = covered_step_ = StepId(leaf.steps_before);
  totals_.cap = leaf.unit_cap;
  totals_.remaining = leaf.unit_cap;
  return {};
}

Result<EpochOpen> Accounts::next_epoch() const {
  if (!genesis_ || finished_) return refuse("the round has ended, or not begun");
  EpochOpen next;
  next.epoch = LedgerEpoch(epochs_.size() + open_.size());
  next.first_step = (open_.empty() ? committed_step_ : open_.back().last_step).next();
  if (next.first_step.value > genesis_->total_steps) return refuse("no step of the round is left");
  // Epochs end at multiples of their length, also after one that was cut short.
  const std::uint64_t length = genesis_->epoch_steps;
  const std::uint64_t end = ((next.first_step.value - 1) / length + 1) * length;
  next.last_step = StepId(std::min(end, genesis_->total_steps));
  next.emission = emitted_through(*genesis_, next.last_step) -
                  emitted_through(*genesis_, StepId(next.first_step.value - 1));
  return next;
}

Result<void> Accounts::on(const Context&, const EpochOpen& leaf) {
  COSHARD_ASSIGN(EpochOpen expected, next_epoch());
  expected.seed_commitment = leaf.seed_commitment;
  if (leaf != expected) {
    return refuse(name(expected.epoch) + " of steps " + std::to_string(expected.first_step.value) +
                  " to " + std::to_string(expected.last_step.value) + " emitting " +
                  std::to_string(expected.emission) + " units was expected");
  }
  open_.push_back({leaf.epoch, leaf.first_step, leaf.last_step, leaf.seed_commitment});
  return {};
}

/// The leaf's own arithmetic; that the file agrees with it is verify_units_file's part.
Result<void> Accounts::check_totals(const EpochClose& close) const {
  const std::uint64_t steps = close.last_step.value - close.first_step.value + 1;
  const std::uint64_t per_stage = steps * genesis_->microbatches;
  std::vector<std::uint64_t> counted(genesis_->stages(), 0);
  uint128_t units = 0;
  const NodeTotal* previous = nullptr;
  for (const NodeTotal& total : close.totals) {
    if (total.stage.value >= genesis_->stages() || find_node(total.node) == nullptr ||
        (previous != nullptr &&
         !(std::pair(previous->stage, previous->node) < std::pair(total.stage, total.node)))) {
      return refuse("totals are to be ascending, of stages of the model and registered nodes");
    }
    previous = &total;
    const uint128_t own = uint128_t{total.units} + total.repairs;
    if (own == 0 || total.units > per_stage || total.repairs > limits::kUnitsFileBytesMax ||
        own * genesis_->tokens_per_microbatch != total.tokens) {
      return refuse("totals of node " + total.node.short_hex() + " do not add up");
    }
    counted[total.stage.value] += total.units;
    units += own;
  }
  const bool all_counted = std::all_of(counted.begin(), counted.end(),
                                       [&](std::uint64_t one) { return one == per_stage; });
  if (!all_counted || units != close.units_count ||
      uint128_t{per_stage} * genesis_->tokens_per_microbatch != close.tokens) {
    return refuse("each stage is to count every microbatch of the epoch exactly once");
  }
  return {};
}

Result<void> Accounts::on(const Context& context, const EpochClose& leaf) {
  if (open_.empty() || leaf.epoch != open_.front().epoch ||
      leaf.first_step != open_.front().first_step || leaf.last_step < leaf.first_step ||
      leaf.last_step > open_.front().last_step || leaf.last_step < covered_step_) {
    return refuse(name(leaf.epoch) + " is not the one that is open, or has other steps");
  }
  COSHARD_TRY(check_totals(leaf));
  const bool cut_short = leaf.last_step < open_.front().last_step;
  EpochState state;
  state.close = leaf;
  state.index = context.index;
  state.seed_commitment = open_.front().seed_commitment;
  epochs_.push_back(std::move(state));
  committed_step_ = leaf.last_step;
  open_.erase(open_.begin());
  if (cut_short) open_.clear();  // announced for steps that did not come
  return {};
}

Result<void> Accounts::on(const Context& context, const WorkBatch& leaf) {
  const EpochState* epoch = find_epoch(leaf.epoch);
  if (epoch == nullptr || epoch->status == Status::kPending || epoch->status == Status::kPosted) {
    return refuse(name(leaf.epoch) + " takes no work batches: it is not closed, or settled");
  }
  const bool own = context.author == leaf.node;
  if (!own && context.author.bytes != genesis_->coordinator) {
    return fail(ErrorCode::kPermissionDenied, "a work batch is its node's own");
  }
  if (own && context.author.bytes != genesis_->coordinator &&
      context.sequence != work_batch_sequence(leaf.epoch, leaf.stage)) {
    return refuse("the sequence number of a node's batch follows from its epoch and stage");
  }
  const NodeTotal* total = epoch->find_total(leaf.stage, leaf.node);
  if (total == nullptr) {
    return refuse("node " + leaf.node.short_hex() + " has no committed unit of stage " +
                  std::to_string(leaf.stage.value) + " in " + name(leaf.epoch));
  }
  if (leaf.units != total->units || leaf.repairs != total->repairs ||
      leaf.tokens != total->tokens || leaf.flops != price(*genesis_, leaf.stage, leaf.tokens) ||
      leaf.countersigned > leaf.receipts) {
    return refuse("work batch of node " + leaf.node.short_hex() + " disagrees with " +
                  name(leaf.epoch) + ": " + std::to_string(total->units) + " units, " +
                  std::to_string(total->repairs) + " repairs and " + std::to_string(total->tokens) +
                  " tokens were committed, claimed are " + std::to_string(leaf.units) + ", " +
                  std::to_string(leaf.repairs) + " and " + std::to_string(leaf.tokens));
  }
  if (epoch->batches.contains({leaf.stage, leaf.node})) {
    return refuse("node " + leaf.node.short_hex() + " has a work batch for " + name(leaf.epoch));
  }
  epochs_[leaf.epoch.value].batches.insert({leaf.stage, leaf.node});
  return {};
}

/// An epoch's units. A step that was executed n times gives each execution one part in n; parts
/// are whole units that add up to the step's emission.
std::uint64_t Accounts::units_of(const EpochState& epoch) const {
  const EpochClose& close = epoch.close;
  std::vector<const EpochClose*> overlapping;  // this epoch, and others only after a rollback
  for (const EpochState& other : epochs_) {
    if (other.close.first_step <= close.last_step && close.first_step <= other.close.last_step) {
      overlapping.push_back(&other.close);
    }
  }
  std::uint64_t units = 0;
  for (StepId step = close.first_step; step <= close.last_step; step = step.next()) {
    std::uint64_t executions = 0;
    std::uint64_t place = 0;
    for (const EpochClose* other : overlapping) {
      if (!covers(*other, step)) continue;
      if (other->epoch == close.epoch) place = executions;
      ++executions;
    }
    const std::uint64_t whole = emission_of(*genesis_, step);
    units += scale(whole, place + 1, executions).value - scale(whole, place, executions).value;
  }
  return units;
}

Result<Credit> Accounts::credit_for(LedgerEpoch id) const {
  const EpochState* epoch = find_epoch(id);
  if (epoch == nullptr) return refuse(name(id) + " is not closed");
  if (finished_) return refuse("the rest was burnt: nothing is credited any more");
  if (genesis_->stages() == 1) {
    return refuse("a round with one stage credits nobody: no second party saw its work");
  }
  if (epoch->status == Status::kPending || epoch->status == Status::kPosted) {
    return refuse(name(id) + " is credited already");
  }
  // Before that another execution of its steps may come, and take a share of the same emission.
  const StepId settled = std::min(covered_step_, committed_step_);
  if (epoch->status == Status::kVoided && epoch->close.last_step > settled) {
    return refuse(name(id) +
                  " was rolled back: it is credited when its steps are committed again "
                  "and a checkpoint covers them");
  }
  if (!epoch->is_complete()) {
    return refuse(name(id) + " has " + std::to_string(epoch->batches.size()) + " of " +
                  std::to_string(epoch->close.totals.size()) + " work batches");
  }
  std::vector<uint128_t> split(genesis_->split.begin(), genesis_->split.end());
  const std::vector<std::uint64_t> by_role = largest_remainder(units_of(*epoch), split);
  std::map<std::pair<AccountId, Role>, std::uint64_t> lines;
  std::map<AccountId, uint128_t> work;
  for (const NodeTotal& total : epoch->close.totals) {
    work[nodes_.at(total.node).account] += price(*genesis_, total.stage, total.tokens);
  }
  const auto share_out = [&](Role role, const std::map<AccountId, uint128_t>& weights) {
    std::vector<uint128_t> values;
    for (const auto& [account, weight] : weights) values.push_back(weight);
    const auto shares = largest_remainder(by_role[static_cast<std::size_t>(role)], values);
    std::size_t at = 0;
    for (const auto& [account, weight] : weights) lines[{account, role}] = shares[at++];
  };
  share_out(Role::kCompute, work);
  const auto share_grants = [&](Role role, const std::vector<Grant>& grants) {
    std::map<AccountId, uint128_t> weights;
    for (const Grant& grant : grants) weights[grant.account] = grant.basis_points;
    share_out(role, weights);
  };
  for (const Role role : {Role::kData, Role::kDesign, Role::kTreasury}) {
    share_grants(role, grants_at(role, id));
  }
  Credit credit;
  credit.epoch = id;
  for (const auto& [key, units] : lines) {
    if (units > 0) credit.lines.push_back({key.first, key.second, units});
  }
  return credit;
}

/// Lines of an account that lost its credit of this epoch before a rollback are burnt again.
Result<void> Accounts::on(const Context&, const Credit& leaf) {
  COSHARD_ASSIGN(const Credit expected, credit_for(leaf.epoch));
  if (leaf != expected) {
    return refuse("the credit of " + name(leaf.epoch) + " does not follow from the committed work");
  }
  EpochState& epoch = epochs_[leaf.epoch.value];
  for (const CreditLine& line : leaf.lines) {
    COSHARD_CHECK_OP(line.units, <=, totals_.remaining);
    totals_.remaining -= line.units;
    if (epoch.voided.contains(line.account)) {
      epoch.burnt += line.units;
      totals_.burnt += line.units;
      continue;
    }
    balances_[line.account].pending += line.units;
    totals_.pending += line.units;
    epoch.credit.push_back(line);
  }
  epoch.status = Status::kPending;
  return {};
}

Result<void> Accounts::on(const Context&, const CreditPost& leaf) {
  const EpochState* epoch = find_epoch(leaf.epoch);
  if (epoch == nullptr || epoch->status != Status::kPending) {
    return refuse(name(leaf.epoch) + " has no pending credit");
  }
  const auto checkpoint = checkpoints_.find(leaf.reason);
  if (checkpoint == checkpoints_.end() || checkpoint->second < epoch->close.last_step) {
    return refuse(name(leaf.epoch) + " is not covered by a checkpoint at entry " +
                  std::to_string(leaf.reason.value));
  }
  if (!is_unchallenged(leaf.epoch)) {
    return refuse(name(leaf.epoch) + " may be challenged until " +
                  std::to_string(params_at(leaf.epoch).challenge_epochs) +
                  " more epochs are closed");
  }
  for (const CreditLine& line : epoch->credit) {
    Balance& balance = balances_[line.account];
    balance.pending -= line.units;
    pool_.add_units(balance, line.units);
    totals_.pending -= line.units;
    totals_.posted += line.units;
    const auto role = static_cast<std::size_t>(line.role);
    const std::uint64_t duration =
        genesis_->vesting_epochs.empty() ? 0 : genesis_->vesting_epochs[role];
    if (duration > 0) vesting_[line.account].push_back({now(), duration, line.units});
  }
  epochs_[leaf.epoch.value].status = Status::kPosted;
  return {};
}

bool Accounts::is_unchallenged(LedgerEpoch epoch) const {
  return is_over() || epochs_.size() - 1 - epoch.value >= params_at(epoch).challenge_epochs;
}

Result<void> Accounts::on(const Context& context, const CheckpointRecord& leaf) {
  const StepId reached = open_.empty() ? committed_step_ : open_.front().last_step;
  if (leaf.step <= covered_step_ || leaf.step > reached) {
    return refuse("a checkpoint after step " + std::to_string(covered_step_.value) + " and up to " +
                  std::to_string(reached.value) + " was expected, found " +
                  std::to_string(leaf.step.value));
  }
  bool complete = leaf.shards.size() == genesis_->stages();
  for (std::size_t i = 0; complete && i < leaf.shards.size(); ++i) {
    complete = leaf.shards[i].stage.value == i;
  }
  if (!complete) return refuse("a checkpoint has one shard for each stage, in order");
  covered_step_ = leaf.step;
  checkpoints_.emplace(context.index, leaf.step);
  return {};
}

void Accounts::void_credit(EpochState& epoch) {
  for (const CreditLine& line : epoch.credit) {
    balances_[line.account].pending -= line.units;
    totals_.pending -= line.units;
    totals_.remaining += line.units;
  }
  totals_.burnt -= epoch.burnt;  // burnt again with the credit that replaces this one
  totals_.remaining += epoch.burnt;
  epoch.burnt = 0;
  epoch.credit.clear();
  epoch.status = Status::kVoided;
}

Result<void> Accounts::on(const Context&, const Rollback& leaf) {
  if (finished_) return refuse("the round has ended");
  if (leaf.to_step != covered_step_) {
    return refuse("a round goes back to its last complete checkpoint, step " +
                  std::to_string(covered_step_.value));
  }
  if (committed_step_ < covered_step_) {
    return refuse("close the epoch of the checkpoint's step before going back to it");
  }
  if (leaf.reason.size() > limits::kTextBytesMax) return refuse("reason is too long");
  for (EpochState& epoch : epochs_) {
    if (epoch.close.last_step > leaf.to_step && epoch.status != Status::kPosted) {
      void_credit(epoch);
    }
  }
  open_.clear();
  committed_step_ = leaf.to_step;
  return {};
}

Result<void> Accounts::on(const Context&, const Burn& leaf) {
  if (finished_) return refuse("the rest was burnt already");
  if (leaf.units == 0 || leaf.units != totals_.remaining) {
    return refuse("the rest of " + std::to_string(totals_.remaining) +
                  " units is burnt as one, found " + std::to_string(leaf.units));
  }
  if (leaf.reason.size() > limits::kTextBytesMax) return refuse("reason is too long");
  const bool unpaid =
      genesis_->stages() > 1 && std::any_of(epochs_.begin(), epochs_.end(), [](const auto& epoch) {
        return epoch.status == Status::kClosed || epoch.status == Status::kVoided;
      });
  if (unpaid) return refuse("committed work is not credited yet");
  totals_.burnt += leaf.units;
  totals_.remaining = 0;
  finished_ = true;
  open_.clear();
  return {};
}

}  // namespace coshard::ledger
