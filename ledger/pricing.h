// What work costs: FLOPs of a stage per token, as Genesis fixes them, times tokens. Integers only;
// pure.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "ledger/leaves.h"

namespace coshard::ledger {

/// Bounds that keep every product and sum exact in 128 bits (pricing.cpp proves it).
inline constexpr std::uint64_t kPriceMax = std::uint64_t{1} << 50;
inline constexpr std::uint64_t kUnitCapMax = std::uint64_t{1} << 62;
inline constexpr std::uint64_t kTokensPerMicrobatchMax = std::uint64_t{1} << 32;
inline constexpr std::uint64_t kEpochStepsMax = std::uint64_t{1} << 20;
inline constexpr std::uint64_t kHalfLifeMax = std::uint64_t{1} << 29;

/// FLOPs of `tokens` tokens through a stage. `stage` is one of the genesis.
uint128_t price(const Genesis& genesis, StageIndex stage, std::uint64_t tokens);

/// kInvalidArgument, naming the first parameter of a genesis that is out of bounds or inconsistent.
Result<void> check_genesis(const Genesis& genesis);

}  // namespace coshard::ledger
