// Revenue spread over ownership units in O(1) per event, exactly: an accumulator of money per unit
// with a carried remainder (reference ledger.md 2.3). Pure integers; one thread at a time.
//
// An owner's share is settled only when his units or his claim are touched. Nothing is lost in
// between, which one equation says after every event (conserved()):
//
//     (owed + paid + in_flight + held - deficit) * 2^64 + frac + rem + unsettled == revenue * 2^64
//
// where unsettled = sum over owners of units * (acc - last). That sum is kept as two products
// modulo 2^128; both sides of the equation are below 2^128, so equality there is equality.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "ledger/money_leaves.h"
#include "protocol/base/int128.h"

namespace coshard::ledger {

/// Bound on all revenue of a log, and on all units: every product below stays in 128 bits.
inline constexpr std::uint64_t kRevenueMax = (std::uint64_t{1} << 63) - 1;

/// What an owner has in the pool.
struct PoolShare {
  std::uint64_t posted = 0;  ///< ownership units
  std::uint64_t owed = 0;    ///< micro-units, settled
  std::uint64_t frac = 0;    ///< below one micro-unit, in 2^-64
  uint128_t last = 0;        ///< acc at the last settlement
  bool operator==(const PoolShare&) const = default;
};

/// An owner's share when the accumulator has come to `acc`.
PoolShare settled_at(const PoolShare& share, uint128_t acc);

class RevenuePool {
 public:
  const MoneyTotals& totals() const { return totals_; }
  std::uint64_t units() const { return units_; }  ///< of all owners

  /// False when `amount` more would exceed kRevenueMax; then nothing has changed.
  bool can_report(std::uint64_t amount) const { return amount <= kRevenueMax - totals_.revenue; }
  void report(std::uint64_t amount);

  /// Takes back revenue that was none: first what is held, the rest from what comes in next.
  void retract(std::uint64_t amount);

  /// Brings an owner up to the accumulator.
  void settle(PoolShare& share);
  /// The same without changing the pool: what settle() would make of it.
  PoolShare settled(const PoolShare& share) const { return settled_at(share, totals_.acc); }

  /// Changes an owner's units, which he is settled for first. An owner without units returns his
  /// fraction to the pool.
  void add_units(PoolShare& share, std::uint64_t units);
  void take_units(PoolShare& share, std::uint64_t units);

  /// A payout leaves, arrives or comes back. The share is settled and has `amount` (in_flight has).
  void send(PoolShare& share, std::uint64_t amount);
  void arrived(std::uint64_t amount);
  void came_back(PoolShare& share, std::uint64_t amount);

  /// The equation above.
  bool conserved() const;

  template <class Codec, class Self>
  static void state(Codec& codec, Self& self) {
    codec(self.totals_, self.units_, self.weighted_last_);
  }

 private:
  void spread(std::uint64_t amount);

  MoneyTotals totals_;
  std::uint64_t units_ = 0;
  uint128_t weighted_last_ = 0;  // sum over owners of units * last, mod 2^128
};

}  // namespace coshard::ledger
