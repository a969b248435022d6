// SPDX-License-Identifier: Apache-2.0
#include "ledger/pricing.h"

#include <algorithm>
#include <numeric>

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
  return require(in_range(genesis.tokens_per_microbatch, kTokensPerMicrobatchMax),
                 "tokens per microbatch");
}

}  // namespace coshard::ledger
