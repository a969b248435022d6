// Ledger entries about money: what a model earned, what is paid out, and the snapshot that balances
// are proved against. Amounts are micro-units of the genesis's currency. Value types, any thread.
// Rules: accounts_money.cpp.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "ledger/leaf_type.h"

namespace coshard::ledger {

/// The model earned money, according to a statement outside of the log. Each statement counts once.
struct RevenueReported {
  static constexpr LeafType kType = LeafType::kRevenueReported;
  std::uint64_t amount = 0;  ///< 1 to 2^63 - 1
  std::string reference;     ///< invoice, payment or settlement number
  Hash statement{};          ///< SHA-256 of the statement: unique in the log
  bool operator==(const RevenueReported&) const = default;
  template <class Codec, class Self>
  static void fields(Codec& codec, Self& self) {
    codec(1, self.amount);
    codec(2, self.reference);
    codec(3, self.statement);
  }
};

/// The revenue entry at `entry` should have said `amount`. More is spread like new revenue; less is
/// held back from what comes in next.
struct Correction {
  static constexpr LeafType kType = LeafType::kCorrection;
  LogIndex entry;            ///< a RevenueReported
  std::uint64_t amount = 0;  ///< 0: it was no revenue at all
  std::string reason;
  bool operator==(const Correction&) const = default;
  template <class Codec, class Self>
  static void fields(Codec& codec, Self& self) {
    codec(1, self.entry);
    codec(2, self.amount);
    codec(3, self.reason);
  }
};

/// An account in a list.
struct AccountRef {
  AccountId account;
  bool operator==(const AccountRef&) const = default;
  template <class Codec, class Self>
  static void fields(Codec& codec, Self& self) {
    codec(1, self.account);
  }
};

/// Brings accounts up to the accumulator. Changes no claim.
struct Settle {
  static constexpr LeafType kType = LeafType::kSettle;
  std::vector<AccountRef> accounts;  ///< ascending
  bool operator==(const Settle&) const = default;
  template <class Codec, class Self>
  static void fields(Codec& codec, Self& self) {
    codec(1, self.accounts);
  }
};

/// Money of an account is on its way out: it is no longer owed, and not yet paid.
struct PayoutInitiated {
  static constexpr LeafType kType = LeafType::kPayoutInitiated;
  AccountId account;
  std::uint64_t number = 0;  ///< the account's payouts are numbered 1, 2, 3 …
  std::uint64_t amount = 0;
  bool operator==(const PayoutInitiated&) const = default;
  template <class Codec, class Self>
  static void fields(Codec& codec, Self& self) {
    codec(1, self.account);
    codec(2, self.number);
    codec(3, self.amount);
  }
};

/// A payout arrived, or came back and is owed again.
struct PayoutFinal {
  static constexpr LeafType kType = LeafType::kPayoutFinal;
  AccountId account;
  std::uint64_t number = 0;
  bool paid = false;
  std::string reference;  ///< the payment rail's
  bool operator==(const PayoutFinal&) const = default;
  template <class Codec, class Self>
  static void fields(Codec& codec, Self& self) {
    codec(1, self.account);
    codec(2, self.number);
    codec(3, self.paid);
    codec(4, self.reference);
  }
};

/// Where all units of the model are. Always: posted + pending + burnt + remaining == cap.
struct UnitTotals {
  std::uint64_t cap = 0;
  std::uint64_t posted = 0;   ///< owned; bonded units included
  std::uint64_t pending = 0;  ///< earned, not yet covered by a checkpoint
  std::uint64_t burnt = 0;
  std::uint64_t remaining = 0;  ///< not yet emitted to anybody
  bool operator==(const UnitTotals&) const = default;
  template <class Codec, class Self>
  static void fields(Codec& codec, Self& self) {
    codec(1, self.cap);
    codec(2, self.posted);
    codec(3, self.pending);
    codec(4, self.burnt);
    codec(5, self.remaining);
  }
};

/// Where all money is, in micro-units, and the accumulator that spreads it (reference
/// ledger.md 2.3).
struct MoneyTotals {
  std::uint64_t revenue = 0;  ///< reported, corrections included
  std::uint64_t paid = 0;
  std::uint64_t in_flight = 0;  ///< payouts without an end
  std::uint64_t owed = 0;       ///< to settled accounts
  std::uint64_t held = 0;       ///< came in before anybody owned a unit
  std::uint64_t deficit =
      0;               ///< spread too much, before a correction: kept from what comes in next
  uint128_t acc = 0;   ///< micro-units per unit, times 2^64
  uint128_t rem = 0;   ///< not divisible, in 2^-64 micro-units
  uint128_t frac = 0;  ///< sum of the accounts' fractions, in 2^-64 micro-units
  bool operator==(const MoneyTotals&) const = default;
  template <class Codec, class Self>
  static void fields(Codec& codec, Self& self) {
    codec(1, self.revenue);
    codec(2, self.paid);
    codec(3, self.in_flight);
    codec(4, self.owed);
    codec(5, self.held);
    codec(6, self.deficit);
    codec(7, self.acc);
    codec(8, self.rem);
    codec(9, self.frac);
  }
};

/// One leaf of the tree of owners that a snapshot commits to, as of the account's last settlement.
struct OwnerLeaf {
  AccountId account;
  std::uint64_t posted = 0;
  std::uint64_t pending = 0;
  std::uint64_t bonded = 0;  ///< of posted; being released included
  std::uint64_t owed = 0;
  std::uint64_t frac = 0;  ///< in 2^-64 micro-units
  uint128_t last = 0;      ///< acc at the last settlement
  std::uint64_t in_flight = 0;
  std::uint64_t entries = 0;  ///< that the owner signed
  std::uint64_t payouts = 0;  ///< begun
  bool operator==(const OwnerLeaf&) const = default;
  template <class Codec, class Self>
  static void fields(Codec& codec, Self& self) {
    codec(1, self.account);
    codec(2, self.posted);
    codec(3, self.pending);
    codec(4, self.bonded);
    codec(5, self.owed);
    codec(6, self.frac);
    codec(7, self.last);
    codec(8, self.in_flight);
    codec(9, self.entries);
    codec(10, self.payouts);
  }
};

/// What the entries before this one add up to. Whoever replays the log computes the same, or
/// refuses.
struct StateSnapshot {
  static constexpr LeafType kType = LeafType::kStateSnapshot;
  std::uint64_t entries = 0;  ///< before this one
  Hash owners_root{};         ///< RFC 6962 root over OwnerLeaf, ascending accounts
  std::uint64_t owners = 0;
  UnitTotals units;
  MoneyTotals money;
  bool operator==(const StateSnapshot&) const = default;
  template <class Codec, class Self>
  static void fields(Codec& codec, Self& self) {
    codec(1, self.entries);
    codec(2, self.owners_root);
    codec(3, self.owners);
    codec(4, self.units);
    codec(5, self.money);
  }
};

}  // namespace coshard::ledger
