// cs-ledger with witnesses that answer late, or not: nothing that trains waits for them, and what
// they have not cosigned is not published.
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <array>

#include "crypto/secret_file.h"
#include "ledger/store/memory_store.h"
#include "ledger/verify.h"
#include "node/coordinator/ledger_thread.h"
#include "tests/support/round_fixture.h"

namespace coshard::node {
namespace {

/// One witness in this process, which answers when it is told to.
class SlowCarrier final : public WitnessCarrier {
 public:
  explicit SlowCarrier(ledger::WitnessBook& book) : book_(book) {}
  void send(ledger::WitnessRequest request) override { asked.push_back(std::move(request)); }
  std::optional<ledger::WitnessReply> reply(std::chrono::milliseconds) override {
    if (!awake || asked.empty()) return std::nullopt;
    const ledger::WitnessRequest request = std::move(asked.front());
    asked.erase(asked.begin());
    const ledger::WitnessAnswer answer = book_.add_checkpoint(request.body, 1);
    return ledger::WitnessReply{request.witness, answer.status, answer.body};
  }
  bool awake = false;
  std::vector<ledger::WitnessRequest> asked;

 private:
  ledger::WitnessBook& book_;
};

class WitnessedThreadTest : public ::testing::Test {
 protected:
  WitnessedThreadTest() {
    const std::string text = test::read_text(folder.path() / "round.toml");
    auto opened = LedgerHome::open(folder.coordinator_dir(), folder.round(), text, coordinator,
                                   std::nullopt, clock, ledger::Publication::kWhenCosigned);
    EXPECT_TRUE(opened) << (opened ? "" : opened.error().message);
    home = std::move(*opened);
    evidence.emplace(folder.path() / "witness");
    book.emplace(memory, *evidence,
                 ledger::WitnessSetup{"w.example", &key, {{home->origin(), {home->note_key()}}}});
    const ledger::NoteKey own{"w.example", key.public_key(), ledger::NoteKeyType::kCosignatureV1};
    policy = ledger::Policy::parse("witness w " + own.vkey() + " http://w\nquorum w\n").value();
    auto slow = std::make_unique<SlowCarrier>(*book);
    carrier = slow.get();
    thread = std::make_unique<LedgerThread>(*home, clock);
    thread->set_witnesses(ledger::WitnessDesk::open(policy, home->note_key()).value(),
                          std::move(slow));
    thread->set_reply_handler([this](const LedgerReply& reply) {
      views += std::holds_alternative<LedgerView>(reply) ? 1 : 0;
      if (const auto* failed = std::get_if<LedgerFailed>(&reply)) failure = failed->error.message;
    });
  }
  void work(LedgerTask task) {
    ASSERT_TRUE(thread->submit(std::move(task)));
    while (thread->run_one()) {
    }
  }
  std::uint64_t seen() {
    const ledger::DiskFolder log(folder.coordinator_dir() / "ledger" / folder.round().model.name);
    const auto read = ledger::read_ledger(log, ledger::ReaderTrust(std::nullopt, policy));
    return read ? read->checkpoint.size : 0;
  }

  test::RoundFolder folder{test::TinyRound{}};
  ManualClock clock;
  const crypto::Identity coordinator = crypto::Identity::generate();
  const crypto::KeyPair key = crypto::KeyPair::generate();
  const std::array<crypto::Identity, 2> nodes{crypto::Identity::generate(),
                                              crypto::Identity::generate()};
  std::unique_ptr<LedgerHome> home;
  ledger::MemoryStore memory;
  std::optional<ledger::DiskFolder> evidence;
  std::optional<ledger::WitnessBook> book;
  ledger::Policy policy;
  SlowCarrier* carrier = nullptr;
  std::unique_ptr<LedgerThread> thread;
  std::size_t views = 0;
  std::string failure;
};

TEST_F(WitnessedThreadTest, WorkGoesOnWhileAWitnessSleeps) {
  for (const crypto::Identity& node : nodes) work(LedgerRegister{node.certificate()});
  EXPECT_EQ(views, 2U) << "answers do not wait";
  EXPECT_EQ(seen(), 0U) << "and nothing is published";
  EXPECT_EQ(carrier->asked.size(), 1U) << "a witness is asked one thing at a time";
  carrier->awake = true;
  for (int i = 0; i < 3; ++i) work(LedgerTick{});
  EXPECT_EQ(seen(), home->ledger().hashes().size()) << "caught up";
  EXPECT_EQ(failure, "");
}

TEST_F(WitnessedThreadTest, WitnessThatKnowsMoreEndsTheCoordinator) {
  const std::string origin = home->origin();
  const ledger::PendingCheckpoint pending = *home->ledger().pending();
  for (const crypto::Identity& node : nodes)
    ASSERT_TRUE(home->ledger().register_identity(node.certificate()));
  const auto seed = crypto::read_secret_file(folder.coordinator_dir() / "log.key", std::nullopt);
  const crypto::KeyPair log_key = crypto::KeyPair::from_seed(seed.value().view()).value();
  const ledger::Checkpoint later{origin, pending.checkpoint.size + 7, Hash{}};
  const ledger::AddCheckpoint elsewhere{0, {}, *ledger::sign_checkpoint(later, log_key)};
  ASSERT_EQ(book->add_checkpoint(elsewhere.format(), 1).status, 200);
  carrier->awake = true;
  for (int i = 0; i < 3; ++i) work(LedgerTick{});
  EXPECT_NE(failure.find("old copy"), std::string::npos) << failure;
}

}  // namespace
}  // namespace coshard::node
