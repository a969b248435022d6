// A coordinator whose ledger is in PostgreSQL, and one that moves from one store to the other and
// back, as processes: the log goes on as if nothing had been.
// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include <csignal>

#include "ledger/merkle.h"
#include "ledger/verify.h"
#include "tests/process/program.h"
#include "tests/support/postgres_server.h"
#include "tests/support/round_fixture.h"

namespace coshard::test {
namespace {

using ::testing::HasSubstr;

class LedgerPlace : public ::testing::Test {
 protected:
  void SetUp() override {
    if (PostgresServer::shared() == nullptr) GTEST_SKIP() << PostgresServer::why_not();
    url_ = PostgresServer::shared()->new_database();
  }
  /// Starts the coordinator, books a revenue, and stops it: the log has grown by that.
  void live(const std::string& amount, const std::vector<std::string>& flags = {}) {
    const std::uint64_t before = size();
    ASSERT_TRUE(round_.start_coordinator({.flags = flags}));
    const Ran booked = run_program("coshard",
                                   {"revenue", "record", round_.coordinator_dir().string(),
                                    "--amount", amount, "--reference", "INV-" + amount},
                                   round_.path());
    EXPECT_EQ(booked.status, 0) << booked.output;
    round_.coordinator().signal(SIGTERM);
    ASSERT_TRUE(round_.coordinator().wait_exit(std::chrono::seconds(60))) << round_.outputs();
    EXPECT_GT(size(), before);
  }
  /// Of the published log, all of which is verified; it continues what it was.
  std::uint64_t size() {
    const ledger::DiskFolder log(round_.coordinator_dir() / "ledger/mite");
    const auto read = ledger::verify_ledger(log);
    if (!read) return 0;
    const std::span leaves = read->hashes.leaves();
    if (last_) {
      EXPECT_EQ(ledger::root_of(leaves.first(last_->size)), last_->root) << "a fork";
    }
    last_ = read->checkpoint;
    return last_->size;
  }
  Ran move_to(const std::string& place) {
    return run_program("coshard-coordinator",
                       {"--round", (round_.path() / "round.toml").string(), "--dir",
                        round_.coordinator_dir().string(), "--move-ledger-to", place},
                       round_.path(), std::chrono::seconds(60));
  }

  RoundFixture round_{TinyRound{}};
  std::string url_;
  std::optional<ledger::Checkpoint> last_;
};

TEST_F(LedgerPlace, ALedgerInPostgresqlIsFoundThereAgain) {
  live("1", {"--ledger-store", url_});
  live("2");  // DIR remembers where it is
  const Ran elsewhere = run_program("coshard-coordinator",
                                    {"--round", (round_.path() / "round.toml").string(), "--dir",
                                     round_.coordinator_dir().string(), "--ledger-store", "sqlite"},
                                    round_.path());
  EXPECT_EQ(elsewhere.status, 2) << elsewhere.output;
}

TEST_F(LedgerPlace, ALedgerMovesToPostgresqlAndBack) {
  live("1");
  const Ran there = move_to(url_);
  ASSERT_EQ(there.status, 0) << there.output;
  EXPECT_THAT(there.output, HasSubstr("the ledger is in the store " + url_ + " now"));
  live("2");
  ASSERT_EQ(move_to("sqlite").status, 0);
  live("3");
  EXPECT_EQ(move_to("mysql://elsewhere").status, 2);
  live("4");
}

TEST_F(LedgerPlace, NothingMovesWhileACoordinatorWrites) {
  ASSERT_TRUE(round_.start_coordinator());
  const Ran refused = move_to(url_);
  EXPECT_EQ(refused.status, 2);
  EXPECT_THAT(refused.output, HasSubstr("is another coordinator running"));
}

}  // namespace
}  // namespace coshard::test
