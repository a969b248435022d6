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
inline constexpr std::uint64_t kEpochsMax = std::uint64_t{1} << 20;  ///< of any delay
inline constexpr std::uint64_t kRecoveryDaysMax = 3650;
inline constexpr std::size_t kGovernorsMax = 64;
inline constexpr std::size_t kPolicyBytesMax = 4096;
inline constexpr std::uint64_t kHalfLifeMax = std::uint64_t{1} << 29;

/// FLOPs of `tokens` tokens through a stage. `stage` is one of the genesis.
uint128_t price(const Genesis& genesis, StageIndex stage, std::uint64_t tokens);

/// kInvalidArgument, naming the first parameter of a genesis that is out of bounds or inconsistent.
Result<void> check_genesis(const Genesis& genesis);

/// kInvalidArgument when a parameter is out of bounds.
Result<void> check_params(const Params& params);

/// kInvalidArgument unless accounts ascend and add up: to 10,000 basis points, or to none where the
/// role has no part (`role_points` 0).
Result<void> check_grants(const std::vector<Grant>& grants, std::uint64_t role_points,
                          std::string_view role);

/// What an EpochOpen commits to: SHA-256("coshard/seed/v1" || 0x00 || seed).
Hash seed_commitment(const Hash& seed);

}  // namespace coshard::ledger
