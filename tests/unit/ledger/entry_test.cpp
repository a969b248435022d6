// The canonical encoding, entries and their signatures (reference ledger.md B1 to B4).
// SPDX-License-Identifier: Apache-2.0
#include "ledger/entry.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include "crypto/random.h"
#include "crypto/signed_payload.h"
#include "ledger/merkle.h"
#include "tests/unit/ledger/small_round.h"

namespace coshard::ledger {
namespace {

WorkBatch sample_batch() {
  WorkBatch batch;
  batch.epoch = LedgerEpoch(3);
  batch.stage = StageIndex(1);
  batch.node.bytes.fill(7);
  batch.units = 300;
  batch.tokens = 19'200;
  batch.flops = uint128_t{1} << 70;
  return batch;
}

TEST(Canonical, BytesAreTheDocumentedOnes) {
  EpochOpen open;
  open.epoch = LedgerEpoch(2);
  open.first_step = StepId(41);
  open.last_step = StepId(300);
  EXPECT_EQ(to_hex(encode(open)), "0802102918ac022a20" + std::string(64, '0'))
      << "emission 0 is left out; a hash is written even when it is zero";
  Burn burn{1, "end"};
  EXPECT_EQ(to_hex(encode(burn)), "08011203656e64");
}

TEST(Canonical, WideNumbersHaveNoLeadingZero) {
  WorkBatch batch = sample_batch();
  EXPECT_EQ(*decode<WorkBatch>(encode(batch)), batch);
  batch.flops = ~uint128_t{0};
  EXPECT_EQ(*decode<WorkBatch>(encode(batch)), batch);
  batch.flops = 0;
  EXPECT_EQ(*decode<WorkBatch>(encode(batch)), batch);
}

// B3: every other encoding of the same value is refused.
TEST(Canonical, B3_OtherEncodingsOfTheSameValueAreRefused) {
  const std::string good = "08011203656e64";  // Burn{1, "end"}
  ASSERT_TRUE(decode<Burn>(*from_hex(good)).has_value());
  for (const char* bad : {"1203656e640801",                      // fields out of order
                          "080108011203656e64",                  // a field twice
                          "0881001203656e64",                    // a longer varint
                          "08011203656e641a00",                  // an unknown field
                          "08001203656e64",                      // a default written out
                          "08011200",                            // an empty string written out
                          "8801001203656e64",                    // a longer key
                          "09010000000000000012",                // another wire type
                          "08011203656e",                        // cut short
                          "0801120a656e64",                      // longer than there are bytes
                          "08ffffffffffffffffffff011203656e64",  // more than 64 bits
                          "08011203656e6400"}) {                 // trailing byte
    EXPECT_FALSE(decode<Burn>(*from_hex(bad)).has_value()) << bad;
  }
}

TEST(Canonical, SmallNumbersAreBounded) {
  // ShardHash.stage is 32 bits: 2^32 does not fit.
  Bytes bytes = *from_hex(
      "08808080801012"
      "20");
  bytes.resize(bytes.size() + 32);
  EXPECT_FALSE(decode<ShardHash>(bytes).has_value());
  EXPECT_FALSE(decode<ShardHash>(*from_hex("080112021111")).has_value()) << "a hash of 2 bytes";
}

RC_GTEST_PROP(Canonical, AnyBytesAreRefusedOrEncodeToThemselves, (const Bytes& bytes)) {
  if (const auto value = decode<EpochClose>(bytes)) RC_ASSERT(encode(*value) == bytes);
  if (const auto value = decode<LedgerEntry>(bytes)) RC_ASSERT(encode(*value) == bytes);
  if (const auto value = decode_body(bytes)) RC_ASSERT(encode_body(*value) == bytes);
}

/// One of each kind that keys, owners, audits and money need, in the variant's order.
std::vector<Leaf> later_leaves() {
  AccountId account;
  account.bytes.fill(0xa1);
  AccountId other;
  other.bytes.fill(0xa2);
  NodeId node;
  node.bytes.fill(0xa3);
  const crypto::PublicKey key = test_key(9).public_key();
  const Hash hash = leaf_hash(Bytes(1, 7));
  const EntrySignature governor{key, {}};
  MoneyTotals money;
  money.revenue = 5;
  money.acc = uint128_t{1} << 80;
  const AuditVerdict verdict{
      LedgerEpoch(1), StepId(12), StageIndex(1), MicrobatchIndex(2), Attempt(1), node,
      false,          15'000'000, hash};
  return {KeyRotate{node, {}, Bytes(3, 1)},
          WitnessRegister{Bytes(4, 2)},
          RecoveryName{key},
          RecoveryClaim{account, key, {}},
          RecoveryFinish{account},
          ParamChange{LedgerEpoch(3), Params{1, 2, 3, 4}, {governor}},
          RoleGrants{LedgerEpoch(3), Role::kDesign, {Grant{account, kBasisPoints}}, {governor}},
          SeedReveal{LedgerEpoch(2), hash},
          verdict,
          CreditVoid{LedgerEpoch(2), account, "echo", hash},
          UnitTransfer{account, other, 5, 1'000'000, LogIndex(99), "invoice 7"},
          Bond{5},
          BondRelease{4},
          Penalty{account, 3, "equivocation", hash},
          RevenueReported{1'000'000, "2026-11", hash},
          Correction{LogIndex(40), 999'999, "typing error"},
          Settle{{AccountRef{account}, AccountRef{other}}},
          PayoutInitiated{account, 1, 77},
          PayoutFinal{account, 1, true, "sepa 12"},
          StateSnapshot{44, hash, 2, UnitTotals{100, 50, 10, 1, 39}, money},
          LogKeyRotate{key, 300, {}, {}}};
}

TEST(Body, EveryLeafTypeRoundTrips) {
  const SmallRound round;
  Genesis genesis = round.params;
  genesis.coordinator = round.operating.public_key();
  CheckpointRecord record{StepId(20), round.shards()};
  Credit credit{LedgerEpoch(1), {{AccountId{}, Role::kTreasury, 5}}};
  EpochClose close;
  close.totals.push_back({StageIndex(0), round.nodes[0].node(), 3, 1, 256});
  std::vector<Leaf> leaves{genesis,
                           IdentityRegister{round.nodes[0].certificate().encode()},
                           IdentityRevoke{round.nodes[0].node(), {}},
                           EpochOpen{LedgerEpoch(0), StepId(1), StepId(10), 99},
                           close,
                           sample_batch(),
                           credit,
                           CreditPost{LedgerEpoch(1), LogIndex(9)},
                           record,
                           Rollback{StepId(20), "lost a stage"},
                           Burn{7, "end"}};
  for (Leaf& later : later_leaves()) leaves.push_back(std::move(later));
  ASSERT_EQ(leaves.size(), std::variant_size_v<Leaf>);
  for (std::size_t i = 0; i < leaves.size(); ++i) {
    const Body body{NodeId{round.operating.public_key()}, i, leaves[i]};
    const auto again = decode_body(encode_body(body));
    ASSERT_OK(again);
    EXPECT_EQ(*again, body) << to_string(type_of(leaves[i]));
    EXPECT_EQ(leaves[i].index(), i) << "the list above follows the variant";
    EXPECT_NE(to_string(type_of(leaves[i])), "unknown");
  }
}

/// Whatever bytes a decoder takes are the ones that the encoder would write: bytes of real leaves,
/// changed in a few places.
RC_GTEST_PROP(Canonical, WhatIsTakenEncodesAgainToItself, ()) {
  std::vector<Leaf> leaves = later_leaves();
  leaves.emplace_back(sample_batch());
  leaves.emplace_back(Genesis(SmallRound().params));
  const auto& leaf = leaves[*rc::gen::inRange<std::size_t>(0, leaves.size())];
  Bytes bytes = encode_body(Body{NodeId{}, *rc::gen::arbitrary<std::uint64_t>(), leaf});
  const auto changes = *rc::gen::inRange(1, 4);
  for (int i = 0; i < changes; ++i) {
    const auto at = *rc::gen::inRange<std::size_t>(0, bytes.size());
    const auto place = bytes.begin() + static_cast<std::ptrdiff_t>(at);
    switch (*rc::gen::inRange(0, 4)) {
      case 0:
        *place = *rc::gen::arbitrary<std::uint8_t>();
        break;
      case 1:
        bytes.insert(place, std::uint8_t{0});
        break;
      case 2:  // a longer varint, where this byte ended one
        *place = static_cast<std::uint8_t>(*place | 0x80);
        bytes.insert(place + 1, std::uint8_t{0});
        break;
      default:
        bytes.erase(place);
    }
  }
  const auto body = decode_body(bytes);
  if (body) RC_ASSERT(encode_body(*body) == bytes);
}

TEST(Body, UnknownTypeIsRefused) {
  Bytes bytes = encode_body(Body{NodeId{}, 1, Burn{1, "x"}});
  ASSERT_EQ(bytes[0], 0x08);
  bytes[1] = 99;
  EXPECT_ERROR(decode_body(bytes), ErrorCode::kInvalidArgument);
}

TEST(Signatures, BindAuthorNetworkAndBytes) {
  const crypto::KeyPair author = test_key(1);
  const crypto::KeyPair other = test_key(2);
  const NetworkId network{crypto::random_array<32>()};
  const SignedBody signed_body = sign_body(author, network, 1, Burn{1, "x"});
  const NodeId id{author.public_key()};
  ASSERT_OK(verify_signatures(id, network, signed_body.body, signed_body.signatures));
  // B2: another network.
  EXPECT_ERROR(verify_signatures(id, NetworkId{}, signed_body.body, signed_body.signatures),
               ErrorCode::kPermissionDenied);
  EXPECT_ERROR(verify_signatures(NodeId{other.public_key()}, network, signed_body.body,
                                 signed_body.signatures),
               ErrorCode::kPermissionDenied);
  EXPECT_ERROR(verify_signatures(id, network, signed_body.body, {}), ErrorCode::kPermissionDenied);
  Bytes changed = signed_body.body;
  changed.back() ^= 1;
  EXPECT_ERROR(verify_signatures(id, network, changed, signed_body.signatures),
               ErrorCode::kPermissionDenied);
  // B1: the same bytes signed as a receipt window.
  std::vector<EntrySignature> as_window{
      {author.public_key(),
       crypto::sign_payload(author, crypto::domains::kReceiptWindow, network, signed_body.body)}};
  EXPECT_ERROR(verify_signatures(id, network, signed_body.body, as_window),
               ErrorCode::kPermissionDenied);
  // A second signature counts as much as the first: one false one refuses the entry.
  std::vector<EntrySignature> two = signed_body.signatures;
  two.push_back({other.public_key(), two.front().signature});
  EXPECT_ERROR(verify_signatures(id, network, signed_body.body, two), ErrorCode::kPermissionDenied);
}

TEST(Entry, LengthIsBounded) {
  LedgerEntry entry;
  entry.body = Bytes(limits::kEntryBytesMax - 7);
  EXPECT_TRUE(decode_entry(encode(entry)).has_value());
  entry.body.resize(limits::kEntryBytesMax);
  EXPECT_ERROR(decode_entry(encode(entry)), ErrorCode::kInvalidArgument);
}

TEST(Entry, EventIdNamesAuthorTypeAndSequence) {
  const Body body{NodeId{}, 4, Burn{1, "x"}};
  Body other = body;
  other.leaf = Burn{2, "y"};
  EXPECT_EQ(event_id(body), event_id(other)) << "content is not part of it";
  other.sequence = 5;
  EXPECT_NE(event_id(body), event_id(other));
  other = body;
  other.leaf = Rollback{};
  EXPECT_NE(event_id(body), event_id(other));
  other = body;
  other.author.bytes[0] = 1;
  EXPECT_NE(event_id(body), event_id(other));
}

}  // namespace
}  // namespace coshard::ledger
