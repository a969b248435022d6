// Who may ask a coordinator for which entries, that asking again changes nothing, and that nobody
// fills the log.
// SPDX-License-Identifier: Apache-2.0
#include "ledger/requests.h"

#include <gtest/gtest.h>

#include "crypto/signed_payload.h"
#include "tests/unit/ledger/small_round.h"

namespace coshard::ledger {
namespace {

class Requests : public ::testing::Test {
 protected:
  void SetUp() override {
    round.params.currency = "USD";
    round.params.recovery_days = 1;
    auto begun = round.begin();
    ASSERT_OK(begun);
    ledger.emplace(std::move(*begun));
    for (std::uint64_t epoch = 0; epoch < 5; ++epoch) {
      ASSERT_OK(round.run_epoch(*ledger, epoch, epoch * 10 + 1, epoch * 10 + 10));
    }
    ASSERT_OK(ledger->post(StepId(50), round.shards()));
    ASSERT_OK(ledger->publish());
  }

  NetworkId network() const { return ledger->accounts().network(); }
  std::uint64_t size() const { return ledger->accounts().size(); }
  AccountId account(std::size_t i) const { return round.nodes[i].account(); }

  Result<std::vector<LogIndex>> submit(const Bytes& request) {
    COSHARD_ASSIGN(const Asked asked, ledger->read(request));
    return ledger->submit(asked, now_ms);
  }
  Result<std::vector<LogIndex>> by_operator(const std::vector<Leaf>& leaves, std::uint64_t since) {
    return submit(encode_request(network(), round.operating, LogIndex(since), leaves));
  }
  SignedBody gift(std::uint64_t units, std::uint64_t number) const {
    return sign_body(round.nodes[0].root(), network(), number,
                     UnitTransfer{account(0), account(1), units, 0, LogIndex{}, "gift"});
  }

  SmallRound round;
  std::optional<RoundLedger> ledger;
  std::uint64_t now_ms = 1'000'000;
};

RevenueReported revenue(std::uint64_t amount, std::uint8_t statement) {
  RevenueReported out;
  out.amount = amount;
  out.reference = "INV";
  out.statement.fill(statement);
  return out;
}

TEST_F(Requests, AnOwnersEntryIsAppendedOnce) {
  const Bytes request = encode_request(network(), gift(10, 1));
  const auto index = submit(request);
  ASSERT_OK(index);
  EXPECT_EQ(index->front(), LogIndex(size() - 1));
  EXPECT_EQ(*submit(request), *index);
  EXPECT_EQ(ledger->accounts().balance(account(0)).entries, 1U);
  EXPECT_ERROR(submit(encode_request(network(), gift(11, 1))), ErrorCode::kFailedPrecondition);
  SignedBody forged = gift(5, 2);
  forged.signatures.front().signature[0] ^= 1;
  EXPECT_ERROR(submit(encode_request(network(), forged)), ErrorCode::kPermissionDenied);
}

TEST_F(Requests, TheOperatorsWordCountsOnceHoweverOftenItComes) {
  const std::uint64_t since = size();
  const Bytes request = encode_request(network(), round.operating, LogIndex(since),
                                       {revenue(1000, 1), revenue(500, 2)});
  const auto index = submit(request);
  ASSERT_OK(index);
  EXPECT_EQ(ledger->accounts().money().revenue, 1500U);
  EXPECT_EQ(*submit(request), *index);
  const LogIndex first = index->front();
  ASSERT_OK(by_operator({Correction{first, 700, "typo"}}, size()));
  const Bytes back = encode_request(network(), round.operating, LogIndex(size()),
                                    {Correction{first, 1000, "was right"}});
  ASSERT_OK(submit(back));
  ASSERT_OK(by_operator({Correction{first, 700, "was not"}}, size()));
  ASSERT_OK(submit(back));  // replayed: it is the entry that it was, and changes nothing
  EXPECT_EQ(ledger->accounts().money().revenue, 1200U);
}

TEST_F(Requests, AStatementIsBookedOnceWheneverItComes) {
  const auto index = by_operator({revenue(1000, 1)}, size());
  ASSERT_OK(index);
  EXPECT_EQ(*by_operator({revenue(1000, 1)}, size()), *index);
  const auto other = by_operator({revenue(1001, 1)}, size());
  EXPECT_ERROR(other, ErrorCode::kFailedPrecondition);
  EXPECT_NE(other.error().message.find("entry " + std::to_string(index->front().value)),
            std::string::npos);
}

TEST_F(Requests, ASnapshotIsTakenWhereSomethingHasChanged) {
  ASSERT_OK(by_operator({revenue(1000, 1), StateSnapshot{}}, size()));
  const std::uint64_t before = size();
  ASSERT_OK(by_operator({StateSnapshot{}}, size()));
  EXPECT_EQ(size(), before);
}

TEST_F(Requests, OnlyTheOperatorSpeaksForTheCoordinator) {
  const crypto::KeyPair thief = test_key(77);
  EXPECT_ERROR(submit(encode_request(network(), thief, LogIndex(size()), {revenue(1, 1)})),
               ErrorCode::kPermissionDenied);
  NetworkId other = network();
  other.bytes[0] ^= 1;
  EXPECT_ERROR(submit(encode_request(other, round.operating, LogIndex(size()), {revenue(1, 1)})),
               ErrorCode::kInvalidArgument);
  EXPECT_ERROR(submit(encode_request(network(), revenue(1, 1))), ErrorCode::kPermissionDenied);
  EXPECT_ERROR(by_operator({Burn{1, "mine"}}, size()), ErrorCode::kPermissionDenied);
  EXPECT_ERROR(
      submit(encode_request(network(), sign_body(round.operating, network(), 1, revenue(1, 1)))),
      ErrorCode::kPermissionDenied);
  EXPECT_ERROR(by_operator({revenue(1, 1)}, size() + 1), ErrorCode::kFailedPrecondition);
}

TEST_F(Requests, KeysAreRevokedAndReplacedOnceByTheirRoot) {
  const crypto::Identity& node = round.nodes[0];
  IdentityRevoke revoke;
  revoke.node = node.node();
  revoke.root_signature = crypto::sign_payload(node.root(), crypto::domains::kRevocation, network(),
                                               node.node().view());
  const auto index = submit(encode_request(network(), revoke));
  ASSERT_OK(index);
  EXPECT_EQ(*submit(encode_request(network(), revoke)), *index);
  revoke.node = round.nodes[1].node();
  EXPECT_ERROR(submit(encode_request(network(), revoke)), ErrorCode::kPermissionDenied);
}

TEST_F(Requests, NobodyFillsTheLog) {
  for (std::uint64_t i = 1; i <= RequestLimiter::kBurst; ++i) {
    ASSERT_OK(submit(encode_request(network(), gift(1, i))));
  }
  const Bytes next = encode_request(network(), gift(1, RequestLimiter::kBurst + 1));
  EXPECT_ERROR(submit(next), ErrorCode::kResourceExhausted);
  const SignedBody others = sign_body(round.nodes[1].root(), network(), 1,
                                      UnitTransfer{account(1), account(0), 1, 0, LogIndex{}, ""});
  ASSERT_OK(submit(encode_request(network(), others)));
  now_ms += RequestLimiter::kRefillMs;
  ASSERT_OK(submit(next));
}

TEST_F(Requests, AnyBytesAreAnsweredWithAnError) {
  Bytes request = encode_request(network(), gift(10, 1));
  for (std::size_t i = 0; i < request.size(); ++i) {
    Bytes changed = request;
    changed[i] ^= 0x55;
    EXPECT_FALSE(submit(changed)) << i;
    EXPECT_FALSE(submit(Bytes(request.begin(), request.begin() + static_cast<std::ptrdiff_t>(i))));
  }
  EXPECT_FALSE(submit(Bytes(kRequestBytesMax + 1)));
}

}  // namespace
}  // namespace coshard::ledger
