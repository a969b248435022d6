// The rules of the ledger, each broken once, and what must hold whatever happens.
// SPDX-License-Identifier: Apache-2.0
#include "ledger/accounts.h"

#include <gtest/gtest.h>

#include <numeric>

#include "crypto/random.h"
#include "crypto/signed_payload.h"
#include "ledger/apportion.h"
#include "ledger/pricing.h"
#include "tests/unit/ledger/fold_fixture.h"

namespace coshard::ledger {
namespace {

TEST(Accounts, EpochIsSplitByRoleAndWork) {
  Fold fold;
  ASSERT_OK(fold.start);
  ASSERT_OK(fold.finish_epoch(0, 1, 10));
  const std::uint64_t emitted = emitted_through(fold.accounts.genesis(), StepId(10));
  EXPECT_EQ(fold.credited(0), emitted);
  EXPECT_EQ(fold.accounts.totals().pending, emitted);
  EXPECT_EQ(fold.accounts.totals().posted, 0u);
  AccountId data;
  data.bytes.fill(0xd0);
  // Largest remainder by hand: 200,000 units, 80/15/5/0 percent.
  ASSERT_EQ(emitted, 200'000u);
  EXPECT_EQ(fold.accounts.balance(data).pending, 30'000u);
  std::uint64_t compute = 0;
  for (const CreditLine& line : fold.accounts.epochs()[0].credit) {
    if (line.role == Role::kCompute) compute += line.units;
  }
  EXPECT_EQ(compute, 160'000u);
}

TEST(Accounts, PostedOnlyWhenACheckpointCoversTheEpoch) {
  Fold fold;
  ASSERT_OK(fold.finish_epoch(0, 1, 10));
  EXPECT_REFUSED(fold, fold.say(CreditPost{LedgerEpoch(0), LogIndex(1)}),
                 ErrorCode::kFailedPrecondition);
  ASSERT_OK(fold.open_next());
  ASSERT_OK(fold.say(CheckpointRecord{StepId(9), fold.round.shards()}));
  EXPECT_REFUSED(fold, fold.say(CreditPost{LedgerEpoch(0), fold.accounts.covering_checkpoint()}),
                 ErrorCode::kFailedPrecondition);
  ASSERT_OK(fold.say(CheckpointRecord{StepId(10), fold.round.shards()}));
  ASSERT_OK(fold.say(CreditPost{LedgerEpoch(0), fold.accounts.covering_checkpoint()}));
  EXPECT_EQ(fold.accounts.totals().posted, 200'000u);
  EXPECT_EQ(fold.accounts.totals().pending, 0u);
  EXPECT_REFUSED(fold, fold.say(CreditPost{LedgerEpoch(0), fold.accounts.covering_checkpoint()}),
                 ErrorCode::kFailedPrecondition);
}

TEST(Accounts, WholeRoundEmitsExactlyTheCap) {
  Fold fold;
  for (std::uint64_t epoch = 0; epoch < 5; ++epoch) {
    if (epoch > 0) ASSERT_OK(fold.open_next());
    ASSERT_OK(fold.finish_epoch(epoch, epoch * 10 + 1, epoch * 10 + 10));
    ASSERT_OK(fold.say(CheckpointRecord{StepId(epoch * 10 + 10), fold.round.shards()}));
    ASSERT_OK(fold.say(CreditPost{LedgerEpoch(epoch), fold.accounts.covering_checkpoint()}));
  }
  const UnitTotals totals = fold.accounts.totals();
  EXPECT_EQ(totals.posted, fold.round.params.unit_cap);
  EXPECT_EQ(totals.remaining + totals.pending + totals.burnt, 0u);
  EXPECT_ERROR(fold.accounts.next_epoch(), ErrorCode::kFailedPrecondition);
}

TEST(Accounts, ARoundThatGoesOnFromAnotherMintsItsOwnCapOverItsOwnSteps) {
  Fold fold(2, 23);
  ASSERT_OK(fold.start);
  EXPECT_REFUSED(fold, fold.close(0, 21, 30), ErrorCode::kFailedPrecondition);
  EXPECT_REFUSED(fold, fold.say(CheckpointRecord{StepId(23), fold.round.shards()}),
                 ErrorCode::kFailedPrecondition);
  ASSERT_OK(fold.finish_epoch(0, 24, 30));
  EXPECT_EQ(fold.accounts.totals().pending, 1'000'003U * 7 / 27) << "of the steps 24 to 50";
  ASSERT_OK(fold.say(Rollback{StepId(23), "lost"}));
  ASSERT_OK(fold.open_next());
  ASSERT_OK(fold.finish_epoch(1, 24, 30));
  ASSERT_OK(fold.say(CheckpointRecord{StepId(30), fold.round.shards()}));
  ASSERT_OK(fold.say(*fold.accounts.credit_for(LedgerEpoch(0))));
  for (const std::uint64_t epoch : {0U, 1U})
    ASSERT_OK(fold.say(CreditPost{LedgerEpoch(epoch), fold.accounts.covering_checkpoint()}));
  for (std::uint64_t epoch = 2; epoch < 4; ++epoch) {
    ASSERT_OK(fold.open_next());
    ASSERT_OK(fold.finish_epoch(epoch, epoch * 10 + 11, epoch * 10 + 20));
  }
  EXPECT_EQ(fold.accounts.totals().remaining, 0U);
}

TEST(Accounts, EarlyEndBurnsTheRest) {
  Fold fold;
  ASSERT_OK(fold.close(0, 1, 4));
  EXPECT_REFUSED(fold, fold.say(Burn{1'000'003, "unpaid"}), ErrorCode::kFailedPrecondition);
  ASSERT_OK(fold.hand_in_all(0));
  ASSERT_OK(fold.say(*fold.accounts.credit_for(LedgerEpoch(0))));
  const std::uint64_t rest = fold.accounts.totals().remaining;
  EXPECT_EQ(rest, 1'000'003 - emitted_through(fold.accounts.genesis(), StepId(4)));
  EXPECT_REFUSED(fold, fold.say(Burn{rest - 1, "part"}), ErrorCode::kFailedPrecondition);
  EXPECT_REFUSED(fold, fold.say(Burn{0, "none"}), ErrorCode::kFailedPrecondition);
  ASSERT_OK(fold.say(Burn{rest, "stopped"}));
  EXPECT_EQ(fold.accounts.totals().burnt, rest);
  EXPECT_REFUSED(fold, fold.say(Burn{1, "again"}), ErrorCode::kFailedPrecondition);
  EXPECT_ERROR(fold.accounts.next_epoch(), ErrorCode::kFailedPrecondition);
  // What was earned is still posted afterwards.
  ASSERT_OK(fold.say(CheckpointRecord{StepId(4), fold.round.shards()}));
  ASSERT_OK(fold.say(CreditPost{LedgerEpoch(0), fold.accounts.covering_checkpoint()}));
  EXPECT_EQ(fold.accounts.totals().posted + rest, 1'000'003u);
}

TEST(Accounts, OneStageRoundCreditsNobodyAndBurnsAll) {
  Fold fold(1);
  ASSERT_OK(fold.start);
  ASSERT_OK(fold.close(0, 1, 10));
  ASSERT_OK(fold.hand_in_all(0));
  EXPECT_ERROR(fold.accounts.credit_for(LedgerEpoch(0)), ErrorCode::kFailedPrecondition);
  ASSERT_OK(fold.say(Burn{1'000'003, "one stage"}));
  EXPECT_EQ(fold.accounts.totals().burnt, 1'000'003u);
  EXPECT_TRUE(fold.accounts.balances().empty());
}

TEST(Accounts, CreditOfAnythingElseIsRefused) {
  Fold fold;
  ASSERT_OK(fold.close(0, 1, 10));
  EXPECT_ERROR(fold.accounts.credit_for(LedgerEpoch(0)), ErrorCode::kFailedPrecondition);
  ASSERT_OK(fold.hand_in_all(0));
  const Credit right = *fold.accounts.credit_for(LedgerEpoch(0));
  Credit more = right;
  more.lines[0].units += 1;
  EXPECT_REFUSED(fold, fold.say(more), ErrorCode::kFailedPrecondition);
  Credit moved = right;
  moved.lines[0].units -= 1;
  moved.lines[1].units += 1;
  EXPECT_REFUSED(fold, fold.say(moved), ErrorCode::kFailedPrecondition);
  Credit other = right;
  other.lines[0].account.bytes.fill(1);
  EXPECT_REFUSED(fold, fold.say(other), ErrorCode::kFailedPrecondition);
  Credit none{LedgerEpoch(0), {}};
  EXPECT_REFUSED(fold, fold.say(none), ErrorCode::kFailedPrecondition);
  ASSERT_OK(fold.say(right));
  EXPECT_REFUSED(fold, fold.say(right), ErrorCode::kFailedPrecondition);
}

TEST(Accounts, WorkBatchMustAgreeWithTheEpoch) {
  Fold fold;
  ASSERT_OK(fold.close(0, 1, 10));
  const NodeTotal total = fold.accounts.epochs()[0].close.totals[0];
  const auto refused = [&](auto change) {
    WorkBatch batch = fold.batch(0, total);
    change(batch);
    EXPECT_REFUSED(fold, fold.say(batch), ErrorCode::kFailedPrecondition);
  };
  refused([](WorkBatch& b) { ++b.units; });
  refused([](WorkBatch& b) { --b.units; });
  refused([](WorkBatch& b) { ++b.repairs; });
  refused([](WorkBatch& b) { ++b.tokens; });
  refused([](WorkBatch& b) { ++b.flops; });
  refused([](WorkBatch& b) { b.epoch = LedgerEpoch(1); });
  refused([](WorkBatch& b) { b.stage = StageIndex(7); });
  refused([](WorkBatch& b) { b.node.bytes[0] ^= 1; });
  refused([](WorkBatch& b) { b.countersigned = 1; });
  ASSERT_OK(fold.say(fold.batch(0, total)));
  EXPECT_REFUSED(fold, fold.say(fold.batch(0, total)), ErrorCode::kFailedPrecondition);
}

TEST(Accounts, OnlyTheNodeItselfOrTheCoordinatorHandsInABatch) {
  Fold fold;
  ASSERT_OK(fold.close(0, 1, 10));
  const NodeTotal total = fold.accounts.epochs()[0].close.totals[0];
  const WorkBatch batch = fold.batch(0, total);
  const auto key_of = [&](const NodeId& node) -> const crypto::KeyPair& {
    for (const auto& identity : fold.round.nodes) {
      if (identity.node() == node) return identity.operating();
    }
    return fold.round.operating;
  };
  const std::uint64_t sequence = work_batch_sequence(batch.epoch, batch.stage);
  const NodeId stranger = fold.accounts.epochs()[0].close.totals[1].node;
  EXPECT_REFUSED(fold, fold.apply(sign_body(key_of(stranger), fold.network(), sequence, batch)),
                 ErrorCode::kPermissionDenied);
  EXPECT_REFUSED(
      fold, fold.apply(sign_body(crypto::KeyPair::generate(), fold.network(), sequence, batch)),
      ErrorCode::kPermissionDenied);
  EXPECT_REFUSED(fold, fold.apply(sign_body(key_of(batch.node), fold.network(), 77, batch)),
                 ErrorCode::kFailedPrecondition);
  EXPECT_REFUSED(
      fold, fold.apply(sign_body(key_of(batch.node), fold.network(), sequence, Burn{1, "mine"})),
      ErrorCode::kPermissionDenied);
  ASSERT_OK(fold.apply(sign_body(key_of(batch.node), fold.network(), sequence, batch)));
}

// B6: a revoked key is refused from the revocation on, and what it signed before stands.
TEST(Accounts, B6_RevokedKeyIsRefusedFromItsIndexOn) {
  Fold fold;
  ASSERT_OK(fold.close(0, 1, 10));
  const crypto::Identity& node = fold.round.nodes[0];
  const NodeTotal* total = fold.accounts.epochs()[0].find_total(StageIndex(0), node.node());
  ASSERT_NE(total, nullptr);
  const SignedBody own =
      sign_body(node.operating(), fold.network(),
                work_batch_sequence(LedgerEpoch(0), StageIndex(0)), fold.batch(0, *total));
  IdentityRevoke revoke{node.node(), {}};
  EXPECT_REFUSED(fold, fold.say(revoke), ErrorCode::kPermissionDenied);
  revoke.root_signature = crypto::sign_payload(node.operating(), crypto::domains::kRevocation,
                                               fold.network(), node.node().view());
  EXPECT_REFUSED(fold, fold.say(revoke), ErrorCode::kPermissionDenied);
  revoke.root_signature = crypto::sign_payload(node.root(), crypto::domains::kRevocation,
                                               fold.network(), node.node().view());
  const Accounts unrevoked = fold.accounts;
  ASSERT_OK(fold.apply(own));
  ASSERT_OK(fold.say(revoke));
  fold.accounts = unrevoked;
  ASSERT_OK(fold.say(revoke));
  EXPECT_REFUSED(fold, fold.apply(own), ErrorCode::kPermissionDenied);
  EXPECT_REFUSED(fold, fold.say(revoke), ErrorCode::kFailedPrecondition);
  EXPECT_REFUSED(fold, fold.say(IdentityRegister{node.certificate().encode()}),
                 ErrorCode::kFailedPrecondition);
}

TEST(Accounts, RegistrationRules) {
  Fold fold;
  const crypto::Identity newcomer = test_identity(99);
  ASSERT_OK(fold.say(IdentityRegister{newcomer.certificate().encode()}));
  EXPECT_REFUSED(fold, fold.say(IdentityRegister{newcomer.certificate().encode()}),
                 ErrorCode::kFailedPrecondition);
  // B9: another node's CURVE key as one's own.
  crypto::NodeCertificate stolen = test_identity(98).certificate();
  stolen.curve_public = newcomer.certificate().curve_public;
  Bytes payload = stolen.encode();
  payload.resize(104);
  const crypto::Identity thief = test_identity(98);
  stolen.root_signature = crypto::sign_payload(thief.root(), crypto::domains::kCertificate,
                                               crypto::kNoNetwork, payload);
  stolen.operating_signature = crypto::sign_payload(
      thief.operating(), crypto::domains::kCertificate, crypto::kNoNetwork, payload);
  ASSERT_OK(stolen.verify());
  EXPECT_REFUSED(fold, fold.say(IdentityRegister{stolen.encode()}), ErrorCode::kPermissionDenied);
  Bytes flipped = thief.certificate().encode();
  flipped[5] ^= 1;
  EXPECT_REFUSED(fold, fold.say(IdentityRegister{flipped}), ErrorCode::kPermissionDenied);
  EXPECT_REFUSED(fold, fold.say(IdentityRegister{Bytes(3)}), ErrorCode::kInvalidArgument);
}

// B7, B8 and the entry's own frame.
TEST(Accounts, OrderNetworkAndFormAreChecked) {
  Fold fold;
  const std::uint64_t next = fold.accounts.next_sequence();
  const Leaf leaf = CheckpointRecord{StepId(1), fold.round.shards()};
  EXPECT_REFUSED(fold, fold.apply(sign_body(fold.round.operating, fold.network(), next + 1, leaf)),
                 ErrorCode::kFailedPrecondition);
  EXPECT_REFUSED(fold, fold.apply(sign_body(fold.round.operating, fold.network(), next - 1, leaf)),
                 ErrorCode::kFailedPrecondition);
  EXPECT_REFUSED(fold, fold.apply(sign_body(fold.round.operating, NetworkId{}, next, leaf)),
                 ErrorCode::kPermissionDenied);
  SignedBody noncanonical = sign_body(fold.round.operating, fold.network(), next, leaf);
  noncanonical.body.push_back(0x28);  // an unknown field 5
  noncanonical.body.push_back(1);
  noncanonical.signatures[0].signature = crypto::sign_payload(
      fold.round.operating, crypto::domains::kEntryBody, fold.network(), noncanonical.body);
  EXPECT_REFUSED(fold, fold.apply(noncanonical), ErrorCode::kInvalidArgument);
  LedgerEntry entry;
  entry.body = sign_body(fold.round.operating, fold.network(), next, leaf).body;
  entry.signatures = sign_body(fold.round.operating, fold.network(), next, leaf).signatures;
  entry.index = LogIndex(fold.accounts.size() + 1);
  EXPECT_REFUSED(fold, fold.accounts.apply(entry.index, entry), ErrorCode::kInvalidArgument);
  entry.index = LogIndex(fold.accounts.size());
  entry.version = 2;
  EXPECT_REFUSED(fold, fold.accounts.apply(entry.index, entry), ErrorCode::kInvalidArgument);
  EXPECT_REFUSED(fold, fold.say(fold.accounts.genesis()), ErrorCode::kFailedPrecondition);
}

TEST(Accounts, EpochRules) {
  Fold fold;
  EXPECT_REFUSED(fold, fold.say(EpochOpen{LedgerEpoch(1), StepId(11), StepId(20), 1}),
                 ErrorCode::kFailedPrecondition);
  EXPECT_REFUSED(fold, fold.close(0, 2, 10), ErrorCode::kFailedPrecondition);
  EXPECT_REFUSED(fold, fold.close(1, 1, 10), ErrorCode::kFailedPrecondition);
  EXPECT_REFUSED(fold, fold.close(0, 1, 11), ErrorCode::kFailedPrecondition);
  const EpochClose good = *close_of(fold.accounts.genesis(), fold.round.summary(0, 1, 10));
  const auto refused = [&](auto change) {
    EpochClose bad = good;
    change(bad);
    EXPECT_REFUSED(fold, fold.say(bad), ErrorCode::kFailedPrecondition);
  };
  refused([](EpochClose& c) { c.totals[0].units += 1; });
  refused([](EpochClose& c) { c.totals[0].repairs += 1; });
  refused([](EpochClose& c) { c.totals[0].repairs = ~std::uint64_t{0}; });
  refused([](EpochClose& c) { c.totals[0].tokens += 1; });
  refused([](EpochClose& c) { c.totals.pop_back(); });
  refused([](EpochClose& c) { std::swap(c.totals[0], c.totals[1]); });
  refused([](EpochClose& c) { c.totals.push_back(c.totals.back()); });
  refused([](EpochClose& c) { c.totals[0].node.bytes[3] ^= 1; });
  refused([](EpochClose& c) { c.units_count += 1; });
  refused([](EpochClose& c) { c.tokens += 1; });
  ASSERT_OK(fold.say(good));
  EXPECT_REFUSED(fold, fold.say(good), ErrorCode::kFailedPrecondition);
}

// Design 4: a repeated step neither mints twice nor takes away what is posted.
TEST(Accounts, RollbackSharesAStepsEmissionAmongItsExecutions) {
  Fold fold;
  ASSERT_OK(fold.finish_epoch(0, 1, 10));
  ASSERT_OK(fold.say(CheckpointRecord{StepId(10), fold.round.shards()}));
  ASSERT_OK(fold.say(CreditPost{LedgerEpoch(0), fold.accounts.covering_checkpoint()}));
  const std::uint64_t posted = fold.accounts.totals().posted;
  ASSERT_OK(fold.open_next());
  ASSERT_OK(fold.finish_epoch(1, 11, 15));  // the round stops in the middle of epoch 1
  EXPECT_REFUSED(fold, fold.say(Rollback{StepId(12), "no checkpoint there"}),
                 ErrorCode::kFailedPrecondition);
  ASSERT_OK(fold.say(Rollback{StepId(10), "lost stage 1"}));
  EXPECT_EQ(fold.accounts.totals().pending, 0u);
  EXPECT_EQ(fold.accounts.totals().posted, posted);
  EXPECT_ERROR(fold.accounts.credit_for(LedgerEpoch(1)), ErrorCode::kFailedPrecondition);
  ASSERT_OK(fold.open_next());
  ASSERT_OK(fold.finish_epoch(2, 11, 20));
  ASSERT_OK(fold.say(CheckpointRecord{StepId(20), fold.round.shards()}));
  ASSERT_OK(fold.say(CreditPost{LedgerEpoch(2), fold.accounts.covering_checkpoint()}));
  ASSERT_OK(fold.say(*fold.accounts.credit_for(LedgerEpoch(1))));
  ASSERT_OK(fold.say(CreditPost{LedgerEpoch(1), fold.accounts.covering_checkpoint()}));
  const Genesis& genesis = fold.accounts.genesis();
  EXPECT_EQ(fold.accounts.totals().posted, emitted_through(genesis, StepId(20)));
  // Steps 11 to 15 ran twice: half of each went to either execution.
  const std::uint64_t twice =
      emitted_through(genesis, StepId(15)) - emitted_through(genesis, StepId(10));
  EXPECT_LE(fold.credited(1), twice / 2 + 5);
  EXPECT_GE(fold.credited(1), twice / 2 - 5);
}

TEST(Accounts, AVoidedEpochWaitsUntilItsStepsAreCommittedAgain) {
  // A checkpoint may be recorded while the epoch of its step is still open. Credited then, the
  // first execution would get the whole emission, and the second one its half on top.
  Fold fold;
  ASSERT_OK(fold.close(0, 1, 10));
  ASSERT_OK(fold.hand_in_all(0));
  ASSERT_OK(fold.say(Rollback{StepId(0), "a stage was lost"}));
  ASSERT_OK(fold.open_next());
  ASSERT_OK(fold.say(CheckpointRecord{StepId(10), fold.round.shards()}));
  EXPECT_ERROR(fold.accounts.credit_for(LedgerEpoch(0)), ErrorCode::kFailedPrecondition);
  ASSERT_OK(fold.finish_epoch(1, 1, 10));
  const auto first = fold.accounts.credit_for(LedgerEpoch(0));
  ASSERT_OK(first);
  ASSERT_OK(fold.say(*first));
  EXPECT_EQ(fold.accounts.totals().pending, emitted_through(fold.accounts.genesis(), StepId(10)));
}

TEST(Accounts, ReplayGivesIdenticalBytesFromEveryPrefix) {
  SmallRound round;
  auto ledger = round.begin();
  ASSERT_OK(ledger);
  ASSERT_OK(round.run_epoch(*ledger, 0, 1, 10));
  ASSERT_OK(ledger->post(StepId(10), round.shards()));
  ASSERT_OK(round.run_epoch(*ledger, 1, 11, 13));
  ASSERT_OK(ledger->burn_rest("early end"));
  ASSERT_OK(ledger->publish());
  const std::vector<Bytes> entries = *round.store->read(0, *round.store->size());
  std::vector<Bytes> states;
  Accounts first;
  for (const Bytes& bytes : entries) {
    ASSERT_OK(first.apply(LogIndex(states.size()), *decode_entry(bytes)));
    states.push_back(first.serialize());
  }
  EXPECT_EQ(states.back(), ledger->accounts().serialize());
  for (std::size_t cut = 0; cut < entries.size(); ++cut) {
    Accounts again;
    for (std::size_t i = 0; i <= cut; ++i) {
      ASSERT_OK(again.apply(LogIndex(i), *decode_entry(entries[i])));
    }
    ASSERT_EQ(again.serialize(), states[cut]) << "prefix of " << cut + 1;
  }
}

/// Nobody is paid in a round of one stage, also after it went back: its work had no second end.
TEST(Accounts, ARoundOfOneStageGoesBackAndIsCovered) {
  SmallRound round(1, 1);
  auto ledger = round.begin();
  ASSERT_TRUE(ledger);
  ASSERT_TRUE(round.run_epoch(*ledger, 0, 1, 4));
  ASSERT_TRUE(ledger->rollback(StepId(0), LedgerEpoch(1), "a stage was lost"));
  ASSERT_TRUE(round.run_epoch(*ledger, 1, 1, 4));
  const auto posted = ledger->post(StepId(4), round.shards());
  EXPECT_TRUE(posted) << posted.error().message;
  EXPECT_EQ(ledger->accounts().totals().posted, 0U);
}

}  // namespace
}  // namespace coshard::ledger
