// Two nodes' receipts between them, with messages carried by hand: what is countersigned, what is
// refused, what reaches the work batch. SPDX-License-Identifier: Apache-2.0
#include "node/daemon/receipts.h"

#include <gtest/gtest.h>

#include <deque>

#include "ledger/pricing.h"
#include "tests/support/process.h"

namespace coshard::node {
namespace {

struct Post {
  NodeId to;
  Message message;
  Bytes payload;
};

ledger::Genesis genesis() {
  ledger::Genesis genesis;
  genesis.stage_prices = {10, 12};
  genesis.microbatches = 2;
  genesis.tokens_per_microbatch = 100;
  return genesis;
}

struct Party {
  Party(const ManualClock& clock, const std::filesystem::path& folder, std::uint32_t stage)
      : identity(crypto::Identity::generate()),
        receipts(identity, clock, folder,
                 {[this](const NodeId& to, const Message& message,
                         std::span<const wire::Payload> payloads) -> Result<void> {
                    outbox.push_back({to, message, *payloads.front().bytes});
                    return {};
                  },
                  [this](LedgerEpoch epoch) { settled.push_back(epoch); }}) {
    receipts.take_seat({genesis(), NetworkId{{7}}, NodeId{{9}}, StageIndex(stage), Incarnation(1)});
  }
  crypto::Identity identity;
  std::deque<Post> outbox;
  std::vector<LedgerEpoch> settled;
  Receipts receipts;
};

class ReceiptsTest : public ::testing::Test {
 protected:
  /// One forward tensor from the first party to the second, used there unless `lost`.
  void transfer(std::uint32_t microbatch, bool lost, std::uint32_t attempt = 0) {
    const round::TensorKey key{
        Unit{StepId(1), MicrobatchIndex(microbatch), StageIndex(0), Attempt(attempt)},
        round::Direction::kForward};
    KeptTensor tensor{{DType::kF32, BoundaryEncoding::kNone, {1, 1}, share(Bytes{1, 2, 3, 4})},
                      std::nullopt,
                      {},
                      0};
    (void)tensor.payload();
    first.receipts.sent(second.identity.node(), key, tensor);
    tensor.sender = first.identity.node();
    if (!lost) second.receipts.used(key, tensor);
  }
  void commit() {
    Commit commit;
    commit.scalars.step = StepId(1);
    commit.ledger_epoch = LedgerEpoch(0);
    StageClosed closed{StepId(1), StageIndex(0), Attempt(0), 200, {}, {}};
    closed.contributions = {{first.identity.node(), {MicrobatchIndex(0), MicrobatchIndex(1)}}};
    first.receipts.stage_closed(closed);
    first.receipts.committed(commit);
    second.receipts.committed(commit);
  }
  static Post take(Party& from) {
    EXPECT_FALSE(from.outbox.empty());
    Post post = from.outbox.front();
    from.outbox.pop_front();
    return post;
  }
  /// The window of the first party to the second, and the answer back.
  void exchange() {
    const Post window = take(first);
    ASSERT_TRUE(second.receipts.on_window(first.identity.node(),
                                          std::get<ReceiptWindow>(window.message), window.payload));
    const Post answer = take(second);
    ASSERT_TRUE(first.receipts.on_countersigned(
        second.identity.node(), std::get<ReceiptCountersigned>(answer.message), answer.payload));
  }
  ledger::WorkBatch submitted() {
    const Post post = take(first);
    EXPECT_TRUE(std::holds_alternative<WorkBatchSubmission>(post.message));
    const auto signed_body = ledger::decode<ledger::SignedBody>(post.payload).value();
    return std::get<ledger::WorkBatch>(ledger::decode_body(signed_body.body).value().leaf);
  }

  test::TempDir dir;
  ManualClock clock;
  Party first{clock, dir / "first", 0};
  Party second{clock, dir / "second", 1};
};

TEST_F(ReceiptsTest, BothEndsSignAndTheBatchSaysSo) {
  transfer(0, false);
  transfer(1, false);
  commit();
  exchange();
  first.receipts.settle(LedgerEpoch(0));
  const ledger::WorkBatch batch = submitted();
  EXPECT_EQ(batch.units, 2U);
  EXPECT_EQ(batch.tokens, 200U);
  EXPECT_EQ(batch.flops, ledger::price(genesis(), StageIndex(0), 200));
  EXPECT_EQ(batch.receipts, 2U);
  EXPECT_EQ(batch.countersigned, 2U);
  EXPECT_TRUE(first.settled.empty());
  first.receipts.batch_taken({LedgerEpoch(0), StageIndex(0)});
  EXPECT_EQ(first.settled, std::vector{LedgerEpoch(0)});
}

TEST_F(ReceiptsTest, WhatWasNotUsedIsNotCountersignedAndCostsNothingElse) {
  for (std::uint32_t m = 0; m < 8; ++m) transfer(m, m == 5);
  commit();
  while (!first.outbox.empty()) exchange();
  // 8, 4 and 2 receipts together, then the one alone.
  EXPECT_EQ(second.receipts.counters().refused, 4U);
  first.receipts.settle(LedgerEpoch(0));
  const ledger::WorkBatch batch = submitted();
  EXPECT_EQ(batch.receipts, 8U);
  EXPECT_EQ(batch.countersigned, 7U);
}

TEST_F(ReceiptsTest, ATensorThatWasSentTwiceIsOneEdgeAndOneForEachAttemptIsAnother) {
  transfer(0, false);
  transfer(0, false);
  transfer(0, false, 1);
  transfer(1, false);
  commit();
  exchange();
  EXPECT_EQ(second.receipts.counters().refused, 0U);
  first.receipts.settle(LedgerEpoch(0));
  const ledger::WorkBatch batch = submitted();
  EXPECT_EQ(batch.receipts, 3U);
  EXPECT_EQ(batch.countersigned, 3U);
  EXPECT_EQ(batch.units, 2U) << "receipts are evidence; what counts, the coordinator counted";
}

TEST_F(ReceiptsTest, ANeighbourThatDiedLeavesReceiptsWithOneEnd) {
  transfer(0, false);
  first.receipts.lost(second.identity.node());
  commit();
  EXPECT_TRUE(first.outbox.empty()) << "nobody is there to sign";
  first.receipts.settle(LedgerEpoch(0));
  const ledger::WorkBatch batch = submitted();
  EXPECT_EQ(batch.units, 2U);
  EXPECT_EQ(batch.receipts, 1U);
  EXPECT_EQ(batch.countersigned, 0U);
}

TEST_F(ReceiptsTest, ANeighbourThatIsSilentLeavesReceiptsWithOneEnd) {
  transfer(0, false);
  commit();
  first.outbox.clear();
  first.receipts.settle(LedgerEpoch(0));
  clock.advance(limits::kSettleTimeout / 2);
  first.receipts.tick();
  while (!first.outbox.empty() &&
         !std::holds_alternative<WorkBatchSubmission>(first.outbox.front().message))
    first.outbox.pop_front();
  const ledger::WorkBatch batch = submitted();
  EXPECT_EQ(batch.receipts, 1U);
  EXPECT_EQ(batch.countersigned, 0U);
}

TEST_F(ReceiptsTest, TheLastClosingOfAStageSaysHowManyUnitsAreOurs) {
  const auto closed = [&](std::uint32_t stage, std::uint32_t attempt, std::uint32_t units) {
    StageClosed message{StepId(1), StageIndex(stage), Attempt(attempt), 200, {}, {}};
    if (units > 0) message.contributions = {{first.identity.node(), {}}};
    for (std::uint32_t m = 0; m < units; ++m)
      message.contributions[0].microbatches.push_back(MicrobatchIndex(m));
    first.receipts.stage_closed(message);
  };
  closed(0, 0, 1);
  closed(0, 1, 4);  // a replica died while it averaged, and its units were redone here
  closed(0, 0, 1);  // late
  closed(1, 2, 0);  // of another stage
  Commit commit;
  commit.scalars.step = StepId(1);
  first.receipts.committed(commit);
  first.receipts.settle(LedgerEpoch(0));
  EXPECT_EQ(submitted().units, 4U);
}

TEST_F(ReceiptsTest, AStepThatDidNotCommitLeavesNoReceipt) {
  transfer(0, false);
  first.receipts.dropped(StepId(1));
  commit();
  EXPECT_TRUE(first.outbox.empty());
  EXPECT_EQ(first.receipts.counters().receipts, 0U);
}

TEST_F(ReceiptsTest, RepeatsUntilAnsweredAndGivesUpInTime) {
  transfer(0, false);
  commit();
  EXPECT_EQ(first.outbox.size(), 1U);
  clock.advance(limits::kRepeatInterval);
  first.receipts.tick();
  EXPECT_EQ(first.outbox.size(), 2U);
  first.outbox.clear();
  first.receipts.settle(LedgerEpoch(0));
  EXPECT_TRUE(first.outbox.empty());  // waits for the countersignature
  clock.advance(limits::kSettleTimeout);
  first.receipts.tick();
  first.receipts.tick();
  EXPECT_EQ(first.settled, std::vector{LedgerEpoch(0)});
}

TEST_F(ReceiptsTest, AnEpochTakenEarlierThanItsPredecessorLeavesThatOneWaiting) {
  transfer(0, false);
  transfer(1, false);
  commit();
  exchange();
  first.receipts.settle(LedgerEpoch(0));
  Commit next;
  next.scalars.step = StepId(2);
  next.ledger_epoch = LedgerEpoch(1);
  first.receipts.stage_closed({StepId(2),
                               StageIndex(0),
                               Attempt(0),
                               100,
                               {{first.identity.node(), {MicrobatchIndex(0)}}},
                               {}});
  first.receipts.committed(next);
  first.receipts.settle(LedgerEpoch(1));
  first.receipts.batch_taken({LedgerEpoch(1), StageIndex(0)});
  EXPECT_EQ(first.settled, std::vector{LedgerEpoch(1)});
  first.outbox.clear();
  clock.advance(limits::kRepeatInterval);
  first.receipts.tick();
  EXPECT_EQ(submitted().epoch, LedgerEpoch(0));
  first.receipts.batch_taken({LedgerEpoch(0), StageIndex(0)});
  EXPECT_EQ(first.settled.size(), 2U);
}

TEST_F(ReceiptsTest, AFalseWindowIsAFault) {
  transfer(0, false);
  commit();
  Post window = take(first);
  const auto message = std::get<ReceiptWindow>(window.message);
  EXPECT_FALSE(second.receipts.on_window(NodeId{{5}}, message, window.payload));
  EXPECT_FALSE(second.receipts.on_window(first.identity.node(), ReceiptWindow{99}, window.payload));
  window.payload[window.payload.size() / 2] ^= 1;
  EXPECT_FALSE(second.receipts.on_window(first.identity.node(), message, window.payload));
  EXPECT_TRUE(second.outbox.empty());
}

TEST_F(ReceiptsTest, WhoIsLostIsNotWaitedFor) {
  transfer(0, false);
  transfer(1, false);
  first.receipts.lost(second.identity.node());
  commit();  // heard after the loss: a window that nobody will countersign
  EXPECT_TRUE(first.outbox.empty());
  first.receipts.settle(LedgerEpoch(0));
  const ledger::WorkBatch batch = submitted();
  EXPECT_EQ(batch.receipts, 2U);
  EXPECT_EQ(batch.countersigned, 0U);
}

}  // namespace
}  // namespace coshard::node
