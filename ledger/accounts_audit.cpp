// The rules of governance and of what audits leave in the log: parameters, grants, seeds, verdicts
// and voided credits. Each function judges first and changes state only when nothing can fail.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "crypto/signed_payload.h"
#include "ledger/accounts.h"
#include "ledger/pricing.h"
#include "ledger/refusal.h"
#include "protocol/base/check.h"

namespace coshard::ledger {
Params Accounts::params_at(LedgerEpoch epoch) const {
  const auto after = params_.upper_bound(epoch);
  return after == params_.begin() ? genesis_->params : std::prev(after)->second;
}

const std::vector<Grant>& Accounts::grants_at(Role role, LedgerEpoch epoch) const {
  const auto after = grants_.upper_bound({role, epoch});
  if (after != grants_.begin() && std::prev(after)->first.first == role) {
    return std::prev(after)->second;
  }
  switch (role) {
    case Role::kData:
      return genesis_->data;
    case Role::kDesign:
      return genesis_->design;
    default:
      return genesis_->treasury;
  }
}

/// Enough governors signed, each once, and no epoch that is announced already is touched.
Result<void> Accounts::check_governed(ByteView unsigned_leaf, LedgerEpoch first,
                                      const std::vector<EntrySignature>& signatures) const {
  const auto& governors = genesis_->governors;
  if (governors.empty()) return refuse("this ledger has no governors");
  std::set<crypto::PublicKey> agreed;
  for (const EntrySignature& one : signatures) {
    const bool is_governor =
        std::any_of(governors.begin(), governors.end(),
                    [&](const Governor& governor) { return governor.key == one.key_id; });
    if (!is_governor || !agreed.insert(one.key_id).second ||
        !crypto::verify_payload(one.key_id, crypto::domains::kGovernance, network_, unsigned_leaf,
                                one.signature)) {
      return fail(ErrorCode::kPermissionDenied,
                  "key " + to_hex(one.key_id).substr(0, 8) +
                      " is no governor, signed twice, or its signature is false");
    }
  }
  if (agreed.size() < genesis_->governors_needed) {
    return fail(ErrorCode::kPermissionDenied,
                "signatures of " + std::to_string(genesis_->governors_needed) +
                    " governors were expected, found " + std::to_string(agreed.size()));
  }
  const std::uint64_t announced = epochs_.size() + open_.size();
  if (first.value >= announced) return {};
  return refuse("a change takes effect in epoch " + std::to_string(announced) + " or later");
}

Result<void> Accounts::on(const Context&, const ParamChange& leaf) {
  COSHARD_TRY(check_governed(governed_bytes(leaf), leaf.first_epoch, leaf.governors));
  COSHARD_TRY(check_params(leaf.params));
  params_[leaf.first_epoch] = leaf.params;
  return {};
}

Result<void> Accounts::on(const Context&, const RoleGrants& leaf) {
  COSHARD_TRY(check_governed(governed_bytes(leaf), leaf.first_epoch, leaf.governors));
  if (leaf.role != Role::kData && leaf.role != Role::kDesign && leaf.role != Role::kTreasury) {
    return refuse("grants are of data, design or treasury");
  }
  const std::uint64_t points = genesis_->split[static_cast<std::size_t>(leaf.role)];
  COSHARD_TRY(check_grants(leaf.grants, points, to_string(leaf.role)));
  for (const Grant& grant : leaf.grants) {
    if (reserved_.contains(grant.account)) {
      return refuse("account " + grant.account.short_hex() +
                    " is none: its root took over, or claims, another account");
    }
  }
  grants_[{leaf.role, leaf.first_epoch}] = leaf.grants;
  return {};
}

Result<void> Accounts::on(const Context&, const SeedReveal& leaf) {
  const EpochState* epoch = find_epoch(leaf.epoch);
  if (epoch == nullptr || !epoch->is_complete() || epoch->seed != Hash{}) {
    return refuse("a seed is revealed once, when all work batches of its epoch are in the log");
  }
  if (leaf.seed == Hash{} || seed_commitment(leaf.seed) != epoch->seed_commitment) {
    return refuse("the seed is not the one that the epoch was opened with");
  }
  epochs_[leaf.epoch.value].seed = leaf.seed;
  return {};
}

Result<void> Accounts::on(const Context& context, const AuditVerdict& leaf) {
  Registration& auditor = nodes_.at(context.author);
  if (context.sequence != auditor.verdicts + 1) {
    return refuse("verdict " + std::to_string(auditor.verdicts + 1) + " of the node was expected");
  }
  const EpochState* epoch = find_epoch(leaf.epoch);
  const Registration* subject = find_node(leaf.node);
  if (epoch == nullptr || epoch->find_total(leaf.stage, leaf.node) == nullptr ||
      leaf.step < epoch->close.first_step || leaf.step > epoch->close.last_step ||
      leaf.microbatch.value >= genesis_->microbatches) {
    return refuse("the audited unit is not one that the epoch counted for this node");
  }
  if (subject == nullptr || subject->account == auditor.account) {
    return fail(ErrorCode::kPermissionDenied, "nobody audits himself");
  }
  ++auditor.verdicts;
  return {};
}

Result<void> Accounts::on(const Context&, const CreditVoid& leaf) {
  const EpochState* known = find_epoch(leaf.epoch);
  if (known == nullptr || known->status != EpochState::Status::kPending) {
    return refuse("epoch " + std::to_string(leaf.epoch.value) +
                  " has no pending credit: what is posted is never taken");
  }
  const bool has_lines =
      std::any_of(known->credit.begin(), known->credit.end(),
                  [&](const CreditLine& line) { return line.account == leaf.account; });
  if (!has_lines) return refuse("the account has no pending credit in that epoch");
  COSHARD_TRY(check_text(leaf.reason));
  EpochState& epoch = epochs_[leaf.epoch.value];
  Balance& balance = balances_.at(leaf.account);
  for (const CreditLine& line : epoch.credit) {
    if (line.account != leaf.account) continue;
    balance.pending -= line.units;
    totals_.pending -= line.units;
    totals_.burnt += line.units;
    epoch.burnt += line.units;
  }
  std::erase_if(epoch.credit, [&](const CreditLine& line) { return line.account == leaf.account; });
  epoch.voided.insert(leaf.account);
  return {};
}

}  // namespace coshard::ledger
