// The rules of what owners sign: transfers and bonds; and what limits them: vesting and penalties.
// Each function judges first and changes state only when nothing can fail any more.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "ledger/accounts.h"
#include "ledger/apportion.h"
#include "ledger/refusal.h"
#include "protocol/base/check.h"
#include "protocol/base/limits.h"

namespace coshard::ledger {
Result<void> Accounts::check_text(const std::string& text) const {
  if (text.size() <= limits::kTextBytesMax) return {};
  return refuse("a text of at most " + std::to_string(limits::kTextBytesMax) +
                " bytes was expected, found " + std::to_string(text.size()));
}

/// floor(total * (now - start) / duration) of each lot is vested; all of it once the round is over
/// and no epoch will come.
std::uint64_t Accounts::unvested_units(const AccountId& account) const {
  const auto found = vesting_.find(account);
  if (found == vesting_.end() || is_over()) return 0;
  std::uint64_t unvested = 0;
  for (const VestingLot& lot : found->second) {
    const std::uint64_t passed = std::min(now().value - lot.start.value, lot.duration);
    unvested += lot.units - scale(lot.units, passed, lot.duration).value;
  }
  return unvested;
}

std::uint64_t Accounts::bonded_units(const AccountId& account) const {
  const auto balance = balances_.find(account);
  if (balance == balances_.end()) return 0;
  std::uint64_t bonded = balance->second.bonded;
  const auto found = bond_returns_.find(account);
  if (found == bond_returns_.end()) return bonded;
  for (const BondReturn& one : found->second) {
    if (is_over() || one.epochs <= now().value) bonded -= one.units;
  }
  return bonded;
}

/// Penalties burn vested units last, so what is left may be less than what vests later.
std::uint64_t Accounts::free_units(const AccountId& account) const {
  const auto balance = balances_.find(account);
  if (balance == balances_.end()) return 0;
  const std::uint64_t tied = bonded_units(account) + unvested_units(account);
  return balance->second.posted - std::min(balance->second.posted, tied);
}

/// Writes down what has become free, and forgets lots that have vested.
void Accounts::return_bonds(const AccountId& account) {
  balances_[account].bonded = bonded_units(account);
  if (const auto found = bond_returns_.find(account); found != bond_returns_.end()) {
    std::erase_if(found->second,
                  [this](const BondReturn& one) { return is_over() || one.epochs <= now().value; });
    if (found->second.empty()) bond_returns_.erase(found);
  }
  if (const auto found = vesting_.find(account); found != vesting_.end()) {
    std::erase_if(found->second, [this](const VestingLot& lot) {
      return is_over() || now().value - lot.start.value >= lot.duration;
    });
    if (found->second.empty()) vesting_.erase(found);
  }
}

Result<void> Accounts::on(const Context& context, const UnitTransfer& leaf) {
  if (leaf.from != context.account) {
    return fail(ErrorCode::kPermissionDenied, "units are transferred by their owner");
  }
  if (leaf.to == leaf.from) return refuse("a transfer to oneself was found");
  if (reserved_.contains(leaf.to)) {
    return refuse("account " + leaf.to.short_hex() +
                  " is none: its root took over, or claims, another account");
  }
  const std::uint64_t free = free_units(leaf.from);
  if (leaf.units == 0 || leaf.units > free) {
    return refuse("1 to " + std::to_string(free) + " units can be transferred now, found " +
                  std::to_string(leaf.units));
  }
  if (leaf.expires.value > 0 && context.index >= leaf.expires) {
    return refuse("the offer ended before entry " + std::to_string(leaf.expires.value));
  }
  COSHARD_TRY(check_text(leaf.reference));
  if (leaf.price > 0 || genesis_->buyer_signs) {
    const bool agreed =
        std::any_of(context.signatures->begin() + 1, context.signatures->end(),
                    [&](const EntrySignature& one) { return account_of(one.key_id) == leaf.to; });
    if (!agreed) {
      return fail(ErrorCode::kPermissionDenied, "the buyer has not signed this transfer");
    }
  }
  return_bonds(leaf.from);
  Balance& from = balances_[leaf.from];
  Balance& to = balances_[leaf.to];
  pool_.take_units(from, leaf.units);
  pool_.add_units(to, leaf.units);
  ++from.entries;
  return {};
}

Result<void> Accounts::on(const Context& context, const Bond& leaf) {
  const std::uint64_t free = free_units(context.account);
  if (leaf.units == 0 || leaf.units > free) {
    return refuse("1 to " + std::to_string(free) + " units can be bonded now, found " +
                  std::to_string(leaf.units));
  }
  return_bonds(context.account);
  Balance& balance = balances_[context.account];
  balance.bonded += leaf.units;
  ++balance.entries;
  return {};
}

Result<void> Accounts::on(const Context& context, const BondRelease& leaf) {
  std::uint64_t standing = bonded_units(context.account);
  if (const auto found = bond_returns_.find(context.account); found != bond_returns_.end()) {
    for (const BondReturn& one : found->second) {
      if (one.epochs > now().value && !is_over()) standing -= one.units;
    }
  }
  if (leaf.units == 0 || leaf.units > standing) {
    return refuse("1 to " + std::to_string(standing) + " bonded units can be released, found " +
                  std::to_string(leaf.units));
  }
  return_bonds(context.account);
  bond_returns_[context.account].push_back(
      {now().value + params_at(now()).bond_epochs, leaf.units});
  ++balances_[context.account].entries;
  return {};
}

/// What is being released is taken last.
Result<void> Accounts::on(const Context&, const Penalty& leaf) {
  const std::uint64_t bonded = bonded_units(leaf.account);
  if (leaf.units == 0 || leaf.units > bonded) {
    return refuse("a penalty takes 1 to " + std::to_string(bonded) +
                  " bonded units of the account, found " + std::to_string(leaf.units));
  }
  COSHARD_TRY(check_text(leaf.reason));
  return_bonds(leaf.account);
  Balance& balance = balances_[leaf.account];
  balance.bonded -= leaf.units;
  std::uint64_t left = balance.bonded;  // that may be on its way back
  if (const auto found = bond_returns_.find(leaf.account); found != bond_returns_.end()) {
    for (BondReturn& one : found->second) {
      one.units = std::min(one.units, left);
      left -= one.units;
    }
    std::erase_if(found->second, [](const BondReturn& one) { return one.units == 0; });
    if (found->second.empty()) bond_returns_.erase(found);
  }
  pool_.take_units(balance, leaf.units);
  totals_.posted -= leaf.units;
  totals_.burnt += leaf.units;
  return {};
}

}  // namespace coshard::ledger
