// kill -9 of a process that writes the ledger, and of the server that keeps it, at random moments,
// again and again: nothing that was acknowledged is lost, and the log never forks (reference
// ledger.md 5.3). COSHARD_KILL_LOOPS sets how often; COSHARD_SIM_SEED which moments.
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <poll.h>
#include <sqlite3.h>

#include <cstdlib>
#include <sstream>

#include "ledger/verify.h"
#include "protocol/base/rng.h"
#include "tests/process/ledger_kill_round.h"
#include "tests/support/store_place.h"

namespace coshard::ledger {
namespace {

using test::ChildProcess;

/// Kills of one log before the next one begins: replaying takes longer as a log grows.
constexpr int kKillsOfOneLog = 25;

std::uint64_t number_from(const char* variable, std::uint64_t otherwise) {
  const char* text = std::getenv(variable);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

/// What the child has said so far.
struct Said {
  std::uint64_t acks = 0, acked = 0, published = 0;
};

Said read_said(const test::Path& file) {
  std::istringstream in(test::read_text(file));
  Said out;
  std::string line;
  while (std::getline(in, line) && !in.eof()) {  // a line that a kill cut short does not count
    std::uint64_t size = 0;
    if (std::sscanf(line.c_str(), "acked %lu", &size) == 1) {
      ++out.acks;
      out.acked = size;
    }
    if (std::sscanf(line.c_str(), "published %lu", &size) == 1) out.published = size;
  }
  return out;
}

/// Quick check of SQLite itself, with nobody else about.
void quick_check(const std::string& file) {
  sqlite3* database = nullptr;
  ASSERT_EQ(sqlite3_open(file.c_str(), &database), SQLITE_OK);
  std::string answer;
  const auto take = [](void* to, int, char** values, char**) {
    *static_cast<std::string*>(to) += values[0];
    return 0;
  };
  EXPECT_EQ(sqlite3_exec(database, "PRAGMA quick_check", take, &answer, nullptr), SQLITE_OK);
  EXPECT_EQ(answer, "ok");
  sqlite3_close(database);
}

class KillLoop {
 public:
  KillLoop(std::string place, std::uint64_t seed) : place_(std::move(place)), rng_(seed, 5) {}

  std::unique_ptr<ChildProcess> start() {
    output_ = folder_ / ("output-" + std::to_string(++runs_));
    return std::make_unique<ChildProcess>(
        test::Spawn{COSHARD_KILL_CHILD, {place_, (folder_ / "public").string()}, output_, {}, {}});
  }

  /// A few acknowledgements, and then some moment of the next ones.
  void wait_for_the_moment() {
    const std::uint64_t acks = rng_.below(7);
    test::FolderWatch watch({folder_.path()});
    ASSERT_TRUE(
        watch.wait_until([&] { return read_said(output_).acks >= acks; }, std::chrono::seconds(30)))
        << test::read_text(output_);
    const timespec moment{0, static_cast<long>(rng_.below(6'000'000))};
    ppoll(nullptr, 0, &moment, nullptr);
  }

  /// After the end of the child: everything that it said holds. Remembers what was published.
  void check() {
    const Said said = read_said(output_);
    acknowledged_ = std::max(acknowledged_, said.acked);
    if (!place_.starts_with("postgresql")) quick_check(place_);
    KillRound now((folder_ / "public").string());
    const auto left_there = now.round.folder->read("checkpoint", 1u << 20);
    auto store = open_kill_store(place_);
    ASSERT_OK(store);
    now.round.store = std::move(*store);
    const std::uint64_t size = *now.round.store->size();
    EXPECT_GE(size, acknowledged_);
    auto ledger = now.open();  // refuses a log that does not lead to what was signed or published
    ASSERT_OK(ledger);
    ASSERT_OK(ledger->publish());
    const auto verified = verify_ledger(*now.round.folder);  // every tile against the root
    ASSERT_OK(verified);
    EXPECT_GE(verified->checkpoint.size, std::max(size, said.published));
    std::vector<Hash> leaves;
    const std::vector<Bytes> entries = *now.round.store->read(0, verified->checkpoint.size);
    for (const Bytes& entry : entries) leaves.push_back(leaf_hash(entry));
    EXPECT_EQ(root_of(leaves), verified->checkpoint.root);
    if (published_) {
      EXPECT_EQ(root_of(std::span(leaves).first(published_->size)), published_->root) << "a fork";
    }
    if (left_there) {
      const auto note = open_note(as_text(*left_there), std::span(&verified->key, 1));
      ASSERT_OK(note);
      const auto seen = Checkpoint::parse(note->text);
      ASSERT_OK(seen);
      EXPECT_EQ(root_of(std::span(leaves).first(seen->size)), seen->root) << "a fork";
    }
    published_ = verified->checkpoint;
    acknowledged_ = verified->checkpoint.size;
  }
  std::uint64_t entries() const { return acknowledged_; }

 private:
  std::string place_;
  Rng rng_;
  test::TempDir folder_;
  test::Path output_;
  int runs_ = 0;
  std::uint64_t acknowledged_ = 0;
  std::optional<Checkpoint> published_;
};

/// For whoever waits for thousands.
void say_how_far(const char* whose, std::uint64_t done, std::uint64_t loops) {
  if (done % 250 != 0 || done == loops) return;
  std::printf("%s: %llu of %llu kills\n", whose, static_cast<unsigned long long>(done),
              static_cast<unsigned long long>(loops));
  std::fflush(stdout);
}

TEST(LedgerKillTest, KilledWriterLosesNothingAcknowledged) {
  const std::uint64_t loops = number_from("COSHARD_KILL_LOOPS", 100);
  const std::uint64_t seed = number_from("COSHARD_SIM_SEED", 1);
  std::uint64_t entries = 0;
  for (std::uint64_t done = 0; done < loops;) {
    SCOPED_TRACE("COSHARD_SIM_SEED=" + std::to_string(seed + done));
    const StorePlace place(StoreKind::kSqlite);
    KillLoop loop(place.file(), seed + done);
    for (int kill = 0; kill < kKillsOfOneLog && done < loops; ++kill, ++done) {
      auto child = loop.start();
      ASSERT_NO_FATAL_FAILURE(loop.wait_for_the_moment());
      child.reset();  // kill -9
      ASSERT_NO_FATAL_FAILURE(loop.check());
    }
    entries += loop.entries();
    say_how_far("writer", done, loops);
  }
  std::printf("%llu kills, %llu entries\n", static_cast<unsigned long long>(loops),
              static_cast<unsigned long long>(entries));
}

TEST(LedgerKillTest, KilledServerLosesNothingAcknowledged) {
  const std::uint64_t loops = number_from("COSHARD_KILL_LOOPS", 100) / 8;
  const std::uint64_t seed = number_from("COSHARD_SIM_SEED", 1);
  const auto server = test::PostgresServer::start();
  if (server == nullptr) GTEST_SKIP() << test::PostgresServer::why_not();
  SCOPED_TRACE("COSHARD_SIM_SEED=" + std::to_string(seed));
  KillLoop loop(server->new_database(), seed);
  for (std::uint64_t done = 0; done < loops; ++done) {
    auto child = loop.start();
    ASSERT_NO_FATAL_FAILURE(loop.wait_for_the_moment());
    ASSERT_TRUE(server->stop_immediately());
    ASSERT_TRUE(server->start_again());
    // A lost server is an error of the store, and the writer goes no further.
    EXPECT_EQ(child->wait_exit(std::chrono::seconds(20)), 1);
    ASSERT_NO_FATAL_FAILURE(loop.check());
    say_how_far("server", done + 1, loops);
  }
  std::printf("%llu kills, %llu entries\n", static_cast<unsigned long long>(loops),
              static_cast<unsigned long long>(loop.entries()));
}

}  // namespace
}  // namespace coshard::ledger
