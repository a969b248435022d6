// What owners may do and what limits them: sales, bonds, vesting, challenge windows, recovery,
// governance, witnesses, verdicts, snapshots; and the state as bytes and back.
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "crypto/hash.h"
#include "crypto/witness_certificate.h"
#include "tests/unit/ledger/fold_fixture.h"

namespace coshard::ledger {
namespace {

constexpr auto kDenied = ErrorCode::kPermissionDenied;
constexpr auto kRefused = ErrorCode::kFailedPrecondition;
constexpr std::uint64_t kDayMs = 86'400'000;

struct Owners : testing::Test {
  void SetUp() override { begin(Fold::with_money()); }
  void begin(SmallRound round) {
    fold.emplace(std::move(round));
    ASSERT_OK(fold->start);
    ASSERT_OK(fold->post_epochs(0, 0));
  }
  const crypto::Identity& node(std::size_t i) const { return fold->round.nodes[i]; }
  AccountId account(std::size_t i) const { return node(i).account(); }
  Balance of(std::size_t i) const { return fold->accounts.balance(account(i)); }
  const Accounts& accounts() const { return fold->accounts; }

  std::optional<Fold> fold;
};

TEST_F(Owners, ASaleNeedsTheBuyersSignatureAndAGiftDoesNot) {
  UnitTransfer sale{account(0), account(1), 100, 5'000'000, LogIndex(0), "deal"};
  EXPECT_REFUSED(*fold, fold->own(node(0), sale), kDenied);
  EXPECT_REFUSED(*fold, fold->own(node(0).root(), sale, {&node(2).root()}), kDenied);
  EXPECT_REFUSED(*fold, fold->own(node(0).root(), sale, {&node(1).operating()}), kDenied);
  const std::uint64_t had = of(1).posted;
  ASSERT_OK(fold->own(node(0).root(), sale, {&node(1).root()}));
  EXPECT_EQ(of(1).posted, had + 100);
  sale.price = 0;
  ASSERT_OK(fold->own(node(0), sale));
  sale.expires = LogIndex(accounts().size());
  EXPECT_REFUSED(*fold, fold->own(node(0), sale), kRefused);
  sale.expires = LogIndex(accounts().size() + 1);
  ASSERT_OK(fold->own(node(0), sale));
}

TEST_F(Owners, WhereTheRoundSaysSoEveryTransferNeedsTheBuyer) {
  SmallRound round = Fold::with_money();
  round.params.buyer_signs = true;
  begin(std::move(round));
  const UnitTransfer gift{account(0), account(1), 100, 0, LogIndex(0), ""};
  EXPECT_REFUSED(*fold, fold->own(node(0), gift), kDenied);
  ASSERT_OK(fold->own(node(0).root(), gift, {&node(1).root()}));
}

TEST_F(Owners, ABoxesKeyMovesNothing) {
  const UnitTransfer theft{account(0), account(1), 100, 0, LogIndex(0), ""};
  EXPECT_REFUSED(*fold, fold->own(node(0).operating(), theft), kDenied);
  EXPECT_REFUSED(*fold, fold->say(theft), kDenied);
  EXPECT_REFUSED(*fold, fold->say(Bond{1}), kDenied);
}

TEST_F(Owners, ABondIsFreeSomeEpochsAfterItsRelease) {
  const std::uint64_t all = of(0).posted;
  ASSERT_OK(fold->own(node(0), Bond{all}));
  EXPECT_EQ(accounts().free_units(account(0)), 0u);
  EXPECT_REFUSED(*fold, fold->own(node(0), Bond{1}), kRefused);
  EXPECT_REFUSED(*fold, fold->own(node(0), BondRelease{all + 1}), kRefused);
  ASSERT_OK(fold->own(node(0), BondRelease{40}));
  EXPECT_REFUSED(*fold, fold->own(node(0), BondRelease{all - 39}), kRefused);
  EXPECT_EQ(accounts().free_units(account(0)), 0u) << "not yet";
  ASSERT_OK(fold->say(Penalty{account(0), all - 20, "equivocation", {}}));
  EXPECT_EQ(of(0).posted, 20u) << "what is on its way back is taken last, and is taken";
  ASSERT_OK(fold->post_epochs(1, 2));
  const std::uint64_t earned = of(0).posted - 20;
  EXPECT_EQ(accounts().free_units(account(0)), earned + 20);
  EXPECT_EQ(accounts().bonded_units(account(0)), 0u);
  EXPECT_REFUSED(*fold, fold->say(Penalty{account(0), 1, "too late", {}}), kRefused);
  ASSERT_OK(
      fold->own(node(0), UnitTransfer{account(0), account(1), earned + 20, 0, LogIndex(0), ""}));
  accounts().check_sums();
}

TEST_F(Owners, VestingLimitsTransfersAndNotRevenue) {
  SmallRound round = Fold::with_money();
  round.params.vesting_epochs = {2, 0, 0, 0};
  begin(std::move(round));
  const std::uint64_t units = of(0).posted;
  EXPECT_EQ(accounts().free_units(account(0)), 0u);
  ASSERT_OK(fold->report(1'000'000'000));
  EXPECT_GT(of(0).owed, 0u);
  ASSERT_OK(fold->finish_epoch(1, 11, 20));
  EXPECT_EQ(accounts().free_units(account(0)), units / 2);
  EXPECT_REFUSED(
      *fold,
      fold->own(node(0), UnitTransfer{account(0), account(1), units / 2 + 1, 0, LogIndex(0), ""}),
      kRefused);
  ASSERT_OK(fold->own(node(0), Bond{units / 2}));
  ASSERT_OK(fold->open_next());
  ASSERT_OK(fold->finish_epoch(2, 21, 30));
  EXPECT_EQ(accounts().free_units(account(0)), units - units / 2);
}

TEST_F(Owners, ACreditIsPostedWhenItsChallengeWindowHasPassed) {
  SmallRound round = Fold::with_money();
  round.params.params.challenge_epochs = 1;
  begin(std::move(round));
  EXPECT_EQ(accounts().totals().posted, 0u);
  EXPECT_REFUSED(*fold, fold->say(CreditPost{LedgerEpoch(0), accounts().covering_checkpoint()}),
                 kRefused);
  ASSERT_OK(fold->finish_epoch(1, 11, 20));
  ASSERT_OK(fold->say(CreditPost{LedgerEpoch(0), accounts().covering_checkpoint()}));
  EXPECT_GT(accounts().totals().posted, 0u);
  ASSERT_OK(fold->say(CheckpointRecord{StepId(20), fold->round.shards()}));
  ASSERT_OK(fold->open_next());
  ASSERT_OK(fold->post_epochs(2, 4));
  EXPECT_TRUE(accounts().is_over());
  EXPECT_EQ(accounts().totals().pending, 0u) << "a round that is over keeps nobody waiting";
}

struct Recoveries : Owners {
  RecoveryClaim claim(const crypto::KeyPair& new_root) const {
    RecoveryClaim leaf{account(0), new_root.public_key(), {}};
    leaf.root_signature = crypto::sign_payload(new_root, crypto::domains::kRecovery,
                                               fold->network(), leaf.account.view());
    return leaf;
  }
  Result<void> say_claim(const crypto::KeyPair& new_root, std::uint64_t number) {
    return fold->apply(sign_body(recovery, fold->network(), number, claim(new_root)));
  }
  Result<void> finish(const crypto::KeyPair& new_root) {
    return fold->apply(
        sign_body(new_root, fold->network(), of(0).entries + 1, RecoveryFinish{account(0)}));
  }

  const crypto::KeyPair recovery = test_key(60);
  const crypto::KeyPair fresh = test_key(61);
};

TEST_F(Recoveries, ANewRootSpeaksForTheAccountAfterTheDelayAndTheOldOneNoMore) {
  EXPECT_REFUSED(*fold, say_claim(fresh, 1), kDenied);
  ASSERT_OK(fold->own(node(0), RecoveryName{recovery.public_key()}));
  EXPECT_REFUSED(*fold, say_claim(fresh, 2), kRefused);
  EXPECT_REFUSED(*fold, say_claim(node(1).root(), 1), kDenied);
  ASSERT_OK(say_claim(fresh, 1));
  EXPECT_REFUSED(*fold, finish(fresh), kRefused);
  EXPECT_REFUSED(*fold, finish(recovery), kDenied);
  // Nothing can be stranded under the new root's own hash meanwhile.
  const AccountId own = crypto::account_id(fresh.public_key());
  EXPECT_REFUSED(*fold, fold->own(node(1), UnitTransfer{account(1), own, 1, 0, LogIndex(0), ""}),
                 kRefused);
  fold->now_ms = 2 * kDayMs - 1;
  EXPECT_REFUSED(*fold, finish(fresh), kRefused);
  fold->now_ms = 2 * kDayMs;
  ASSERT_OK(finish(fresh));
  EXPECT_EQ(accounts().account_of(fresh.public_key()), account(0));
  const UnitTransfer transfer{account(0), account(1), 5, 0, LogIndex(0), ""};
  EXPECT_REFUSED(*fold, fold->own(node(0), transfer), kDenied);
  ASSERT_OK(fold->own(fresh, transfer));
  // The account's boxes obey the new root.
  IdentityRevoke revoke{node(0).node(), {}};
  const auto sign = [&](const crypto::KeyPair& root) {
    revoke.root_signature = crypto::sign_payload(root, crypto::domains::kRevocation,
                                                 fold->network(), revoke.node.view());
  };
  sign(node(0).root());
  EXPECT_REFUSED(*fold, fold->say(revoke), kDenied);
  sign(fresh);
  ASSERT_OK(fold->say(revoke));
  EXPECT_REFUSED(*fold, fold->own(node(1), UnitTransfer{account(1), own, 1, 0, LogIndex(0), ""}),
                 kRefused);
}

TEST_F(Recoveries, TheOwnerObjects) {
  ASSERT_OK(fold->own(node(0), RecoveryName{recovery.public_key()}));
  ASSERT_OK(say_claim(fresh, 1));
  ASSERT_OK(fold->own(node(0), RecoveryName{}));
  fold->now_ms = 10 * kDayMs;
  EXPECT_REFUSED(*fold, finish(fresh), kDenied);
  EXPECT_REFUSED(*fold, say_claim(fresh, 2), kDenied);
  const AccountId own = crypto::account_id(fresh.public_key());
  ASSERT_OK(fold->own(node(1), UnitTransfer{account(1), own, 1, 0, LogIndex(0), ""}));
}

TEST_F(Recoveries, ARecoveredAccountIsRecoveredAgain) {
  ASSERT_OK(fold->own(node(0), RecoveryName{recovery.public_key()}));
  ASSERT_OK(say_claim(fresh, 1));
  fold->now_ms = 2 * kDayMs;
  ASSERT_OK(finish(fresh));
  ASSERT_OK(fold->own(fresh, RecoveryName{recovery.public_key()}));
  const crypto::KeyPair third = test_key(62);
  ASSERT_OK(say_claim(third, 2));
  fold->now_ms = 4 * kDayMs;
  ASSERT_OK(finish(third));
  EXPECT_EQ(accounts().account_of(third.public_key()), account(0));
  EXPECT_NE(accounts().account_of(fresh.public_key()), account(0));
  ASSERT_OK(fold->own(third, UnitTransfer{account(0), account(1), 5, 0, LogIndex(0), ""}));
}

TEST_F(Owners, GovernorsChangeWhatIsNotAnnouncedYet) {
  SmallRound round = Fold::with_money();
  std::vector<crypto::KeyPair> governors;
  for (std::uint8_t i = 0; i < 3; ++i)
    governors.push_back(test_key(static_cast<std::uint8_t>(70 + i)));
  for (const auto& one : governors) round.params.governors.push_back({one.public_key()});
  std::sort(round.params.governors.begin(), round.params.governors.end(),
            [](const Governor& a, const Governor& b) { return a.key < b.key; });
  round.params.governors_needed = 2;
  begin(std::move(round));
  const auto sign = [&](auto leaf, std::initializer_list<std::size_t> who) {
    const Bytes bytes = governed_bytes(leaf);
    for (const std::size_t i : who) {
      leaf.governors.push_back({governors[i].public_key(),
                                crypto::sign_payload(governors[i], crypto::domains::kGovernance,
                                                     fold->network(), bytes)});
    }
    return leaf;
  };
  const ParamChange change{LedgerEpoch(2), Params{1, 500, 3, 100}, {}};
  EXPECT_REFUSED(*fold, fold->say(sign(change, {0})), kDenied);
  EXPECT_REFUSED(*fold, fold->say(sign(change, {0, 0})), kDenied);
  ParamChange forged = sign(change, {0, 1});
  forged.params.minimum_payout = 0;
  EXPECT_REFUSED(*fold, fold->say(forged), kDenied);
  EXPECT_REFUSED(*fold, fold->say(sign(ParamChange{LedgerEpoch(1), {}, {}}, {0, 1})), kRefused);
  ASSERT_OK(fold->say(sign(change, {2, 1})));
  EXPECT_EQ(accounts().params_at(LedgerEpoch(1)), accounts().genesis().params);
  EXPECT_EQ(accounts().params_at(LedgerEpoch(2)), change.params);
  EXPECT_EQ(accounts().params_at(LedgerEpoch(9)), change.params);

  const RoleGrants grants{LedgerEpoch(2), Role::kData, whole_grant(0xd7), {}};
  ASSERT_OK(fold->say(sign(grants, {0, 2})));
  ASSERT_OK(fold->post_epochs(1, 2));
  EXPECT_GT(accounts().balance(whole_grant(0xd7)[0].account).pending +
                accounts().balance(whole_grant(0xd7)[0].account).posted,
            0u);
  EXPECT_REFUSED(*fold, fold->say(sign(RoleGrants{LedgerEpoch(9), Role::kCompute, {}, {}}, {0, 1})),
                 kRefused);
}

TEST_F(Owners, AKeyIsRotatedInOneEntry) {
  const crypto::Identity next = test_identity(90);
  KeyRotate rotate{node(0).node(), {}, {}};
  rotate.root_signature = crypto::sign_payload(node(0).root(), crypto::domains::kRevocation,
                                               fold->network(), node(0).node().view());
  rotate.certificate = next.certificate().encode();
  EXPECT_REFUSED(*fold, fold->say(rotate), kDenied);  // of another account
  rotate.certificate = node(1).certificate().encode();
  EXPECT_FALSE(fold->say(rotate).has_value());
  rotate.certificate = node(0).certificate().encode();
  EXPECT_FALSE(fold->say(rotate).has_value()) << "the same key is none to rotate to";
  const crypto::Identity own = test_identity(1, 90);
  ASSERT_EQ(own.account(), account(0));
  rotate.certificate = own.certificate().encode();
  ASSERT_OK(fold->say(rotate));
  EXPECT_TRUE(accounts().find_node(node(0).node())->revoked.has_value());
  EXPECT_EQ(accounts().find_node(own.node())->account, account(0));
  EXPECT_REFUSED(*fold, fold->say(rotate), kRefused);
}

TEST_F(Owners, AWitnessIsVouchedForAndTakenBack) {
  const crypto::KeyPair witness = test_key(80);
  const auto certificate =
      crypto::WitnessCertificate::sign(node(0).root(), witness, "example.org/witness", 1);
  ASSERT_OK(fold->say(WitnessRegister{certificate.encode()}));
  EXPECT_EQ(accounts().witnesses().at(witness.public_key()).account, account(0));
  EXPECT_REFUSED(*fold, fold->say(WitnessRegister{certificate.encode()}), kRefused);
  const auto stolen =
      crypto::WitnessCertificate::sign(node(1).root(), witness, "example.org/witness", 2);
  EXPECT_REFUSED(*fold, fold->say(WitnessRegister{stolen.encode()}), kRefused);
  const auto stranger =
      crypto::WitnessCertificate::sign(test_key(81), test_key(82), "example.org/w", 1);
  EXPECT_REFUSED(*fold, fold->say(WitnessRegister{stranger.encode()}), kDenied);
  IdentityRevoke revoke{NodeId{witness.public_key()}, {}};
  revoke.root_signature = crypto::sign_payload(node(0).root(), crypto::domains::kRevocation,
                                               fold->network(), revoke.node.view());
  ASSERT_OK(fold->say(revoke));
  EXPECT_TRUE(accounts().witnesses().at(witness.public_key()).revoked.has_value());
  EXPECT_REFUSED(*fold, fold->say(revoke), kRefused);
}

TEST_F(Owners, AVerdictIsAnotherAccountsAboutAUnitThatCounted) {
  const NodeTotal total = accounts().epochs()[0].close.totals.front();
  std::size_t auditor = 0;
  while (node(auditor).node() == total.node) ++auditor;
  AuditVerdict verdict{
      LedgerEpoch(0), StepId(3), total.stage, MicrobatchIndex(0), Attempt(0), total.node,
      false,          17,        {}};
  const auto say = [&](const crypto::Identity& who, std::uint64_t number) {
    return fold->apply(sign_body(who.operating(), fold->network(), number, verdict));
  };
  ASSERT_OK(say(node(auditor), 1));
  EXPECT_REFUSED(*fold, say(node(auditor), 1), kRefused);
  for (const crypto::Identity& one : fold->round.nodes) {
    if (one.node() == total.node) EXPECT_REFUSED(*fold, say(one, 1), kDenied);
  }
  verdict.step = StepId(11);
  EXPECT_REFUSED(*fold, say(node(auditor), 2), kRefused);
}

TEST_F(Owners, ASnapshotIsWhatTheEntriesAddUpTo) {
  ASSERT_OK(fold->report(123'456'789));
  ASSERT_OK(fold->say(Settle{{AccountRef{account(0)}}}));
  const StateSnapshot honest = accounts().snapshot();
  EXPECT_EQ(honest.owners, accounts().balances().size());
  std::vector<Hash> leaves;
  for (const OwnerLeaf& leaf : accounts().owner_leaves()) leaves.push_back(leaf_hash(encode(leaf)));
  EXPECT_EQ(honest.owners_root, root_of(leaves));
  StateSnapshot lie = honest;
  lie.money.owed += 1;
  EXPECT_REFUSED(*fold, fold->say(lie), kRefused);
  lie = honest;
  lie.owners_root[0] ^= 1;
  EXPECT_REFUSED(*fold, fold->say(lie), kRefused);
  ASSERT_OK(fold->say(honest));
  EXPECT_REFUSED(*fold, fold->say(honest), kRefused);
}

TEST_F(Owners, ASeedIsRevealedWhenEveryBatchIsThere) {
  Hash seed{};
  seed[0] = 7;
  ASSERT_OK(fold->close(1, 11, 20));
  auto next = accounts().next_epoch();
  ASSERT_OK(next);
  next->seed_commitment = seed_commitment(seed);
  ASSERT_OK(fold->say(*next));
  ASSERT_OK(fold->hand_in_all(1));
  EXPECT_REFUSED(*fold, fold->say(SeedReveal{LedgerEpoch(1), seed}), kRefused);
  ASSERT_OK(fold->close(2, 21, 30));
  EXPECT_REFUSED(*fold, fold->say(SeedReveal{LedgerEpoch(2), seed}), kRefused);
  ASSERT_OK(fold->hand_in_all(2));
  EXPECT_REFUSED(*fold, fold->say(SeedReveal{LedgerEpoch(2), Hash{}}), kRefused);
  ASSERT_OK(fold->say(SeedReveal{LedgerEpoch(2), seed}));
  EXPECT_REFUSED(*fold, fold->say(SeedReveal{LedgerEpoch(2), seed}), kRefused);
}

TEST_F(Owners, TheStateComesBackFromItsBytesAndGoesOn) {
  ASSERT_OK(fold->report(987'654'321));
  ASSERT_OK(fold->own(node(0), Bond{10}));
  ASSERT_OK(fold->own(node(0), BondRelease{4}));
  ASSERT_OK(fold->say(PayoutInitiated{account(0), 1, 5}));
  ASSERT_OK(fold->own(node(1), RecoveryName{test_key(60).public_key()}));
  const Bytes state = accounts().serialize();
  auto restored = Accounts::restore(state);
  ASSERT_OK(restored);
  EXPECT_EQ(restored->serialize(), state);
  const SignedBody bond = fold->signed_by(node(0).root(), Bond{1});
  LedgerEntry entry{1, LogIndex(accounts().size()), fold->now_ms, bond.body, bond.signatures};
  ASSERT_OK(restored->apply(entry.index, entry));
  ASSERT_OK(fold->apply(bond));
  EXPECT_EQ(restored->serialize(), accounts().serialize());
  for (std::size_t cut : {std::size_t{0}, std::size_t{1}, state.size() / 2, state.size() - 1}) {
    EXPECT_ERROR(Accounts::restore(ByteView(state).first(cut)), ErrorCode::kCorruption);
  }
  Bytes longer = state;
  longer.push_back(0);
  EXPECT_ERROR(Accounts::restore(longer), ErrorCode::kCorruption);
}

}  // namespace
}  // namespace coshard::ledger
