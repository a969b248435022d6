// SPDX-License-Identifier: Apache-2.0
#include "ledger/revenue_pool.h"

#include <algorithm>

#include "protocol/base/check.h"

namespace coshard::ledger {

PoolShare settled_at(const PoolShare& share, uint128_t acc) {
  PoolShare out = share;
  const uint128_t earned = uint128_t{share.posted} * (acc - share.last) + share.frac;
  out.owed += static_cast<std::uint64_t>(earned >> 64);
  out.frac = static_cast<std::uint64_t>(earned);
  out.last = acc;
  return out;
}

void RevenuePool::report(std::uint64_t amount) {
  COSHARD_CHECK(can_report(amount));
  totals_.revenue += amount;
  const std::uint64_t kept = std::min(amount, totals_.deficit);
  totals_.deficit -= kept;
  spread(amount - kept);
}

/// n stays below 2^127: what was ever spread is at most the revenue, times 2^64.
void RevenuePool::spread(std::uint64_t amount) {
  if (units_ == 0) {
    totals_.held += amount;
    return;
  }
  const uint128_t n = (uint128_t{amount + totals_.held} << 64) + totals_.rem;
  totals_.held = 0;
  totals_.acc += n / units_;
  totals_.rem = n % units_;
}

void RevenuePool::retract(std::uint64_t amount) {
  COSHARD_CHECK_OP(amount, <=, totals_.revenue);
  totals_.revenue -= amount;
  const std::uint64_t unspread = std::min(amount, totals_.held);
  totals_.held -= unspread;
  totals_.deficit += amount - unspread;
}

void RevenuePool::settle(PoolShare& share) {
  const PoolShare now = settled(share);
  totals_.owed += now.owed - share.owed;
  totals_.frac += now.frac;
  totals_.frac -= share.frac;
  weighted_last_ += share.posted * (now.last - share.last);
  share = now;
}

void RevenuePool::add_units(PoolShare& share, std::uint64_t units) {
  settle(share);
  share.posted += units;
  units_ += units;
  weighted_last_ += units * share.last;
}

void RevenuePool::take_units(PoolShare& share, std::uint64_t units) {
  COSHARD_CHECK_OP(units, <=, share.posted);
  settle(share);
  share.posted -= units;
  units_ -= units;
  weighted_last_ -= units * share.last;
  if (share.posted > 0) return;
  totals_.rem += share.frac;
  totals_.frac -= share.frac;
  share.frac = 0;
}

void RevenuePool::send(PoolShare& share, std::uint64_t amount) {
  COSHARD_CHECK_OP(amount, <=, share.owed);
  share.owed -= amount;
  totals_.owed -= amount;
  totals_.in_flight += amount;
}

void RevenuePool::arrived(std::uint64_t amount) {
  COSHARD_CHECK_OP(amount, <=, totals_.in_flight);
  totals_.in_flight -= amount;
  totals_.paid += amount;
}

void RevenuePool::came_back(PoolShare& share, std::uint64_t amount) {
  COSHARD_CHECK_OP(amount, <=, totals_.in_flight);
  totals_.in_flight -= amount;
  totals_.owed += amount;
  share.owed += amount;
}

bool RevenuePool::conserved() const {
  const uint128_t unsettled = units_ * totals_.acc - weighted_last_;  // mod 2^128
  const uint128_t whole = uint128_t{totals_.owed} + totals_.paid + totals_.in_flight + totals_.held;
  return (whole << 64) + totals_.frac + totals_.rem + unsettled ==
         (uint128_t{totals_.revenue} + totals_.deficit) << 64;
}

}  // namespace coshard::ledger
