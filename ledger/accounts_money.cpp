// The rules of money: revenue, its corrections, payouts, and the snapshot that balances are proved
// against. Each function judges first and changes state only when nothing can fail any more.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "crypto/hash.h"
#include "ledger/accounts.h"
#include "ledger/merkle.h"
#include "ledger/refusal.h"
#include "protocol/base/check.h"
#include "protocol/base/limits.h"

namespace coshard::ledger {
Result<void> Accounts::on(const Context& context, const RevenueReported& leaf) {
  if (genesis_->currency.empty()) return refuse("this ledger has no currency: it books no revenue");
  if (leaf.amount == 0 || !pool_.can_report(leaf.amount)) {
    return refuse("1 to " + std::to_string(kRevenueMax - money().revenue) +
                  " micro-units of revenue were expected, found " + std::to_string(leaf.amount));
  }
  COSHARD_TRY(check_text(leaf.reference));
  if (!statements_.insert(leaf.statement).second) {
    return refuse("this statement of revenue is booked already");
  }
  pool_.report(leaf.amount);
  revenues_.push_back({context.index, leaf.amount});
  return {};
}

Result<void> Accounts::on(const Context&, const Correction& leaf) {
  const auto found = std::lower_bound(
      revenues_.begin(), revenues_.end(), leaf.entry,
      [](const Revenue& revenue, LogIndex index) { return revenue.index < index; });
  if (found == revenues_.end() || found->index != leaf.entry) {
    return refuse("entry " + std::to_string(leaf.entry.value) + " reports no revenue");
  }
  if (leaf.amount == found->amount) {
    return refuse("entry " + std::to_string(leaf.entry.value) + " says that amount already");
  }
  if (leaf.amount > found->amount && !pool_.can_report(leaf.amount - found->amount)) {
    return refuse("so much revenue is more than a ledger can hold");
  }
  COSHARD_TRY(check_text(leaf.reason));
  if (leaf.amount > found->amount) {
    pool_.report(leaf.amount - found->amount);
  } else {
    pool_.retract(found->amount - leaf.amount);
  }
  found->amount = leaf.amount;
  return {};
}

Result<void> Accounts::on(const Context&, const Settle& leaf) {
  const bool ascending = std::is_sorted(
      leaf.accounts.begin(), leaf.accounts.end(),
      [](const AccountRef& a, const AccountRef& b) { return !(b.account < a.account); });
  const bool known =
      std::all_of(leaf.accounts.begin(), leaf.accounts.end(),
                  [this](const AccountRef& one) { return balances_.contains(one.account); });
  if (leaf.accounts.empty() || !ascending || !known) {
    return refuse("accounts of this ledger, ascending, were expected");
  }
  for (const AccountRef& one : leaf.accounts) pool_.settle(balances_.at(one.account));
  return {};
}

Result<void> Accounts::on(const Context&, const PayoutInitiated& leaf) {
  const auto found = balances_.find(leaf.account);
  if (found == balances_.end()) {
    return refuse("account " + leaf.account.short_hex() + " has no part in this ledger");
  }
  const std::uint64_t next = found->second.payouts + 1;
  if (leaf.number != next) {
    return refuse("payout " + std::to_string(next) + " of account " + leaf.account.short_hex() +
                  " was expected, found " + std::to_string(leaf.number));
  }
  const std::uint64_t owed = pool_.settled(found->second).owed;
  const std::uint64_t least =
      found->second.posted == 0 ? 1 : std::max<std::uint64_t>(params_at(now()).minimum_payout, 1);
  if (leaf.amount < least || leaf.amount > owed) {
    return refuse("a payout of " + std::to_string(least) + " to " + std::to_string(owed) +
                  " micro-units was expected, found " + std::to_string(leaf.amount));
  }
  Balance& balance = found->second;
  pool_.settle(balance);
  pool_.send(balance, leaf.amount);
  balance.in_flight += leaf.amount;
  ++balance.payouts;
  payouts_[{leaf.account, leaf.number}] = leaf.amount;
  return {};
}

Result<void> Accounts::on(const Context&, const PayoutFinal& leaf) {
  const auto found = payouts_.find({leaf.account, leaf.number});
  if (found == payouts_.end()) {
    return refuse("payout " + std::to_string(leaf.number) + " of account " +
                  leaf.account.short_hex() + " is not on its way");
  }
  COSHARD_TRY(check_text(leaf.reference));
  Balance& balance = balances_.at(leaf.account);
  balance.in_flight -= found->second;
  if (leaf.paid) {
    balance.paid += found->second;
    pool_.arrived(found->second);
  } else {
    pool_.came_back(balance, found->second);
  }
  payouts_.erase(found);
  return {};
}

std::vector<OwnerLeaf> Accounts::owner_leaves() const {
  std::vector<OwnerLeaf> out;
  out.reserve(balances_.size());
  for (const auto& [account, balance] : balances_) {
    out.push_back({account, balance.posted, balance.pending, balance.bonded, balance.owed,
                   balance.frac, balance.last, balance.in_flight, balance.entries,
                   balance.payouts});
  }
  return out;
}

StateSnapshot Accounts::snapshot() const {
  CompactTree tree;
  for (const OwnerLeaf& leaf : owner_leaves()) tree.append(leaf_hash(encode(leaf)));
  StateSnapshot out;
  out.entries = size_;
  out.owners_root = tree.root();
  out.owners = balances_.size();
  out.units = totals_;
  out.money = pool_.totals();
  return out;
}

Hash Accounts::state_root() const {
  return crypto::domain_hash("coshard/state/v1", {encode(snapshot())});
}

Result<void> Accounts::on(const Context&, const StateSnapshot& leaf) {
  check_sums();
  if (leaf == snapshot()) return {};
  return refuse("the snapshot is not what the entries before it add up to");
}

void Accounts::check_sums() const {
  UnitTotals units;
  MoneyTotals money;
  std::uint64_t in_flight = 0;
  for (const auto& [account, balance] : balances_) {
    units.posted += balance.posted;
    units.pending += balance.pending;
    money.owed += balance.owed;
    money.frac += balance.frac;
    money.in_flight += balance.in_flight;
    COSHARD_CHECK_OP(balance.bonded, <=, balance.posted);
  }
  for (const auto& [payout, amount] : payouts_) in_flight += amount;
  COSHARD_CHECK_OP(units.posted, ==, totals_.posted);
  COSHARD_CHECK_OP(units.pending, ==, totals_.pending);
  COSHARD_CHECK_OP(money.owed, ==, pool_.totals().owed);
  COSHARD_CHECK(money.frac == pool_.totals().frac);
  COSHARD_CHECK_OP(money.in_flight, ==, pool_.totals().in_flight);
  COSHARD_CHECK_OP(in_flight, ==, money.in_flight);
}

}  // namespace coshard::ledger
