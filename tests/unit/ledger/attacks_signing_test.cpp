// The attack list of the reference, signing (ledger.md 9, B1 to B8), against a log: what a forger
// hands in, and that nothing of it is believed. B9 to B11 are in the transport's and the key file's
// tests.
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "tests/unit/ledger/fold_fixture.h"

namespace coshard::ledger {
namespace {

constexpr auto kDenied = ErrorCode::kPermissionDenied;
constexpr auto kRefused = ErrorCode::kFailedPrecondition;
constexpr auto kMalformed = ErrorCode::kInvalidArgument;

struct AttackSigning : testing::Test {
  void SetUp() override {
    ASSERT_OK(fold.start);
    ASSERT_OK(fold.post_epochs(0, 0));
  }
  const crypto::Identity& owner() const { return fold.round.nodes[0]; }
  std::uint64_t next() const { return fold.accounts.balance(owner().account()).entries + 1; }

  Fold fold{Fold::with_money()};
};

TEST_F(AttackSigning, B1_ASignatureOfOneKindIsNoneOfAnother) {
  // A release of five units has the same leaf bytes as a bond of five: only the type differs.
  const SignedBody bond = fold.signed_by(owner().root(), Bond{5});
  SignedBody release;
  release.body = encode_body(Body{NodeId{owner().root().public_key()}, next(), BondRelease{5}});
  release.signatures = bond.signatures;
  EXPECT_REFUSED(fold, fold.apply(release), kDenied);
  // The right bytes, signed for another purpose.
  for (const crypto::SignatureDomain& domain : crypto::domains::kAll) {
    if (domain.type == crypto::domains::kEntryBody.type) continue;
    SignedBody other = bond;
    other.signatures[0].signature =
        crypto::sign_payload(owner().root(), domain, fold.network(), bond.body);
    EXPECT_REFUSED(fold, fold.apply(other), kDenied);
  }
  SignedBody raw = bond;  // as a signed note signs: no domain at all
  raw.signatures[0].signature = owner().root().sign(bond.body);
  EXPECT_REFUSED(fold, fold.apply(raw), kDenied);
  ASSERT_OK(fold.apply(bond));
}

TEST_F(AttackSigning, B2_ASignatureOfOneNetworkIsNoneOfAnother) {
  SmallRound same = Fold::with_money();
  same.params.nonce.fill(1);  // everything else is equal, the keys too
  Fold elsewhere{std::move(same)};
  ASSERT_OK(elsewhere.start);
  ASSERT_OK(elsewhere.post_epochs(0, 0));
  ASSERT_NE(elsewhere.network(), fold.network());
  const SignedBody transfer = elsewhere.signed_by(
      owner().root(),
      UnitTransfer{owner().account(), fold.round.nodes[1].account(), 5, 0, LogIndex(0), ""});
  EXPECT_REFUSED(fold, fold.apply(transfer), kDenied);
  ASSERT_OK(elsewhere.apply(transfer));
}

TEST_F(AttackSigning, B3_AnotherEncodingOfAValidPayloadIsRefusedThoughItIsSigned) {
  const SignedBody good = fold.signed_by(owner().root(), Bond{5});
  const auto signed_again = [&](Bytes bytes) {
    SignedBody body{std::move(bytes), {}};
    fold.countersign(body, owner().root());
    return body;
  };
  Bytes longer = good.body;  // the type's varint in two bytes
  ASSERT_EQ(longer[0], 0x08);
  longer[1] |= 0x80;
  longer.insert(longer.begin() + 2, 0x00);
  Bytes unknown = good.body;
  unknown.insert(unknown.end(), {0x78, 0x01});  // field 15
  Bytes twice = good.body;
  twice.insert(twice.begin(), good.body.begin(), good.body.begin() + 2);
  for (const Bytes& bytes : {longer, unknown, twice}) {
    EXPECT_REFUSED(fold, fold.apply(signed_again(bytes)), kMalformed);
  }
  ASSERT_OK(fold.apply(signed_again(good.body)));
}

TEST_F(AttackSigning, B4_AMalleatedSignatureIsRefused) {
  const SignedBody good = fold.signed_by(owner().root(), Bond{5});
  SignedBody malleated = good;
  // S + L, where L is the order of the group: the same equation, other bytes (RFC 8032 5.1.7).
  constexpr std::uint8_t kOrder[32] = {0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58,
                                       0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14,
                                       0,    0,    0,    0,    0,    0,    0,    0,
                                       0,    0,    0,    0,    0,    0,    0,    0x10};
  unsigned carry = 0;
  for (std::size_t i = 0; i < 32; ++i) {
    std::uint8_t& byte = malleated.signatures[0].signature[32 + i];
    carry += unsigned{byte} + kOrder[i];
    byte = static_cast<std::uint8_t>(carry);
    carry >>= 8;
  }
  EXPECT_REFUSED(fold, fold.apply(malleated), kDenied);
  ASSERT_OK(fold.apply(good));
}

TEST_F(AttackSigning, B5_WeakKeysAreRefusedAtRegistration) {
  const auto point = [](const char* hex) {
    crypto::PublicKey key{};
    const Bytes bytes = *from_hex(hex);
    std::copy(bytes.begin(), bytes.end(), key.begin());
    return key;
  };
  // The neutral point, a point of order 8, and 2 (on the curve or not, not of prime order).
  const crypto::PublicKey weak[] = {
      point("0100000000000000000000000000000000000000000000000000000000000000"),
      point("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"),
      point("0000000000000000000000000000000000000000000000000000000000000000")};
  for (const crypto::PublicKey& key : weak) {
    crypto::NodeCertificate certificate = test_identity(50).certificate();
    certificate.operating_public = key;
    EXPECT_REFUSED(fold, fold.say(IdentityRegister{certificate.encode()}), kDenied);
    certificate = test_identity(50).certificate();
    certificate.root_public = key;
    EXPECT_REFUSED(fold, fold.say(IdentityRegister{certificate.encode()}), kDenied);
    if (key != crypto::PublicKey{}) {  // zero: no recovery key
      EXPECT_REFUSED(fold, fold.own(owner(), RecoveryName{key}), kDenied);
    }
    SmallRound round = Fold::with_money();
    round.params.governors = {Governor{key}};
    round.params.governors_needed = 1;
    EXPECT_ERROR(Fold(std::move(round)).start, kMalformed);
  }
}

TEST_F(AttackSigning, B6_ARevokedKeyIsWorthNothingFromItsIndexOn) {
  const crypto::Identity& node = fold.round.nodes[1];
  ASSERT_OK(fold.close(1, 11, 20));
  std::vector<NodeTotal> own;
  for (const NodeTotal& total : fold.accounts.epochs()[1].close.totals) {
    if (total.node == node.node()) own.push_back(total);
  }
  ASSERT_FALSE(own.empty());
  const auto batch = [&](std::uint64_t epoch, const NodeTotal& total) {
    return sign_body(node.operating(), fold.network(),
                     work_batch_sequence(LedgerEpoch(epoch), total.stage),
                     fold.batch(epoch, total));
  };
  const SignedBody before = batch(1, own.front());
  ASSERT_OK(fold.apply(before));
  IdentityRevoke revoke{node.node(), {}};
  revoke.root_signature = crypto::sign_payload(node.root(), crypto::domains::kRevocation,
                                               fold.network(), node.node().view());
  ASSERT_OK(fold.say(revoke));
  ASSERT_OK(fold.open_next());
  for (const NodeTotal& total : fold.accounts.epochs()[1].close.totals) {
    if (!fold.accounts.epochs()[1].batches.contains({total.stage, total.node})) {
      ASSERT_OK(fold.say(fold.batch(1, total)));
    }
  }
  ASSERT_OK(fold.close(2, 21, 30));
  for (const NodeTotal& total : fold.accounts.epochs()[2].close.totals) {
    if (total.node == node.node()) EXPECT_REFUSED(fold, fold.apply(batch(2, total)), kDenied);
  }
}

TEST_F(AttackSigning, B7_WhatWasSaidOnceIsNotSaidAgain) {
  // The fold refuses any repeat; that the sequencer answers a retry with the same index, and other
  // content with a conflict, is SequencerTest.B7.
  const SignedBody bond = fold.signed_by(owner().root(), Bond{5});
  ASSERT_OK(fold.apply(bond));
  EXPECT_REFUSED(fold, fold.apply(bond), kRefused);
  const SignedBody other = sign_body(owner().root(), fold.network(), next() - 1, Bond{6});
  EXPECT_REFUSED(fold, fold.apply(other), kRefused);
}

TEST_F(AttackSigning, B8_AGapInAnAuthorsNumbersIsRefused) {
  const auto coordinator = [&](std::uint64_t number) {
    return fold.apply(sign_body(fold.round.operating, fold.network(), number,
                                RevenueReported{7, "invoice", Hash{}}));
  };
  const std::uint64_t due = fold.accounts.next_sequence();
  EXPECT_REFUSED(fold, coordinator(due + 1), kRefused);
  EXPECT_REFUSED(fold, coordinator(due - 1), kRefused);
  EXPECT_REFUSED(fold, coordinator(~std::uint64_t{0}), kRefused);
  ASSERT_OK(coordinator(due));
  const auto owners = [&](std::uint64_t number) {
    return fold.apply(sign_body(owner().root(), fold.network(), number, Bond{1}));
  };
  EXPECT_REFUSED(fold, owners(next() + 1), kRefused);
  EXPECT_REFUSED(fold, owners(0), kRefused);
  ASSERT_OK(owners(next()));
}

}  // namespace
}  // namespace coshard::ledger
