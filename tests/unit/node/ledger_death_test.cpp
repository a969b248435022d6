// An epoch in which a node died: its units were redone by others, its own work of before counts,
// and nobody waits for a batch that cannot come. What is published is verified as anybody would.
// SPDX-License-Identifier: Apache-2.0
#include "node/coordinator/ledger_thread.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <condition_variable>
#include <mutex>

#include "ledger/receipt.h"
#include "ledger/verify.h"
#include "tests/support/round_fixture.h"

namespace coshard::node {
namespace {

constexpr std::uint64_t kSteps = 3;
constexpr std::uint32_t kMicrobatches = 4;

test::TinyRound tiny() {
  test::TinyRound round;
  round.replicas = 2;
  round.steps = 6;
  round.epoch_steps = kSteps;
  round.microbatches = kMicrobatches;
  return round;
}

/// Two stages of two replicas. Nodes 0 and 1 hold stage 0, nodes 2 and 3 stage 1.
class LedgerDeathTest : public ::testing::Test {
 protected:
  LedgerDeathTest() {
    const std::string text = test::round_text(tiny());
    home = LedgerHome::open(dir.path(), parse_round(text, "round.toml").value(), text, coordinator,
                            std::nullopt, clock)
               .value();
    genesis = home->ledger().accounts().genesis();
    network = home->network();
    thread = std::make_unique<LedgerThread>(*home, clock);
    thread->set_reply_handler([this](const LedgerReply& reply) {
      const std::lock_guard lock(mutex);
      replies.push_back(reply);
      came.notify_all();
    });
    thread->start();
    for (const crypto::Identity& node : nodes) submit(LedgerRegister{node.certificate()});
  }
  void submit(LedgerTask task) { ASSERT_TRUE(thread->submit(std::move(task))); }
  template <class Reply>
  std::size_t count() {
    return static_cast<std::size_t>(
        std::count_if(replies.begin(), replies.end(),
                      [](const auto& one) { return std::holds_alternative<Reply>(one); }));
  }
  template <class Reply>
  bool wait_for(std::size_t number = 1) {
    std::unique_lock lock(mutex);
    return came.wait_for(lock, std::chrono::seconds(30), [&] {
      return count<Reply>() >= number || count<LedgerFailed>() > 0;
    }) && count<LedgerFailed>() == 0;
  }
  bool settled() {
    const std::lock_guard lock(mutex);
    return count<LedgerSettled>() > 0;
  }
  /// Everything that was submitted has been worked off.
  void sync() {
    std::size_t views = 0;
    {
      const std::lock_guard lock(mutex);
      views = count<LedgerView>();
    }
    submit(LedgerTick{});
    ASSERT_TRUE(wait_for<LedgerView>(views + 1));
  }

  /// Who did a unit: replica 0 of a stage the even microbatches, replica 1 the odd ones; from the
  /// second step on node 1 is dead. What it had begun of that step is redone by node 0.
  round::UnitRecord record(std::uint64_t step, std::uint32_t stage, std::uint32_t m) {
    const bool orphan = stage == 0 && m % 2 == 1 && step >= 2;
    const std::size_t holder = orphan ? 0 : 2 * stage + m % 2;
    const Attempt attempt(orphan && step == 2 ? 1 : 0);
    ++units[holder];
    return {StageIndex(stage), MicrobatchIndex(m), attempt, nodes[holder].node()};
  }
  void close_epoch() {
    LedgerEpochClose close{{LedgerEpoch(0), StepId(1), StepId(kSteps), {}}, {}};
    for (std::uint64_t step = 1; step <= kSteps; ++step) {
      round::SettledStep one;
      one.record.scalars.step = StepId(step);
      for (std::uint32_t stage = 0; stage < 2; ++stage)
        for (std::uint32_t m = 0; m < kMicrobatches; ++m)
          one.record.units.push_back(record(step, stage, m));
      one.digests.resize(2);
      close.finished.steps.push_back(std::move(one));
    }
    for (std::uint32_t i = 0; i < 4; ++i)
      close.members.push_back({StageIndex(i / 2), nodes[i].node(), Incarnation(1)});
    submit(std::move(close));
  }
  void hand_in(std::size_t node, std::uint64_t claimed) {
    const StageIndex stage(static_cast<std::uint32_t>(node / 2));
    const ledger::WorkClaim claim{LedgerEpoch(0), stage, nodes[node].node(), claimed, 0};
    const auto batch = ledger::make_batch(genesis, network, claim, {});
    submit(LedgerWorkBatch{nodes[node].node(), LedgerEpoch(0), stage,
                           ledger::sign_batch(nodes[node].operating(), network, batch.value())});
  }
  /// The published log is in order, and everybody has what their counted units are worth.
  void expect_paid() {
    thread->close();
    const auto verified = ledger::verify_ledger(ledger::DiskFolder(dir.path() / "ledger" / "mite"));
    ASSERT_TRUE(verified) << verified.error().message;
    const auto& epochs = verified->accounts.epochs();
    ASSERT_EQ(epochs.size(), 1U);
    EXPECT_EQ(epochs[0].status, ledger::EpochState::Status::kPending);
    double work = 0;
    for (std::size_t i = 0; i < 4; ++i)
      work += static_cast<double>(units[i]) * static_cast<double>(genesis.stage_prices[i / 2]);
    const double emitted = static_cast<double>(verified->accounts.totals().pending);
    EXPECT_EQ(verified->accounts.totals().pending, genesis.unit_cap / 2);
    for (std::size_t i = 0; i < 4; ++i) {
      const double share =
          static_cast<double>(units[i]) * static_cast<double>(genesis.stage_prices[i / 2]) / work;
      EXPECT_NEAR(static_cast<double>(verified->accounts.balance(nodes[i].account()).pending),
                  emitted * share, 1.0)
          << "node " << i;
    }
  }

  test::TempDir dir;
  ManualClock clock;  // stands still: what settles has not waited for a deadline
  crypto::Identity coordinator = crypto::Identity::generate();
  std::array<crypto::Identity, 4> nodes{crypto::Identity::generate(), crypto::Identity::generate(),
                                        crypto::Identity::generate(), crypto::Identity::generate()};
  std::array<std::uint64_t, 4> units{};
  std::unique_ptr<LedgerHome> home;
  ledger::Genesis genesis;
  NetworkId network;
  std::mutex mutex;
  std::condition_variable came;
  std::vector<LedgerReply> replies;
  std::unique_ptr<LedgerThread> thread;
};

TEST_F(LedgerDeathTest, ADeadNodeIsPaidForWhatCountedAndNobodyWaitsForIt) {
  submit(LedgerGone{nodes[1].node()});
  close_epoch();
  EXPECT_EQ(units, (std::array<std::uint64_t, 4>{10, 2, 6, 6}));
  for (const std::size_t alive : {0U, 2U, 3U}) hand_in(alive, units[alive]);
  ASSERT_TRUE(wait_for<LedgerSettled>());
  expect_paid();
}

TEST_F(LedgerDeathTest, ALiveNodeIsWaitedFor) {
  submit(LedgerGone{nodes[1].node()});
  close_epoch();
  for (const std::size_t alive : {0U, 2U}) hand_in(alive, units[alive]);
  ASSERT_TRUE(wait_for<BatchTaken>(2));
  sync();
  EXPECT_FALSE(settled());
  hand_in(3, units[3]);
  ASSERT_TRUE(wait_for<LedgerSettled>());
  expect_paid();
}

TEST_F(LedgerDeathTest, AFencedNodeThatDidNotHearOfItsLastCommitIsPaidAsCounted) {
  submit(LedgerGone{nodes[1].node()});
  submit(LedgerRegister{nodes[1].certificate()});  // back as a new incarnation
  close_epoch();
  for (const std::size_t node : {0U, 2U, 3U}) hand_in(node, units[node]);
  hand_in(1, units[1] - 1);
  ASSERT_TRUE(wait_for<BatchTaken>(4));
  ASSERT_TRUE(wait_for<LedgerSettled>());
  expect_paid();
}

TEST_F(LedgerDeathTest, ABatchThatCameBeforeItsNodeDiedIsItsOwn) {
  hand_in(1, 2);
  submit(LedgerGone{nodes[1].node()});
  close_epoch();
  for (const std::size_t alive : {0U, 2U, 3U}) hand_in(alive, units[alive]);
  ASSERT_TRUE(wait_for<LedgerSettled>());
  ASSERT_TRUE(wait_for<BatchTaken>(4));
  expect_paid();
}

}  // namespace
}  // namespace coshard::node
