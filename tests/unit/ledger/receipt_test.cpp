// Receipts by both ends, and what either end may try (reference ledger.md C9, C10, C13 to C16, and
// the chain
// of 3.2b).
// SPDX-License-Identifier: Apache-2.0
#include "ledger/receipt.h"

#include <gtest/gtest.h>

#include "crypto/hash.h"
#include "ledger/merkle.h"
#include "ledger/pricing.h"
#include "tests/unit/ledger/small_round.h"

namespace coshard::ledger {
namespace {

class Receipts : public ::testing::Test {
 protected:
  static Unit unit(std::uint32_t microbatch) {
    return Unit{StepId(5), MicrobatchIndex(microbatch), StageIndex(0), Attempt(0)};
  }
  TensorSent sent(std::uint32_t microbatch) const {
    TensorSent out;
    out.epoch = LedgerEpoch(0);
    out.stage_to = StageIndex(1);
    out.receiver = receiver_.node();
    out.weights.step = StepId(4);
    out.shape = {8, 128, 128};
    out.payload_bytes = 8 * 128 * 128 * 4;
    out.payload_hash.fill(static_cast<std::uint8_t>(microbatch + 1));
    return out;
  }
  static TensorsReceived::Tensor tensor(const TensorSent& sent) {
    return {sent.dtype, sent.encoding, sent.shape, sent.payload_bytes, sent.payload_hash, true};
  }
  /// `count` receipts, each of whose tensors the receiver has.
  std::vector<Receipt> exchange(std::uint32_t count) {
    std::vector<Receipt> out;
    for (std::uint32_t m = 0; m < count; ++m) {
      out.push_back(chain_.make_receipt(unit(m), sent(m)));
      received_.record(sender_.node(), unit(m), Direction::kForward, tensor(sent(m)));
    }
    return out;
  }
  auto countersigned(const SignedWindow& window) {
    return countersign(receiver_.operating(), network_, window, received_);
  }

  crypto::Identity sender_ = test_identity(1);
  crypto::Identity receiver_ = test_identity(2);
  NetworkId network_{crypto::sha256(as_bytes("net"))};
  ReceiptChain chain_{network_, sender_.node(), Incarnation(1)};
  TensorsReceived received_;
};

TEST_F(Receipts, BothEndsSignAndAnybodyCanCheck) {
  const std::vector<Receipt> receipts = exchange(5);
  const SignedWindow window = sign_window(sender_.operating(), receipts, 0);
  const auto half = verify_window(network_, window);
  ASSERT_OK(half);
  EXPECT_FALSE(half->is_countersigned);
  const auto both = countersigned(window);
  ASSERT_OK(both);
  const auto opened = verify_window(network_, *decode<SignedWindow>(encode(*both)));
  ASSERT_OK(opened);
  EXPECT_TRUE(opened->is_countersigned);
  EXPECT_EQ(opened->receipts, receipts);
  EXPECT_EQ(opened->statement.receipts, 5u);
}

TEST_F(Receipts, EveryFlippedByteOfAWindowIsNoticed) {
  const Bytes bytes = encode(*countersigned(sign_window(sender_.operating(), exchange(2), 0)));
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    Bytes changed = bytes;
    changed[i] ^= 1;
    const auto window = decode<SignedWindow>(changed);
    EXPECT_FALSE(window && verify_window(network_, *window)) << "byte " << i;
  }
}

TEST_F(Receipts, WindowOfAnotherNetworkOrReceiverIsRefused) {
  const SignedWindow window = sign_window(sender_.operating(), exchange(1), 0);
  EXPECT_ERROR(verify_window(NetworkId{}, window), ErrorCode::kPermissionDenied);
  const crypto::Identity other = test_identity(3);
  EXPECT_ERROR(countersign(other.operating(), network_, window, received_),
               ErrorCode::kPermissionDenied);
}

// C15: a sender claims a delivery that never came, or came differently, or was refused.
TEST_F(Receipts, ReceiverSignsOnlyWhatItGot) {
  std::vector<Receipt> receipts = exchange(2);
  receipts.push_back(chain_.make_receipt(unit(7), sent(7)));
  EXPECT_ERROR(countersigned(sign_window(sender_.operating(), receipts, 0)),
               ErrorCode::kFailedPrecondition);
  const auto refused = [&](auto change) {
    TensorsReceived::Tensor got = tensor(sent(7));
    change(got);
    received_.record(sender_.node(), unit(7), Direction::kForward, got);
    EXPECT_ERROR(countersigned(sign_window(sender_.operating(), receipts, 0)),
                 ErrorCode::kFailedPrecondition);
  };
  refused([](auto& got) { got.payload_hash[0] ^= 1; });
  refused([](auto& got) { got.payload_bytes += 1; });
  refused([](auto& got) { got.shape[0] = 9; });
  refused([](auto& got) { got.dtype = DType::kBF16; });
  refused([](auto& got) { got.is_accepted = false; });
  received_.record(sender_.node(), unit(7), Direction::kForward, tensor(sent(7)));
  ASSERT_OK(countersigned(sign_window(sender_.operating(), receipts, 0)));
}

// C13: two receipts for one edge.
TEST_F(Receipts, SecondReceiptOfOneEdgeIsRefused) {
  std::vector<Receipt> receipts = exchange(1);
  receipts.push_back(chain_.make_receipt(unit(0), sent(0)));
  EXPECT_ERROR(countersigned(sign_window(sender_.operating(), receipts, 0)),
               ErrorCode::kFailedPrecondition);
}

TEST_F(Receipts, OrderRootAndMembershipAreChecked) {
  const std::vector<Receipt> receipts = exchange(3);
  const SignedWindow good = sign_window(sender_.operating(), receipts, 0);
  SignedWindow swapped = good;
  std::swap(swapped.receipts[0], swapped.receipts[1]);
  EXPECT_ERROR(verify_window(network_, swapped), ErrorCode::kInvalidArgument);
  SignedWindow shorter = good;
  shorter.receipts.pop_back();
  EXPECT_ERROR(verify_window(network_, shorter), ErrorCode::kInvalidArgument);
  SignedWindow foreign = good;
  Receipt other = receipts[1];
  other.epoch = LedgerEpoch(9);
  foreign.receipts[1] = encode(other);
  EXPECT_ERROR(verify_window(network_, foreign), ErrorCode::kInvalidArgument);
  SignedWindow odd = good;
  odd.receiver_signature = Bytes(63);
  EXPECT_ERROR(verify_window(network_, odd), ErrorCode::kPermissionDenied);
}

TEST_F(Receipts, CountersignatureBelongsToOneWindow) {
  const auto first = countersigned(sign_window(sender_.operating(), exchange(1), 0));
  ASSERT_OK(first);
  SignedWindow second = sign_window(sender_.operating(), exchange(1), 1);
  second.receiver_signature = first->receiver_signature;
  EXPECT_ERROR(verify_window(network_, second), ErrorCode::kPermissionDenied);
}

TEST_F(Receipts, ChainShowsAnOmission) {
  std::vector<Receipt> receipts = exchange(4);
  ASSERT_OK(check_chain(receipts));
  EXPECT_EQ(receipts[0].prev, Hash{});
  std::vector<Receipt> gap = receipts;
  gap.erase(gap.begin() + 1);
  EXPECT_ERROR(check_chain(gap), ErrorCode::kCorruption);
  receipts[2].payload_bytes ^= 1;
  EXPECT_ERROR(check_chain(receipts), ErrorCode::kCorruption);
}

TEST_F(Receipts, CollectorGroupsByReceiverAndEpoch) {
  ReceiptCollector collector;
  for (std::uint32_t m = 0; m < 6; ++m) {
    TensorSent one = sent(m);
    if (m % 2 == 1) one.receiver = test_identity(3).node();
    one.epoch = LedgerEpoch(m / 4);
    collector.add(chain_.make_receipt(unit(m), one));
  }
  ASSERT_EQ(collector.waiting().size(), 4u);
  const ReceiptCollector::Key key{receiver_.node(), LedgerEpoch(0)};
  EXPECT_EQ(collector.count(key), 2u);
  const std::vector<Receipt> taken = collector.take(key);
  ASSERT_EQ(taken.size(), 2u);
  EXPECT_LT(taken[0].seq, taken[1].seq);
  EXPECT_EQ(collector.count(key), 0u);
  EXPECT_TRUE(collector.take(key).empty());
}

TEST_F(Receipts, ReceivedTensorsAreForgottenByStep) {
  exchange(3);
  Unit later = unit(0);
  later.step = StepId(6);
  received_.record(sender_.node(), later, Direction::kBackward, tensor(sent(0)));
  EXPECT_EQ(received_.size(), 4u);
  received_.forget_through(StepId(5));
  EXPECT_EQ(received_.size(), 1u);
  received_.forget_through(StepId(6));
  EXPECT_EQ(received_.size(), 0u);
}

TEST_F(Receipts, BatchIsTheRootOverTheNodesOwnReceipts) {
  SmallRound round;
  const std::vector<Receipt> first = exchange(3);
  const std::vector<Receipt> second = exchange(2);  // same edges again, later in the chain
  std::vector<SignedWindow> windows{sign_window(sender_.operating(), second, 1),
                                    sign_window(sender_.operating(), first, 0)};
  windows[1] = *countersigned(windows[1]);
  const WorkClaim claim{LedgerEpoch(0), StageIndex(0), sender_.node(), 3, 1};
  const auto batch = make_batch(round.params, network_, claim, windows);
  ASSERT_OK(batch);
  EXPECT_EQ(batch->receipts, 5u);
  EXPECT_EQ(batch->countersigned, 3u);
  EXPECT_EQ(batch->tokens, 4u * round.params.tokens_per_microbatch);
  EXPECT_TRUE(batch->flops == uint128_t{batch->tokens} * round.params.stage_prices[0]);
  std::vector<Hash> leaves;
  for (const auto* part : {&first, &second}) {
    for (const Receipt& receipt : *part) leaves.push_back(leaf_hash(encode(receipt)));
  }
  EXPECT_EQ(batch->receipts_root, root_of(leaves)) << "in order of seq, not of arrival";
  ASSERT_OK(verify_inclusion(LogIndex(4), 5, leaves[4], inclusion_path(leaves, LogIndex(4)),
                             batch->receipts_root));
  // Another epoch, stage or node has no receipts there.
  EXPECT_EQ(
      make_batch(round.params, network_, {LedgerEpoch(1), StageIndex(0), sender_.node()}, windows)
          ->receipts,
      0u);
  EXPECT_EQ(
      make_batch(round.params, network_, {LedgerEpoch(0), StageIndex(1), sender_.node()}, windows)
          ->receipts,
      0u);
  windows[0].sender_signature[0] ^= 1;
  EXPECT_ERROR(make_batch(round.params, network_, claim, windows), ErrorCode::kPermissionDenied);
}

}  // namespace
}  // namespace coshard::ledger
