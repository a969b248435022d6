// SPDX-License-Identifier: Apache-2.0
#include "ledger/pricing.h"

#include <algorithm>
#include <numeric>

#include "crypto/hash.h"
#include "ledger/checkpoint.h"
#include "protocol/base/check.h"
#include "protocol/base/limits.h"

namespace coshard::ledger {
namespace {

// Tokens of an epoch: 2^20 steps x 2^12 microbatches x 2^32 tokens = 2^64, so u64 totals are
// checked where they are added (accounts_rules.cpp); FLOPs of all nodes: 2^64 x 2^50 x 2^8 stages.
static_assert(limits::kStagesMax <= 256 && limits::kMicrobatchesMax <= 4096);
static_assert(kPriceMax <= std::uint64_t{1} << 50, "all work of an epoch stays below 2^126 FLOPs");

Result<void> require(bool holds, const char* what) {
  if (holds) return {};
  return fail(ErrorCode::kInvalidArgument, std::string("genesis: ") + what);
}

bool in_range(std::uint64_t value, std::uint64_t max) { return value >= 1 && value <= max; }

}  // namespace

Result<void> check_grants(const std::vector<Grant>& grants, std::uint64_t role_points,
                          std::string_view role) {
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < grants.size(); ++i) {
    if (!in_range(grants[i].basis_points, kBasisPoints) ||
        (i > 0 && !(grants[i - 1].account < grants[i].account))) {
      return fail(ErrorCode::kInvalidArgument,
                  "genesis: accounts of " + std::string(role) +
                      " are to be ascending, each with 1 to 10000 basis points");
    }
    sum += grants[i].basis_points;
  }
  const std::uint64_t expected = role_points == 0 ? 0 : kBasisPoints;
  if (sum == expected) return {};
  return fail(ErrorCode::kInvalidArgument,
              "genesis: the split gives " + std::string(role) + " " + std::to_string(role_points) +
                  " basis points; its accounts must add up to " + std::to_string(expected) +
                  ", found " + std::to_string(sum));
}

Result<void> check_params(const Params& params) {
  COSHARD_TRY(require(params.challenge_epochs <= kEpochsMax, "challenge window of up to 2^20"));
  COSHARD_TRY(require(params.bond_epochs <= kEpochsMax, "bonds are held for up to 2^20 epochs"));
  COSHARD_TRY(require(params.minimum_payout <= kUnitCapMax, "minimum payout of up to 2^62"));
  return require(params.audit_rate <= kBasisPoints, "audit rate of up to 10000 basis points");
}

Hash seed_commitment(const Hash& seed) { return crypto::domain_hash("coshard/seed/v1", {seed}); }

namespace {

Result<void> check_money(const Genesis& genesis) {
  const std::string& currency = genesis.currency;
  COSHARD_TRY(
      require(currency.size() <= 8 && std::all_of(currency.begin(), currency.end(),
                                                  [](char c) { return c >= 'A' && c <= 'Z'; }),
              "a currency of up to 8 letters A to Z"));
  COSHARD_TRY(check_params(genesis.params));
  const auto& vesting = genesis.vesting_epochs;
  COSHARD_TRY(
      require(vesting.empty() || (vesting.size() == kRoles &&
                                  *std::max_element(vesting.begin(), vesting.end()) <= kEpochsMax),
              "vesting of up to 2^20 epochs for each of four roles, or none"));
  COSHARD_TRY(require(genesis.recovery_days <= kRecoveryDaysMax, "recovery of up to 3650 days"));
  COSHARD_TRY(require(genesis.witness_policy.size() <= kPolicyBytesMax, "policy of up to 4 KiB"));
  const auto& governors = genesis.governors;
  COSHARD_TRY(require(governors.size() <= kGovernorsMax &&
                          genesis.governors_needed <= governors.size() &&
                          (genesis.governors_needed > 0) == !governors.empty(),
                      "1 to all of at most 64 governors are needed, or there are none"));
  for (std::size_t i = 0; i < governors.size(); ++i) {
    COSHARD_TRY(require(crypto::is_valid_public_key(governors[i].key) &&
                            (i == 0 || governors[i - 1].key < governors[i].key),
                        "keys of governors, ascending"));
  }
  return {};
}

}  // namespace

uint128_t price(const Genesis& genesis, StageIndex stage, std::uint64_t tokens) {
  COSHARD_CHECK_OP(stage.value, <, genesis.stages());
  return uint128_t{genesis.stage_prices[stage.value]} * tokens;
}

Result<void> check_genesis(const Genesis& genesis) {
  const std::string_view origin = genesis.origin;
  const std::size_t name = origin.find("/coshard/m/");
  const auto expected = make_origin(origin.substr(0, std::min(name, origin.size())), genesis.model);
  COSHARD_TRY(require(expected && *expected == origin,
                      "origin <domain>/coshard/m/<model> was expected, of [a-z0-9.-]"));
  COSHARD_TRY(require(crypto::is_valid_public_key(genesis.coordinator), "coordinator key"));
  COSHARD_TRY(require(crypto::is_valid_public_key(genesis.log_key), "log key"));
  COSHARD_TRY(require(genesis.log_key != genesis.coordinator, "log and coordinator share a key"));
  COSHARD_TRY(require(in_range(genesis.unit_cap, kUnitCapMax), "unit cap of 1 to 2^62"));
  COSHARD_TRY(
      require(genesis.split.size() == kRoles &&
                  *std::max_element(genesis.split.begin(), genesis.split.end()) <= kBasisPoints &&
                  std::accumulate(genesis.split.begin(), genesis.split.end(), std::uint64_t{0}) ==
                      kBasisPoints,
              "a split of four parts that add up to 10000 basis points was expected"));
  COSHARD_TRY(check_grants(genesis.data, genesis.split[1], "data"));
  COSHARD_TRY(check_grants(genesis.design, genesis.split[2], "design"));
  COSHARD_TRY(check_grants(genesis.treasury, genesis.split[3], "treasury"));
  COSHARD_TRY(require(genesis.half_life_steps <= kHalfLifeMax, "half life of up to 2^29 steps"));
  COSHARD_TRY(require(in_range(genesis.total_steps, limits::kStepsMax), "total steps"));
  COSHARD_TRY(require(genesis.steps_before < genesis.total_steps, "fewer steps before than total"));
  COSHARD_TRY(require(in_range(genesis.epoch_steps, kEpochStepsMax), "steps of a ledger epoch"));
  COSHARD_TRY(require(in_range(genesis.stages(), limits::kStagesMax), "number of stages"));
  COSHARD_TRY(require(std::all_of(genesis.stage_prices.begin(), genesis.stage_prices.end(),
                                  [](std::uint64_t one) { return in_range(one, kPriceMax); }),
                      "price of 1 to 2^50 FLOPs per token for each stage"));
  COSHARD_TRY(require(in_range(genesis.microbatches, limits::kMicrobatchesMax), "microbatches"));
  COSHARD_TRY(require(in_range(genesis.tokens_per_microbatch, kTokensPerMicrobatchMax),
                      "tokens per microbatch"));
  return check_money(genesis);
}

}  // namespace coshard::ledger
