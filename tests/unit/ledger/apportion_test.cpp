// Splitting exactly: against wide arithmetic, and the sum of all emission (reference D9, D10).
// SPDX-License-Identifier: Apache-2.0
#include "ledger/apportion.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <numeric>

#include "ledger/pricing.h"
#include "tests/unit/ledger/small_round.h"

namespace coshard::ledger {
namespace {

/// floor(a * b / c) for numbers whose product fits in 128 bits: the closed form.
RC_GTEST_PROP(Scale, EqualsTheClosedForm, ()) {
  const auto amount = *rc::gen::arbitrary<std::uint64_t>();
  const auto whole = *rc::gen::suchThat<std::uint64_t>([](std::uint64_t w) { return w > 0; });
  const auto part = *rc::gen::inRange<std::uint64_t>(0, whole);
  const uint128_t product = uint128_t{amount} * part;
  const Quotient got = scale(amount, part, whole);
  RC_ASSERT(got.value == static_cast<std::uint64_t>(product / whole));
  RC_ASSERT(got.remainder == product % whole);
}

TEST(Scale, WideWeights) {
  const uint128_t whole = uint128_t{1} << 125;
  EXPECT_EQ(scale(~std::uint64_t{0}, whole, whole).value, ~std::uint64_t{0});
  EXPECT_EQ(scale(~std::uint64_t{0}, 0, whole).value, 0u);
  EXPECT_EQ(scale(1000, whole / 4, whole).value, 250u);
  EXPECT_EQ(scale(std::uint64_t{1} << 62, whole / 3, whole).value, (std::uint64_t{1} << 62) / 3);
}

RC_GTEST_PROP(LargestRemainder, SumIsExactAndNobodyIsOffByMoreThanOne, ()) {
  const auto amount = *rc::gen::arbitrary<std::uint64_t>();
  const auto small =
      *rc::gen::container<std::vector<std::uint32_t>>(rc::gen::arbitrary<std::uint32_t>());
  const std::vector<uint128_t> weights(small.begin(), small.end());
  const uint128_t whole = std::accumulate(weights.begin(), weights.end(), uint128_t{0});
  const auto shares = largest_remainder(amount, weights);
  RC_ASSERT(shares.size() == weights.size());
  uint128_t sum = 0;
  for (const std::uint64_t share : shares) sum += share;
  RC_ASSERT(sum == (whole == 0 ? 0 : amount));
  for (std::size_t i = 0; whole > 0 && i < shares.size(); ++i) {
    const auto floor = static_cast<std::uint64_t>(uint128_t{amount} * weights[i] / whole);
    RC_ASSERT(shares[i] == floor || shares[i] == floor + 1);
    if (weights[i] == 0) RC_ASSERT(shares[i] == 0u);
  }
}

TEST(LargestRemainder, TiesGoToTheEarlier) {
  const uint128_t equal[3] = {1, 1, 1};
  EXPECT_EQ(largest_remainder(8, equal), (std::vector<std::uint64_t>{3, 3, 2}));
  const uint128_t uneven[3] = {2, 3, 5};
  EXPECT_EQ(largest_remainder(9, uneven), (std::vector<std::uint64_t>{2, 3, 4}));
  EXPECT_EQ(largest_remainder(5, {}), std::vector<std::uint64_t>{});
}

Genesis emitting(std::uint64_t cap, std::uint64_t steps, std::uint64_t half_life) {
  Genesis out;
  out.unit_cap = cap;
  out.total_steps = steps;
  out.half_life_steps = half_life;
  return out;
}

RC_GTEST_PROP(Emission, SumIsTheCap, ()) {
  const Genesis genesis = emitting(*rc::gen::inRange<std::uint64_t>(1, kUnitCapMax),
                                   *rc::gen::inRange<std::uint64_t>(1, 2000),
                                   *rc::gen::inRange<std::uint64_t>(0, 3000));
  std::uint64_t sum = 0;
  for (std::uint64_t step = 1; step <= genesis.total_steps; ++step) {
    sum += emission_of(genesis, StepId(step));
  }
  RC_ASSERT(sum == genesis.unit_cap);
  RC_ASSERT(emitted_through(genesis, StepId(0)) == 0u);
}

RC_GTEST_PROP(Emission, StepsOfAnotherRoundEmitNothing, ()) {
  const auto own = *rc::gen::inRange<std::uint64_t>(1, 500);
  const auto before = *rc::gen::inRange<std::uint64_t>(0, 500);
  const auto half_life = *rc::gen::inRange<std::uint64_t>(0, 700);
  const Genesis alone = emitting(1'000'000'007, own, half_life);
  Genesis later = emitting(1'000'000'007, before + own, half_life);
  later.steps_before = before;
  for (std::uint64_t step = 1; step <= own; ++step)
    RC_ASSERT(emission_of(later, StepId(before + step)) == emission_of(alone, StepId(step)));
}

TEST(Emission, ConstantIsEvenToOneUnit) {
  const Genesis genesis = emitting(1'000'000'000'000, 7, 0);
  for (std::uint64_t step = 1; step <= 7; ++step) {
    const std::uint64_t units = emission_of(genesis, StepId(step));
    EXPECT_GE(units, 142'857'142'857u);
    EXPECT_LE(units, 142'857'142'858u);
  }
}

TEST(Emission, HalvesEveryHalfLife) {
  const Genesis genesis = emitting(std::uint64_t{1} << 60, 1000, 100);
  for (std::uint64_t step = 1; step <= 800; step += 33) {
    const std::uint64_t now = emission_of(genesis, StepId(step));
    const std::uint64_t later = emission_of(genesis, StepId(step + 100));
    EXPECT_LE(now > 2 * later ? now - 2 * later : 2 * later - now, 3u) << step;
    EXPECT_GE(now, emission_of(genesis, StepId(step + 1)));
  }
}

TEST(Emission, ExtremesStayExact) {
  for (const std::uint64_t half_life : {std::uint64_t{1}, std::uint64_t{2}, kHalfLifeMax}) {
    const Genesis genesis = emitting(kUnitCapMax, limits::kStepsMax, half_life);
    EXPECT_EQ(emitted_through(genesis, StepId(limits::kStepsMax)), kUnitCapMax);
    std::uint64_t previous = 0;
    for (std::uint64_t step = 1; step < limits::kStepsMax; step *= 3) {
      const std::uint64_t now = emitted_through(genesis, StepId(step));
      EXPECT_GE(now, previous);
      previous = now;
    }
  }
}

TEST(Genesis, EveryBadParameterIsNamed) {
  SmallRound round;
  Genesis good = round.params;
  good.coordinator = round.operating.public_key();
  good.log_key = round.log_key.public_key();
  ASSERT_OK(check_genesis(good));
  const auto refused = [&](auto change) {
    Genesis bad = good;
    change(bad);
    EXPECT_ERROR(check_genesis(bad), ErrorCode::kInvalidArgument);
  };
  refused([](Genesis& g) { g.model = "Small"; });
  refused([](Genesis& g) { g.origin = "example.org/coshard/m/other"; });
  refused([](Genesis& g) { g.coordinator = {}; });
  refused([](Genesis& g) { g.log_key = {}; });
  refused([](Genesis& g) { g.log_key = g.coordinator; });
  refused([](Genesis& g) { g.unit_cap = 0; });
  refused([](Genesis& g) { g.unit_cap = kUnitCapMax + 1; });
  refused([](Genesis& g) { g.split = {8000, 2000}; });
  refused([](Genesis& g) { g.split = {8000, 1500, 499, 0}; });
  refused([](Genesis& g) { g.split[0] = ~std::uint64_t{0}; });
  refused([](Genesis& g) { g.data.clear(); });
  refused([](Genesis& g) { g.data[0].basis_points = 9999; });
  refused([](Genesis& g) { g.data.push_back(g.data[0]); });
  refused([](Genesis& g) { g.treasury = g.data; });
  refused([](Genesis& g) { g.half_life_steps = kHalfLifeMax + 1; });
  refused([](Genesis& g) { g.total_steps = 0; });
  refused([](Genesis& g) { g.steps_before = g.total_steps; });
  refused([](Genesis& g) { g.epoch_steps = 0; });
  refused([](Genesis& g) { g.stage_prices.clear(); });
  refused([](Genesis& g) { g.stage_prices[1] = 0; });
  refused([](Genesis& g) { g.stage_prices[1] = kPriceMax + 1; });
  refused([](Genesis& g) { g.microbatches = 0; });
  refused([](Genesis& g) { g.tokens_per_microbatch = 0; });
}

}  // namespace
}  // namespace coshard::ledger
