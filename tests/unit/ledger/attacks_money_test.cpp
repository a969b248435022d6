// The attack list of the reference, money (ledger.md 9, D1 to D14): each by number.
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <numeric>

#include "ledger/apportion.h"
#include "tests/unit/ledger/fold_fixture.h"

namespace coshard::ledger {
namespace {

constexpr auto kRefused = ErrorCode::kFailedPrecondition;

AccountId account_number(std::uint8_t number) {
  AccountId out;
  out.bytes.fill(number);
  return out;
}

/// Epoch 0 of a round with money is posted: four nodes and two grantees own units.
struct AttackMoney : testing::Test {
  void SetUp() override {
    ASSERT_OK(fold.start);
    ASSERT_OK(fold.post_epochs(0, 0));
  }
  const crypto::Identity& node(std::size_t i) const { return fold.round.nodes[i]; }
  Balance of(const AccountId& account) const { return fold.accounts.balance(account); }
  std::uint64_t owed_to_all() const {
    std::uint64_t sum = 0;
    for (const auto& [account, row] : fold.accounts.balances()) sum += of(account).owed;
    return sum;
  }
  UnitTransfer give(std::size_t from, const AccountId& to, std::uint64_t units) const {
    return {node(from).account(), to, units, 0, LogIndex(0), "gift"};
  }

  Fold fold{Fold::with_money()};
  const AccountId data = account_number(0xd0);
};

TEST(AttackEarly, D1_RevenueWithoutOwnersIsHeld) {
  Fold fold{Fold::with_money()};
  ASSERT_OK(fold.start);
  ASSERT_OK(fold.report(1'000'000));
  EXPECT_EQ(fold.accounts.money().held, 1'000'000u);
  ASSERT_OK(fold.post_epochs(0, 0));
  EXPECT_EQ(fold.accounts.money().held, 1'000'000u) << "not the first owners' either";
  for (const auto& [account, row] : fold.accounts.balances()) {
    EXPECT_EQ(fold.accounts.balance(account).owed, 0u);
  }
  ASSERT_OK(fold.report(1));
  EXPECT_EQ(fold.accounts.money().held, 0u) << "spread with the next revenue";
}

TEST_F(AttackMoney, D2_RevenueOfNothingOneAndVeryMuch) {
  EXPECT_REFUSED(fold, fold.report(0), kRefused);
  ASSERT_OK(fold.report(1));
  EXPECT_EQ(owed_to_all(), 0u) << "a micro-unit among many: nobody has a whole one yet";
  ASSERT_OK(fold.report(std::uint64_t{1} << 62));
  EXPECT_REFUSED(fold, fold.report(std::uint64_t{1} << 62), kRefused);
  ASSERT_OK(fold.report((std::uint64_t{1} << 62) - 2));  // to the last micro-unit of the bound
  EXPECT_REFUSED(fold, fold.report(1), kRefused);
  const std::uint64_t owners = fold.accounts.balances().size();
  EXPECT_LE(owed_to_all(), kRevenueMax);
  EXPECT_GE(owed_to_all() + owners, kRevenueMax) << "less than one micro-unit each is missing";
}

TEST(AttackPool, D3_AMillionOwnersOfOneUnitShareOneMicroUnit) {
  RevenuePool pool;
  std::vector<PoolShare> owners(1'000'000);
  for (PoolShare& owner : owners) pool.add_units(owner, 1);
  pool.report(1);
  uint128_t fractions = 0;
  for (PoolShare& owner : owners) {
    pool.settle(owner);
    EXPECT_EQ(owner.owed, 0u);
    fractions += owner.frac;
  }
  EXPECT_TRUE(fractions + pool.totals().rem == uint128_t{1} << 64) << "nothing is lost";
  EXPECT_TRUE(pool.conserved());
  for (std::uint64_t i = 1; i < 1'000'000; ++i) pool.report(1);
  std::uint64_t owed = 0;
  for (PoolShare& owner : owners) {
    pool.settle(owner);
    owed += owner.owed;
  }
  EXPECT_EQ(owed, 1'000'000u) << "and a million later each has his own";
}

TEST_F(AttackMoney, D4_UnitsThatComeAndGoBetweenRevenuesEarnWhileTheyAreThere) {
  const AccountId first = node(0).account();
  ASSERT_OK(fold.report(1'000'000'000));
  const std::uint64_t before = of(first).owed;
  const std::uint64_t units = of(first).posted;
  ASSERT_OK(fold.own(node(0), give(0, data, units)));
  EXPECT_EQ(of(first).owed, before) << "a transfer does not carry what was earned";
  ASSERT_OK(fold.report(1'000'000'000));
  EXPECT_EQ(of(first).owed, before) << "who owns nothing earns nothing";
  ASSERT_OK(fold.post_epochs(1, 1));  // mints
  EXPECT_EQ(of(first).owed, before) << "nor from revenue before the units";
  const std::uint64_t minted = of(first).posted;
  ASSERT_GT(minted, 0u);
  ASSERT_OK(fold.own(node(0), Bond{minted}));
  ASSERT_OK(fold.say(Penalty{first, minted, "equivocation", {}}));  // burns
  ASSERT_OK(fold.report(1'000'000'000));
  EXPECT_EQ(of(first).owed, before);
  EXPECT_EQ(of(first).frac, 0u) << "his fraction went back to the pool";
  fold.accounts.check_sums();
}

TEST_F(AttackMoney, D5_TransfersToOneselfOfNothingOfTooMuchAndOfPendingUnits) {
  const AccountId first = node(0).account();
  const std::uint64_t units = of(first).posted;
  EXPECT_REFUSED(fold, fold.own(node(0), give(0, first, 1)), kRefused);
  EXPECT_REFUSED(fold, fold.own(node(0), give(0, data, 0)), kRefused);
  EXPECT_REFUSED(fold, fold.own(node(0), give(0, data, units + 1)), kRefused);
  EXPECT_REFUSED(fold, fold.own(node(0), give(0, data, ~std::uint64_t{0})), kRefused);
  ASSERT_OK(fold.finish_epoch(1, 11, 20));
  ASSERT_GT(of(first).pending, 0u);
  EXPECT_REFUSED(fold, fold.own(node(0), give(0, data, units + 1)), kRefused);
  EXPECT_REFUSED(fold, fold.own(node(1), give(0, data, 1)), ErrorCode::kPermissionDenied);
  ASSERT_OK(fold.own(node(0), give(0, data, units)));
}

TEST_F(AttackMoney, D6_PayoutsRetriedDuplicatedFailedAndReordered) {
  const AccountId first = node(0).account();
  ASSERT_OK(fold.report(1'000'000'000));
  const std::uint64_t owed = of(first).owed;
  ASSERT_GT(owed, 30u);
  EXPECT_REFUSED(fold, fold.say(PayoutInitiated{first, 2, 10}), kRefused);
  EXPECT_REFUSED(fold, fold.say(PayoutInitiated{first, 1, owed + 1}), kRefused);
  ASSERT_OK(fold.say(PayoutInitiated{first, 1, 10}));
  EXPECT_REFUSED(fold, fold.say(PayoutInitiated{first, 1, 10}), kRefused);  // said twice
  ASSERT_OK(fold.say(PayoutInitiated{first, 2, owed - 10}));
  EXPECT_EQ(of(first).owed, 0u);
  EXPECT_REFUSED(fold, fold.say(PayoutInitiated{first, 3, 1}), kRefused);
  ASSERT_OK(fold.say(PayoutFinal{first, 2, false, "bounced"}));  // the later one ends first
  EXPECT_REFUSED(fold, fold.say(PayoutFinal{first, 2, true, "again"}), kRefused);
  ASSERT_OK(fold.say(PayoutFinal{first, 1, true, "sepa 1"}));
  EXPECT_REFUSED(fold, fold.say(PayoutFinal{first, 1, false, "sepa 1"}), kRefused);
  EXPECT_EQ(of(first).owed, owed - 10);
  EXPECT_EQ(of(first).in_flight, 0u);
  EXPECT_EQ(fold.accounts.money().paid, 10u);
  fold.accounts.check_sums();
}

TEST_F(AttackMoney, D7_AWrongRevenueIsCorrectedByAnEntry) {
  ASSERT_OK(fold.report(1'000));
  const LogIndex wrong(fold.accounts.size() - 1);
  EXPECT_REFUSED(fold, fold.say(Correction{LogIndex(1), 5, "no revenue there"}), kRefused);
  EXPECT_REFUSED(fold, fold.say(Correction{wrong, 1'000, "says so already"}), kRefused);
  ASSERT_OK(fold.say(Correction{wrong, 1'000'000, "was in thousands"}));
  EXPECT_EQ(fold.accounts.money().revenue, 1'000'000u);
  const std::uint64_t owed = owed_to_all();
  ASSERT_OK(fold.say(Correction{wrong, 0, "was not ours"}));
  EXPECT_EQ(fold.accounts.money().revenue, 0u);
  EXPECT_EQ(owed_to_all(), owed) << "nothing is taken from anybody";
  EXPECT_EQ(fold.accounts.money().deficit, 1'000'000u);
  ASSERT_OK(fold.report(1'500'000));
  EXPECT_EQ(fold.accounts.money().deficit, 0u) << "kept from what came next";
  const std::uint64_t owners = fold.accounts.balances().size();
  EXPECT_LE(owed_to_all(), 1'500'000u);
  EXPECT_GE(owed_to_all() + owners, 1'500'000u);
}

TEST_F(AttackMoney, D8_APenaltyAndAPostRaceAndTheLogDecides) {
  const AccountId first = node(0).account();
  EXPECT_REFUSED(fold, fold.say(CreditVoid{LedgerEpoch(0), first, "too late", {}}), kRefused);
  ASSERT_OK(fold.finish_epoch(1, 11, 20));
  const std::uint64_t pending = of(first).pending;
  const std::uint64_t posted = of(first).posted;
  ASSERT_GT(pending, 0u);
  ASSERT_OK(fold.say(CreditVoid{LedgerEpoch(1), first, "echo", {}}));
  EXPECT_REFUSED(fold, fold.say(CreditVoid{LedgerEpoch(1), first, "echo", {}}), kRefused);
  EXPECT_EQ(fold.accounts.totals().burnt, pending);
  ASSERT_OK(fold.say(CheckpointRecord{StepId(20), fold.round.shards()}));
  ASSERT_OK(fold.say(CreditPost{LedgerEpoch(1), fold.accounts.covering_checkpoint()}));
  EXPECT_EQ(of(first).posted, posted) << "the others got theirs";
  EXPECT_EQ(of(first).pending, 0u);
}

TEST_F(AttackMoney, D8_AVoidedCreditStaysVoidedAfterARollback) {
  const AccountId first = node(0).account();
  ASSERT_OK(fold.finish_epoch(1, 11, 20));
  ASSERT_OK(fold.say(CreditVoid{LedgerEpoch(1), first, "echo", {}}));
  ASSERT_OK(fold.say(Rollback{StepId(10), "a stage was lost"}));
  EXPECT_EQ(fold.accounts.totals().burnt, 0u) << "the epoch's units wait to be credited again";
  ASSERT_OK(fold.open_next());
  ASSERT_OK(fold.finish_epoch(2, 11, 20));
  ASSERT_OK(fold.say(CheckpointRecord{StepId(20), fold.round.shards()}));
  const auto again = fold.accounts.credit_for(LedgerEpoch(1));
  ASSERT_OK(again);
  const std::uint64_t pending = of(first).pending;
  ASSERT_OK(fold.say(*again));
  EXPECT_EQ(of(first).pending, pending);
  EXPECT_GT(fold.accounts.totals().burnt, 0u);
}

TEST(AttackEmission, D9_EmissionAddsUpToTheCap) {
  for (const std::uint64_t half_life : {0u, 7u, 30u}) {
    SmallRound round;
    round.params.half_life_steps = half_life;
    Fold fold{std::move(round)};
    ASSERT_OK(fold.start);
    ASSERT_OK(fold.post_epochs(0, 4));
    EXPECT_EQ(fold.accounts.totals().posted, fold.accounts.genesis().unit_cap)
        << "half life " << half_life;
    EXPECT_EQ(fold.accounts.totals().remaining, 0u);
  }
}

TEST(AttackApportion, D10_TiesOfTheLargestRemainderGoToTheSmallerAccount) {
  const std::vector<std::uint64_t> three = largest_remainder(2, std::vector<uint128_t>(3, 1));
  EXPECT_EQ(three, (std::vector<std::uint64_t>{1, 1, 0}));
  const std::vector<std::uint64_t> big =
      largest_remainder(10, std::vector<uint128_t>(7, uint128_t{1} << 100));
  EXPECT_EQ(std::accumulate(big.begin(), big.end(), std::uint64_t{0}), 10u);
  EXPECT_EQ(big, (std::vector<std::uint64_t>{2, 2, 2, 1, 1, 1, 1}));
}

TEST_F(AttackMoney, D11_WhatWouldOverflowIsRefusedAndChangesNothing) {
  ASSERT_OK(fold.report(kRevenueMax - 10));
  EXPECT_REFUSED(fold, fold.report(11), kRefused);
  EXPECT_REFUSED(fold, fold.report(~std::uint64_t{0}), kRefused);
  const LogIndex big(fold.accounts.size() - 1);
  EXPECT_REFUSED(fold, fold.say(Correction{big, ~std::uint64_t{0}, "more"}), kRefused);
  EXPECT_REFUSED(fold, fold.own(node(0), Bond{~std::uint64_t{0}}), kRefused);
  EXPECT_REFUSED(fold, fold.say(PayoutInitiated{node(0).account(), 1, ~std::uint64_t{0}}),
                 kRefused);
  SmallRound round = Fold::with_money();
  round.params.unit_cap = (std::uint64_t{1} << 62) + 1;
  EXPECT_ERROR(Fold(std::move(round)).start, ErrorCode::kInvalidArgument);
}

TEST_F(AttackMoney, D14_SplittingAHolderGainsNothing) {
  const AccountId whole = node(0).account();
  const std::uint64_t units = of(whole).posted;
  ASSERT_GT(units, 1'000u);
  ASSERT_OK(fold.report(999'999'937));
  const Accounts before = fold.accounts;
  for (std::uint64_t i = 0; i < 1'000; ++i) {
    AccountId part = account_number(0x55);
    part.bytes[0] = static_cast<std::uint8_t>(i);
    part.bytes[1] = static_cast<std::uint8_t>(i >> 8);
    ASSERT_OK(fold.own(node(0), give(0, part, i < 999 ? units / 1'000 : of(whole).posted)));
  }
  ASSERT_OK(fold.report(777'777'777));
  std::uint64_t parts = of(whole).owed;
  for (const auto& [account, row] : fold.accounts.balances()) {
    if (account.bytes[31] == 0x55) parts += of(account).owed;
  }
  fold.accounts = before;
  ASSERT_OK(fold.report(777'777'777));
  EXPECT_LE(parts, of(whole).owed);
  EXPECT_GE(parts + 1'001, of(whole).owed) << "and loses less than a micro-unit for each part";
}

}  // namespace
}  // namespace coshard::ledger
