// When an epoch is settled: not before those who live have handed in their batches, and without
// waiting for those who are gone.
// SPDX-License-Identifier: Apache-2.0
#include "node/coordinator/ledger_thread.h"

#include <gtest/gtest.h>

#include <array>
#include <atomic>

#include "ledger/verify.h"
#include "tests/support/round_fixture.h"

namespace coshard::node {
namespace {

class LedgerThreadTest : public ::testing::Test {
 protected:
  LedgerThreadTest() { open(); }

  /// Also again: what a coordinator finds that takes the folder up after a crash.
  void open() {
    thread.reset();
    home.reset();
    const std::string text = test::read_text(folder.path() / "round.toml");
    auto opened = LedgerHome::open(folder.coordinator_dir(), folder.round(), text, coordinator,
                                   std::nullopt, clock);
    EXPECT_TRUE(opened) << (opened ? "" : opened.error().message);
    home = std::move(*opened);
    thread = std::make_unique<LedgerThread>(*home, clock);
    thread->set_reply_handler([this](const LedgerReply& reply) {
      settled = settled || std::holds_alternative<LedgerSettled>(reply);
      if (const auto* failed = std::get_if<LedgerFailed>(&reply))
        ADD_FAILURE() << failed->error.message;
    });
    for (const crypto::Identity& node : nodes) work(LedgerRegister{node.certificate()});
  }

  void work(LedgerTask task) {
    ASSERT_TRUE(thread->submit(std::move(task)));
    while (thread->run_one()) {
    }
  }

  /// One step of one microbatch, done by both stages.
  void close_epoch(LedgerEpoch epoch = LedgerEpoch(0)) {
    round::StepRecord record;
    record.scalars.step = StepId(1);
    record.ends_ledger_epoch = true;
    for (std::uint32_t stage = 0; stage < 2; ++stage)
      for (std::uint32_t m = 0; m < folder.round().training.microbatches; ++m)
        record.units.push_back(
            {StageIndex(stage), MicrobatchIndex(m), Attempt(0), nodes[stage].node()});
    round::EpochFinished finished{epoch, StepId(1), StepId(1), {}};
    finished.steps.push_back({record, {Fingerprint{1}, Fingerprint{2}}});
    work(LedgerEpochClose{finished,
                          {{StageIndex(0), nodes[0].node(), Incarnation(1)},
                           {StageIndex(1), nodes[1].node(), Incarnation(1)}}});
  }

  test::RoundFolder folder{test::TinyRound{}};
  ManualClock clock;
  const crypto::Identity coordinator = crypto::Identity::generate();
  const std::array<crypto::Identity, 2> nodes{crypto::Identity::generate(),
                                              crypto::Identity::generate()};
  std::unique_ptr<LedgerHome> home;
  std::unique_ptr<LedgerThread> thread;
  bool settled = false;
};

TEST_F(LedgerThreadTest, TheLogChangesItsKeyAndAnInterruptedChangeIsSaidAgain) {
  const auto keys = [this] { return home->ledger().accounts().log_keys().size(); };
  ASSERT_TRUE(home->rotate_log_key(folder.coordinator_dir(), std::nullopt, 0));
  open();
  EXPECT_EQ(keys(), 2U);
  // A key file whose change never became durable.
  const auto third = folder.coordinator_dir() / "log.3.key";
  ASSERT_TRUE(crypto::write_secret_file(third, crypto::KeyPair::generate().seed(), std::nullopt));
  open();
  EXPECT_EQ(keys(), 2U);
  ASSERT_TRUE(home->rotate_log_key(folder.coordinator_dir(), std::nullopt, 5));
  open();
  EXPECT_EQ(keys(), 3U);
}

TEST_F(LedgerThreadTest, WaitsForTheBatchesOfThoseWhoLive) {
  work(LedgerGone{nodes[0].node()});
  close_epoch();
  EXPECT_FALSE(settled) << "the other one lives, and may still hand in its batch";
  clock.advance(limits::kSettleTimeout);
  work(LedgerTick{});
  EXPECT_TRUE(settled);
}

TEST_F(LedgerThreadTest, DoesNotWaitForThoseWhoAreGone) {
  for (const crypto::Identity& node : nodes) work(LedgerGone{node.node()});
  close_epoch();
  EXPECT_TRUE(settled) << "nobody is left to hand in a batch";
  EXPECT_EQ(home->ledger().missing_batches(LedgerEpoch(0)).size(), 0U);
}

TEST_F(LedgerThreadTest, StopsWaitingWhenTheLastDebtorIsLost) {
  close_epoch();
  EXPECT_FALSE(settled);
  work(LedgerGone{nodes[0].node()});
  EXPECT_FALSE(settled);
  work(LedgerGone{nodes[1].node()});
  EXPECT_TRUE(settled);
}

/// The journal knows the epoch as closed and does not hand it over again: what the log closed, the
/// log has to settle.
TEST_F(LedgerThreadTest, SettlesWhatACrashLeftClosedAndUnpaid) {
  close_epoch();
  ASSERT_FALSE(settled);
  open();
  work(LedgerCheckpoint{{StepId(1), {{Hash{1}, 1}, {Hash{2}, 1}}}});
  work(LedgerFinish{StepId(1), "all steps are done"});
  EXPECT_EQ(home->ledger().accounts().epochs().front().status, ledger::EpochState::Status::kPosted);
}

/// The same, and the round goes back behind that epoch before its step is done again.
TEST_F(LedgerThreadTest, CreditsWhatWasRolledBackOnceACheckpointCoversIt) {
  close_epoch();
  open();
  work(LedgerRollback{{StepId(0), LedgerEpoch(1)}});
  close_epoch(LedgerEpoch(1));
  work(LedgerCheckpoint{{StepId(1), {{Hash{1}, 1}, {Hash{2}, 1}}}});
  work(LedgerFinish{StepId(1), "all steps are done"});
  for (const ledger::EpochState& epoch : home->ledger().accounts().epochs())
    EXPECT_EQ(epoch.status, ledger::EpochState::Status::kPosted);
}

/// A coordinator that came back says it again, since a crash may have cut it off.
TEST_F(LedgerThreadTest, TakesARollbackOnce) {
  const LedgerRollback back{{StepId(0), LedgerEpoch(1)}};
  close_epoch();
  EXPECT_EQ(home->ledger().accounts().committed_step(), StepId(1));
  work(back);
  EXPECT_EQ(home->ledger().accounts().committed_step(), StepId(0));
  const std::uint64_t size = home->ledger().publish().value().size;
  work(back);
  EXPECT_EQ(home->ledger().publish().value().size, size);
  close_epoch(LedgerEpoch(1));
  work(back);
  EXPECT_EQ(home->ledger().accounts().committed_step(), StepId(1)) << "that step was done again";
}

/// The checkpoint of a step that is done again comes before its EpochClose: the log knows the step
/// from the execution that was given up, whose emission is shared with the one to come.
TEST_F(LedgerThreadTest, ACheckpointWaitsForTheExecutionThatItCovers) {
  for (const crypto::Identity& node : nodes) work(LedgerGone{node.node()});
  close_epoch();
  work(LedgerRollback{{StepId(0), LedgerEpoch(1)}});
  work(LedgerCheckpoint{{StepId(1), {{Hash{1}, 1}, {Hash{2}, 1}}}});
  EXPECT_EQ(home->ledger().accounts().covered_step(), StepId(0));
  close_epoch(LedgerEpoch(1));
  EXPECT_EQ(home->ledger().accounts().covered_step(), StepId(1));
  const auto& epochs = home->ledger().accounts().epochs();
  ASSERT_EQ(epochs.size(), 2U);
  EXPECT_EQ(epochs[0].credit, epochs[1].credit) << "half of the step's emission each";
}

/// Where one thread does everything it is published then, too.
TEST_F(LedgerThreadTest, AnswersASubmissionOnceItIsDurable) {
  std::vector<Result<LedgerSubmit::Answer>> answers;
  const auto done = [&](const Result<LedgerSubmit::Answer>& answer) { answers.push_back(answer); };
  ledger::RevenueReported revenue;
  revenue.amount = 5;
  const std::uint64_t size = home->ledger().accounts().size();
  const Bytes request =
      ledger::encode_request(home->network(), coordinator.operating(), LogIndex(size), {revenue});
  for (int i = 0; i < 2; ++i) work(LedgerSubmit{request, done});
  work(LedgerSubmit{Bytes{1, 2, 3}, done});
  ASSERT_EQ(answers.size(), 3U);
  for (std::size_t i = 0; i < 2; ++i) {
    ASSERT_TRUE(answers[i]) << answers[i].error().message;
    EXPECT_EQ(answers[i]->indices, std::vector<LogIndex>{LogIndex(size)});
    EXPECT_EQ(answers[i]->size, size + 1);
  }
  EXPECT_FALSE(answers[2]);
}

/// Whoever waits for an answer gets one, also behind a task that ends the ledger.
TEST_F(LedgerThreadTest, WhatComesAfterAnErrorIsAnsweredToo) {
  bool failed = false;
  thread->set_reply_handler(
      [&](const LedgerReply& reply) { failed |= std::holds_alternative<LedgerFailed>(reply); });
  std::vector<Result<LedgerSubmit::Answer>> answers;
  const auto done = [&](const Result<LedgerSubmit::Answer>& answer) { answers.push_back(answer); };
  const round::EpochFinished nothing_done{LedgerEpoch(0), StepId(1), StepId(1), {}};
  ASSERT_TRUE(thread->submit(LedgerSubmit{Bytes{1, 2, 3}, done}));
  ASSERT_TRUE(thread->submit(LedgerEpochClose{nothing_done, {}}));
  ASSERT_TRUE(thread->submit(LedgerSubmit{Bytes{1, 2, 3}, done}));
  EXPECT_TRUE(thread->run_one());
  ASSERT_TRUE(thread->submit(LedgerSubmit{Bytes{1, 2, 3}, done}));
  EXPECT_TRUE(thread->run_one());
  EXPECT_TRUE(failed);
  ASSERT_EQ(answers.size(), 3U);
  for (const auto& answer : answers) {
    ASSERT_FALSE(answer);
    EXPECT_EQ(answer.error().code, ErrorCode::kUnavailable) << answer.error().message;
  }
}

/// As a coordinator runs it: signatures on all cores, files behind its back. Everything that was
/// asked for is answered, and can be read when the thread is closed.
TEST_F(LedgerThreadTest, ManySubmissionsOnThreadsOfTheirOwnAreAnsweredAndPublished) {
  constexpr std::uint64_t kAsked = 300;
  std::atomic<std::uint64_t> taken{0}, refused{0};
  const auto done = [&](const Result<LedgerSubmit::Answer>& answer) {
    ++(answer ? taken : refused);
  };
  const std::uint64_t size = home->ledger().accounts().size();
  const NetworkId network = home->network();
  thread->start();
  for (std::uint64_t i = 0; i < kAsked; ++i) {
    ledger::RevenueReported revenue;
    revenue.amount = 1 + i;
    revenue.statement = Hash{static_cast<std::uint8_t>(i), static_cast<std::uint8_t>(i >> 8), 1};
    Bytes request =
        ledger::encode_request(network, coordinator.operating(), LogIndex(size), {revenue});
    if (i % 3 == 0) request[request.size() / 2] ^= 1;
    ASSERT_TRUE(thread->submit(LedgerSubmit{request, done}));
  }
  thread->close();
  EXPECT_EQ(refused, kAsked / 3);
  EXPECT_EQ(taken, kAsked - kAsked / 3);
  const ledger::DiskFolder published(folder.coordinator_dir() / "ledger" / "mite");
  const auto read = ledger::read_ledger(published);
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(read->accounts.size(), size + kAsked - kAsked / 3);
}

}  // namespace
}  // namespace coshard::node
