// coshard verify --seen and --evidence, and coshard monitor, as processes: logs that go on, that go
// back, that show two histories, whose files are damaged, that break a rule.
// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include <csignal>
#include <fstream>
#include <nlohmann/json.hpp>

#include "crypto/secret_file.h"
#include "ledger/tiles.h"
#include "ledger/verify.h"
#include "node/coordinator/ledger_home.h"
#include "tests/process/program.h"
#include "tests/support/round_fixture.h"

namespace coshard::test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using Json = nlohmann::json;

/// The folder of a coordinator, opened as its coordinator would.
class Home {
 public:
  Home(const Path& directory, const node::RoundFile& round, const std::string& text,
       const crypto::Identity& coordinator)
      : directory_(directory) {
    std::filesystem::create_directories(directory);
    auto opened = node::LedgerHome::open(directory, round, text, coordinator, std::nullopt, clock_);
    EXPECT_TRUE(opened) << (opened ? "" : opened.error().message);
    home_ = std::move(*opened);
  }
  void book(std::uint64_t amount) {
    ledger::RevenueReported revenue;
    revenue.amount = amount;
    revenue.statement.fill(static_cast<std::uint8_t>(amount));
    ASSERT_TRUE(home_->ledger().say(revenue));
    ASSERT_TRUE(home_->ledger().publish());
  }
  std::string size() { return std::to_string(home_->ledger().accounts().size()); }
  Path log() const { return directory_ / "ledger/mite"; }
  node::LedgerHome& operator*() { return *home_; }

 private:
  Path directory_;
  SystemClock clock_;
  std::unique_ptr<node::LedgerHome> home_;
};

class CliReaders : public ::testing::Test {
 protected:
  void SetUp() override {
    begun_.emplace(folder_.path() / "first", folder_.round(), text_, coordinator_);
    for (std::uint64_t amount = 1; amount <= 3; ++amount) begun_->book(amount);
  }
  Ran coshard(std::vector<std::string> arguments) {
    return run_program("coshard", arguments, folder_.path());
  }
  std::string in(const std::string& name) const { return (folder_.path() / name).string(); }
  Home& log() { return *begun_; }
  std::string log_folder() const { return begun_->log().string(); }

  /// The same log under the same keys, which from here on goes another way.
  std::string twin(std::uint64_t amount, int entries = 1) {
    begun_.reset();
    std::filesystem::copy(folder_.path() / "first", folder_.path() / "twin",
                          std::filesystem::copy_options::recursive);
    Home twin(folder_.path() / "twin", folder_.round(), text_, coordinator_);
    for (int i = 0; i < entries; ++i) twin.book(amount + static_cast<std::uint64_t>(i));
    begun_.emplace(folder_.path() / "first", folder_.round(), text_, coordinator_);
    return twin.log().string();
  }

  /// The log in `to` as a coordinator would publish it that appends `leaf` whatever the rules say.
  std::string break_a_rule(const ledger::Leaf& leaf) {
    const ledger::Accounts& accounts = (**begun_).ledger().accounts();
    const ledger::DiskFolder from(begun_->log());
    const std::uint64_t size = accounts.size();
    const auto contents = ledger::read_log(from, *checkpoint_of(from));
    EXPECT_TRUE(contents);
    const ledger::SignedBody body = ledger::sign_body(coordinator_.operating(), accounts.network(),
                                                      accounts.next_sequence(), leaf);
    std::vector<Bytes> entries = contents->entries;
    entries.push_back(ledger::encode(
        ledger::LedgerEntry{1, LogIndex(size), accounts.last_ms(), body.body, body.signatures}));
    ledger::DiskFolder to(folder_.path() / "broken");
    ledger::LevelHashes hashes;
    for (const Bytes& entry : entries) hashes.append(ledger::leaf_hash(entry));
    const auto source = [&](std::uint64_t first,
                            std::uint64_t count) -> Result<std::vector<Bytes>> {
      const auto begin = entries.begin() + static_cast<std::ptrdiff_t>(first);
      return std::vector<Bytes>(begin, begin + static_cast<std::ptrdiff_t>(count));
    };
    EXPECT_TRUE(ledger::publish_tiles(to, 0, size + 1, hashes, source));
    const auto seed = crypto::read_secret_file(folder_.path() / "first/log.key", std::nullopt);
    const auto key = crypto::KeyPair::from_seed(seed->view());
    const ledger::Checkpoint checkpoint{accounts.genesis().origin, size + 1,
                                        ledger::root_of(hashes.leaves())};
    EXPECT_TRUE(to.write("checkpoint", as_bytes(*ledger::sign_checkpoint(checkpoint, *key))));
    EXPECT_TRUE(to.write("log.vkey", *from.read("log.vkey", 1u << 12)));
    return in("broken");
  }
  static Result<ledger::Checkpoint> checkpoint_of(const ledger::LogFolder& log) {
    COSHARD_ASSIGN(const ledger::LogHead head, ledger::read_head(log, {}));
    return head.checkpoint;
  }

  RoundFolder folder_{TinyRound{}};
  const std::string text_ = read_text(folder_.path() / "round.toml");
  const crypto::Identity coordinator_ = crypto::Identity::generate();
  std::optional<Home> begun_;
};

TEST_F(CliReaders, WhatWasSeenIsRenewedWhileTheLogGoesOn) {
  const std::vector<std::string> verify{"verify", "--ledger", log_folder(), "--seen", in("seen")};
  ASSERT_EQ(coshard(verify).status, 0);
  const std::string first = read_text(in("seen"));
  EXPECT_THAT(first, HasSubstr("\n" + log().size() + "\n"));
  log().book(50);
  const Ran grown = coshard(verify);
  EXPECT_EQ(grown.status, 0) << grown.output;
  EXPECT_THAT(read_text(in("seen")), HasSubstr("\n" + log().size() + "\n"));
  write_text(in("seen"), first + "x");
  EXPECT_NE(coshard(verify).status, 0) << "no checkpoint of this log";
}

TEST_F(CliReaders, TwoHistoriesOfOneLogAreEvidenceThatAnybodyCanRead) {
  const std::string other = twin(100, 3);
  log().book(50);
  ASSERT_EQ(coshard({"verify", "--ledger", log_folder(), "--seen", in("seen")}).status, 0);
  const Ran forked = coshard({"verify", "--ledger", other, "--seen", in("seen")});
  EXPECT_EQ(forked.status, 1);
  EXPECT_THAT(forked.output, AllOf(HasSubstr("forked"), HasSubstr("seen.fork")));
  const Ran explained = coshard({"verify", "--evidence", in("seen.fork")});
  EXPECT_EQ(explained.status, 0) << explained.output;
  EXPECT_THAT(explained.output, HasSubstr(log().size() + " entries"));
  std::string spoilt = read_text(in("seen.fork"));
  spoilt[spoilt.size() / 2] ^= 1;
  write_text(in("spoilt"), spoilt);
  EXPECT_NE(coshard({"verify", "--evidence", in("spoilt")}).status, 0);
}

TEST_F(CliReaders, ALogThatIsSetBackIsRefused) {
  const std::string other = twin(100);
  for (std::uint64_t amount = 50; amount < 53; ++amount) log().book(amount);
  ASSERT_EQ(coshard({"verify", "--ledger", log_folder(), "--seen", in("seen")}).status, 0);
  const Ran shorter = coshard({"verify", "--ledger", other, "--seen", in("seen")});
  EXPECT_EQ(shorter.status, 1);
  EXPECT_THAT(shorter.output, HasSubstr("at least " + log().size() + " entries was seen before"));
}

TEST_F(CliReaders, TheMonitorFollowsALogThatGrows) {
  const Path output = folder_.path() / "monitor.out";
  ChildProcess monitor(
      {bin_dir() / "coshard",
       {"monitor", log_folder(), "--interval", "1", "--json", "--index", in("index")},
       output,
       {},
       {}});
  const auto size = [this] { return "\"size\":" + log().size() + ","; };
  ASSERT_TRUE(wait_for_text(output, size(), std::chrono::seconds(30))) << monitor.output();
  log().book(50);
  ASSERT_TRUE(wait_for_text(output, size(), std::chrono::seconds(30))) << monitor.output();
  monitor.signal(SIGINT);
  EXPECT_EQ(monitor.wait_exit(std::chrono::seconds(30)), 130);
  EXPECT_THAT(monitor.output(), Not(HasSubstr("violation")));
}

TEST_F(CliReaders, TheMonitorEndsAtAForkAndKeepsTheEvidence) {
  const std::string other = twin(100, 3);
  log().book(50);
  ASSERT_EQ(coshard({"monitor", log_folder(), "--once", "--index", in("index")}).status, 0);
  const Ran forked = coshard({"monitor", other, "--json", "--index", in("index")});
  EXPECT_EQ(forked.status, 1) << "it ends though nobody said --once";
  EXPECT_THAT(forked.output, AllOf(HasSubstr("\"violation\":true"), HasSubstr("forked")));
  Path evidence;
  for (const auto& one : std::filesystem::directory_iterator(in("index")))
    if (one.path().extension() == ".fork") evidence = one.path();
  ASSERT_FALSE(evidence.empty());
  EXPECT_EQ(coshard({"verify", "--evidence", evidence.string()}).status, 0);
}

// Whoever rewrites what he had signed may try to hide it behind a new key.
TEST_F(CliReaders, AChangeOfTheLogsKeyHidesNoOtherHistory) {
  const std::string other = twin(100, 3);
  log().book(50);
  const std::vector<std::string> ask{"ownership",  "mite",    "--ledger",
                                     log_folder(), "--index", in("index")};
  const auto indexes = [&] {
    int count = 0;
    for (const auto& one : std::filesystem::directory_iterator(in("index")))
      count += one.path().extension() == ".db" ? 1 : 0;
    return count;
  };
  ASSERT_EQ(coshard(ask).status, 0);
  {
    Home forger(folder_.path() / "twin", folder_.round(), text_, coordinator_);
    ASSERT_TRUE((*forger).rotate_log_key(folder_.path() / "twin", std::nullopt, 0));
    forger.book(120);
  }
  const Ran forged = coshard({"ownership", "mite", "--ledger", other, "--index", in("index")});
  EXPECT_EQ(forged.status, 1);
  EXPECT_THAT(forged.output,
              AllOf(HasSubstr("since the log changed its key"), HasSubstr("the log has forked")));
  const Ran watched = coshard({"monitor", other, "--once", "--index", in("index")});
  EXPECT_EQ(watched.status, 1);
  EXPECT_THAT(watched.output, HasSubstr("VIOLATION"));

  ASSERT_TRUE((*log()).rotate_log_key(folder_.path() / "first", std::nullopt, 0));
  log().book(60);
  const Ran honest = coshard(ask);
  EXPECT_EQ(honest.status, 0) << honest.output;
  EXPECT_EQ(indexes(), 2) << "the forger's, and one for the log: the one under its former key went";
}

TEST_F(CliReaders, TheMonitorNamesTheFileThatIsDamagedOrMissing) {
  const std::string tiles = log_folder() + "/tile";
  for (const std::string kind : {"entries", "0"}) {
    const std::string path = tiles + "/" + kind + "/000.p/" + log().size();
    const std::string sound = read_text(path);
    ASSERT_FALSE(sound.empty()) << path;
    std::string flipped = sound;
    flipped[flipped.size() / 2] ^= 4;
    write_text(path, flipped);
    const Ran damaged = coshard({"monitor", log_folder(), "--once", "--no-index"});
    EXPECT_EQ(damaged.status, 1) << kind;
    EXPECT_THAT(damaged.output, AllOf(HasSubstr("VIOLATION"), HasSubstr("tile/" + kind)));
    std::filesystem::remove(path);
    const Ran missing = coshard({"monitor", log_folder(), "--once", "--no-index"});
    EXPECT_EQ(missing.status, 1) << kind;
    EXPECT_THAT(missing.output, HasSubstr("tile/" + kind));
    write_text(path, sound);
  }
  EXPECT_EQ(coshard({"monitor", log_folder(), "--once", "--no-index"}).status, 0);
}

// Everything is signed, and every hash leads to the root: only who replays it finds it.
TEST_F(CliReaders, TheMonitorRefusesASnapshotThatIsWrong) {
  ledger::StateSnapshot snapshot = (*log()).ledger().accounts().snapshot();
  ++snapshot.money.revenue;
  const std::string broken = break_a_rule(snapshot);
  const Ran found = coshard({"monitor", broken, "--once", "--no-index"});
  EXPECT_EQ(found.status, 1);
  EXPECT_THAT(found.output, AllOf(HasSubstr("VIOLATION"), HasSubstr("entry " + log().size())));
}

}  // namespace
}  // namespace coshard::test
