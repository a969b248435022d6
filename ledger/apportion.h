// Splitting a whole number exactly: largest remainder (Hamilton), and the emission of units over
// steps. Integers only; pure; any thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <vector>

#include "ledger/leaves.h"

namespace coshard::ledger {

/// floor(amount * part / whole) and what is left over. part <= whole < 2^126, whole > 0.
struct Quotient {
  std::uint64_t value = 0;
  uint128_t remainder = 0;
};
Quotient scale(std::uint64_t amount, uint128_t part, uint128_t whole);

/// Shares of `amount` in proportion to `weights`: the floor of each exact share, then one more for
/// the largest remainders, ties to the earlier one. The sum is exactly `amount`; all zeros when
/// every weight is zero. The sum of the weights is below 2^126.
std::vector<std::uint64_t> largest_remainder(std::uint64_t amount,
                                             std::span<const uint128_t> weights);

/// Units emitted by the round's steps up to `step` together: 0 after `steps_before` and exactly the
/// cap at the last step. Neither fewer nor more steps than that.
/// With a half life h the weight of a step falls in straight lines from 1 to 1/2 over h steps, from
/// 1/2 to 1/4 over the next h, and so on.
std::uint64_t emitted_through(const Genesis& genesis, StepId step);

/// What one step emits.
std::uint64_t emission_of(const Genesis& genesis, StepId step);

}  // namespace coshard::ledger
