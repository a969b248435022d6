// A verified index says what a replay of the whole log says, however the log grew, wherever
// building it was interrupted, and whatever was done to its file; and it notices a log that forked.
// SPDX-License-Identifier: Apache-2.0
#include "ledger/ledger_index.h"

#include <gtest/gtest.h>

#include <fstream>

#include "crypto/random.h"
#include "ledger/verify.h"
#include "node/cli/ledger_words.h"
#include "tests/unit/ledger/small_round.h"

namespace coshard::ledger {
namespace {

namespace fs = std::filesystem;

/// A log written by hand: a small round, then money and what owners sign, each entry judged.
struct HandLog {
  HandLog() {
    round.params.currency = "USD";
    auto ledger = round.begin();
    EXPECT_TRUE(ledger.has_value());
    EXPECT_TRUE(round.run_epoch(*ledger, 0, 1, 10).has_value());
    EXPECT_TRUE(ledger->post(StepId(10), round.shards()).has_value());
    EXPECT_TRUE(round.run_epoch(*ledger, 1, 11, 15).has_value());
    EXPECT_TRUE(ledger->rollback(StepId(10), LedgerEpoch(2), "lost").has_value());
    EXPECT_TRUE(ledger->commit().has_value());
    const std::vector<Bytes> written = *round.store->read(0, *round.store->size());
    for (const Bytes& bytes : written) take(*decode_entry(bytes));
  }

  void take(const LedgerEntry& entry) {
    const auto applied = accounts.apply(LogIndex(entries.size()), entry);
    ASSERT_TRUE(applied.has_value()) << applied.error().message;
    entries.push_back(encode(entry));
    hashes.append(leaf_hash(entries.back()));
  }
  void append(const SignedBody& body) {
    LedgerEntry entry;
    entry.index = LogIndex(entries.size());
    entry.seq_ms = accounts.last_ms();
    entry.body = body.body;
    entry.signatures = body.signatures;
    take(entry);
  }
  void say(const Leaf& leaf) {
    append(sign_body(round.operating, accounts.network(), accounts.next_sequence(), leaf));
  }
  void own(const crypto::Identity& owner, const Leaf& leaf) {
    append(sign_body(owner.root(), accounts.network(),
                     accounts.balance(owner.account()).entries + 1, leaf));
  }
  void revenue(std::uint64_t number) {
    RevenueReported leaf{1000 + number, "invoice", {}};
    leaf.statement[0] = static_cast<std::uint8_t>(number);
    leaf.statement[1] = static_cast<std::uint8_t>(number >> 8);
    leaf.statement[2] = salt;
    say(leaf);
  }
  /// One of each kind that moves units or money.
  void business(std::uint64_t number) {
    const crypto::Identity& a = round.nodes[0];
    const crypto::Identity& b = round.nodes[1];
    revenue(number);
    own(a, UnitTransfer{a.account(), b.account(), 3 + number % 5, 0, {}, ""});
    own(b, Bond{5});
    say(Settle{{AccountRef{b.account()}}});
    const std::uint64_t payout = accounts.balance(b.account()).payouts + 1;
    say(PayoutInitiated{b.account(), payout, 1});
    say(PayoutFinal{b.account(), payout, number % 2 == 0, "wire"});
    own(b, BondRelease{2});
    say(Penalty{b.account(), 1, "late", {}});
    if (number % 3 == 0) say(accounts.snapshot());
  }

  Checkpoint checkpoint(std::uint64_t size) const {
    return {round.params.origin, size, root_of(hashes.leaves().first(size))};
  }
  std::string note(std::uint64_t size) const {
    return *sign_checkpoint(checkpoint(size), round.log_key);
  }
  FoundCheckpoint found(std::uint64_t size) const { return {note(size), checkpoint(size)}; }
  FoundCheckpoint found() const { return found(entries.size()); }

  /// The files of the log when it had `size` entries.
  MemoryFolder published(std::uint64_t size) const {
    MemoryFolder folder;
    const auto source = [&](std::uint64_t first,
                            std::uint64_t count) -> Result<std::vector<Bytes>> {
      const auto at = entries.begin() + static_cast<std::ptrdiff_t>(first);
      return std::vector<Bytes>(at, at + static_cast<std::ptrdiff_t>(count));
    };
    EXPECT_TRUE(publish_tiles(folder, 0, size, hashes, source).has_value());
    folder.files["log.vkey"] = to_bytes(as_bytes(key().vkey() + "\n"));
    folder.files["checkpoint"] = to_bytes(as_bytes(note(size)));
    return folder;
  }
  MemoryFolder published() const { return published(entries.size()); }
  NoteKey key() const { return {round.params.origin, round.log_key.public_key()}; }

  SmallRound round;
  Accounts accounts;
  std::vector<Bytes> entries;
  LevelHashes hashes;
  std::uint8_t salt = 0;
};

HandLog long_log(std::uint64_t entries) {
  HandLog log;
  for (std::uint64_t number = 1; log.entries.size() < entries; ++number) log.business(number);
  return log;
}

class LedgerIndexTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::path(::testing::TempDir()) / ("coshard-" + to_hex(crypto::random_array<6>()));
    fs::create_directories(folder_);
    options_.file = folder_ / "small.db";
    options_.describe = [](const Body& body, const Accounts& accounts, const AccountId& account,
                           const Balance& before, const Balance& after) {
      return cli::words_for(body.leaf, accounts, account, before, after);
    };
    options_.notice = [this](const std::string& why) { notices_.push_back(why); };
    options_.state_every = 256;
    options_.tail_max = 100;
  }
  void TearDown() override { fs::remove_all(folder_); }

  Result<LedgerIndex> open(const HandLog& log) { return LedgerIndex::open(options_, log.key()); }

  /// Everything that the index says is what `accounts` say.
  void expect_equal(LedgerIndex& index, const Accounts& accounts) {
    const auto whole = index.whole();
    ASSERT_OK(whole);
    EXPECT_EQ((*whole)->serialize(), accounts.serialize());
    const auto all = index.view_all();
    ASSERT_OK(all);
    EXPECT_EQ(all->balances(), accounts.balances());
    for (const auto& [account, balance] : accounts.balances()) {
      const auto view = index.view(std::vector{account});
      ASSERT_OK(view);
      EXPECT_EQ(view->balance(account), accounts.balance(account)) << account.hex();
      EXPECT_EQ(view->free_units(account), accounts.free_units(account));
      EXPECT_EQ(view->bonded_units(account), accounts.bonded_units(account));
      EXPECT_EQ(view->totals(), accounts.totals());
      EXPECT_EQ(view->money(), accounts.money());
      const auto events = index.events(account, {}, LogIndex(accounts.size()), 1'000'000);
      ASSERT_OK(events);
      ASSERT_FALSE(events->empty());
      EXPECT_EQ(events->back().after.posted, balance.posted);
      EXPECT_EQ(events->back().after.pending, balance.pending);
      EXPECT_EQ(events->back().after.owed, accounts.balance(account).owed);
    }
  }

  fs::path folder_;
  IndexOptions options_;
  std::vector<std::string> notices_;
};

TEST_F(LedgerIndexTest, HoweverTheLogGrewItIsWhatAReplaySays) {
  const HandLog log = long_log(1100);
  const std::uint64_t size = log.entries.size();
  const std::vector<std::vector<std::uint64_t>> splits{
      {size}, {1, 2, 3, size}, {255, 256, 257, size}, {30, 511, 512, 700, 1024, 1050, size}};
  for (const auto& split : splits) {
    remove_index(options_.file);
    for (const std::uint64_t at : split) {
      auto index = open(log);  // as a new process does
      ASSERT_OK(index);
      const auto done = index->bring_up(log.published(at), log.found(at));
      ASSERT_OK(done);
      EXPECT_EQ(index->checkpoint(), log.checkpoint(at));
    }
    auto index = open(log);
    ASSERT_OK(index);
    ASSERT_OK(index->bring_up(log.published(), log.found()));
    expect_equal(*index, log.accounts);
  }
  EXPECT_TRUE(notices_.empty());
}

TEST_F(LedgerIndexTest, InMemoryItIsTheSame) {
  const HandLog log = long_log(600);
  options_.file.clear();
  auto index = open(log);
  ASSERT_OK(index);
  ASSERT_OK(index->bring_up(log.published(300), log.found(300)));
  ASSERT_OK(index->bring_up(log.published(), log.found()));
  EXPECT_EQ((*index->whole())->serialize(), log.accounts.serialize());
  EXPECT_EQ(index->view_all()->balances(), log.accounts.balances());
}

TEST_F(LedgerIndexTest, EveryEarlierSizeIsWhatItsPrefixSays) {
  const HandLog log = long_log(600);
  const MemoryFolder folder = log.published();
  auto index = open(log);
  ASSERT_OK(index);
  ASSERT_OK(index->bring_up(folder, log.found()));
  Accounts prefix;
  for (std::uint64_t size = 1; size <= log.entries.size(); ++size) {
    const auto entry = decode_entry(log.entries[size - 1]);
    ASSERT_OK(prefix.apply(entry->index, *entry, SignatureCheck::kDone));
    if (size % 7 != 0 && size > 30 && size + 5 < log.entries.size() && size % 256 > 2) continue;
    const auto at = index->at(folder, size);
    ASSERT_OK(at);
    EXPECT_EQ(at->checkpoint, log.checkpoint(size));
    ASSERT_EQ(at->accounts.serialize(), prefix.serialize()) << size;
  }
  EXPECT_ERROR(index->at(folder, 0), ErrorCode::kInvalidArgument);
  EXPECT_ERROR(index->at(folder, log.entries.size() + 1), ErrorCode::kInvalidArgument);
}

/// Revenue concerns everybody and is stored once: what it brought to each is what a fold says that
/// looks at every account after every entry.
TEST_F(LedgerIndexTest, RevenueIsALineForEverybodyToWhomItBroughtSomething) {
  HandLog log = long_log(300);
  log.say(Correction{log.accounts.revenues().back().index, 0, "none"});
  log.revenue(900);  // less than what is kept of it for the correction before
  log.say(Correction{log.accounts.revenues().front().index, 77'777, "more"});
  const std::uint64_t size = log.entries.size();
  for (const std::uint64_t middle : {size / 2, size - 2}) {
    remove_index(options_.file);
    auto index = open(log);
    ASSERT_OK(index);
    ASSERT_OK(index->bring_up(log.published(middle), log.found(middle)));
    ASSERT_OK(index->bring_up(log.published(), log.found()));
    std::map<AccountId, std::map<LogIndex, AccountEvent>> lines;
    for (const auto& [account, balance] : log.accounts.balances()) {
      const auto events = index->events(account, {}, LogIndex(size), UINT64_MAX);
      ASSERT_OK(events);
      for (const AccountEvent& one : *events) lines[account].emplace(one.index, one);
      const auto last = index->events(account, LogIndex(size / 3), LogIndex(size), 7);
      ASSERT_OK(last);
      ASSERT_EQ(last->size(), std::min<std::size_t>(7, events->size()));
      EXPECT_TRUE(std::equal(last->begin(), last->end(), events->end() - std::ssize(*last),
                             [](const AccountEvent& a, const AccountEvent& b) {
                               return a.index == b.index && a.what == b.what && a.after == b.after;
                             }));
    }
    Accounts fold;
    std::uint64_t brought = 0;
    for (std::uint64_t i = 0; i < size; ++i) {
      const Accounts before = fold;
      const auto entry = decode_entry(log.entries[i]);
      ASSERT_OK(fold.apply(entry->index, *entry, SignatureCheck::kDone));
      for (const auto& [account, settled] : fold.balances()) {
        const auto line = lines[account].find(LogIndex(i));
        const bool has_line = line != lines[account].end();
        if (has_line) {
          EXPECT_EQ(line->second.after.owed, fold.balance(account).owed) << i;
        }
        if (fold.balance(account).owed != before.balance(account).owed) {
          ASSERT_TRUE(has_line) << i << " " << account.hex();
        }
        const auto type = has_line ? line->second.type : LeafType{};
        if (type != LeafType::kRevenueReported && type != LeafType::kCorrection) continue;
        ++brought;
        EXPECT_NE(line->second.what, "");
        EXPECT_GT(fold.balance(account).owed, before.balance(account).owed) << i;
      }
    }
    EXPECT_GT(brought, 50u);
  }
}

TEST_F(LedgerIndexTest, EventsCanBeAskedForInParts) {
  const HandLog log = long_log(400);
  auto index = open(log);
  ASSERT_OK(index);
  ASSERT_OK(index->bring_up(log.published(), log.found()));
  const AccountId account = log.round.nodes[1].account();
  const auto all = index->events(account, {}, LogIndex(log.entries.size()), 1'000'000);
  ASSERT_OK(all);
  ASSERT_GT(all->size(), 100u);
  const auto last = index->events(account, {}, LogIndex(log.entries.size()), 3);
  ASSERT_OK(last);
  ASSERT_EQ(last->size(), 3u);
  EXPECT_EQ(last->back().what, all->back().what);
  const auto part = index->events(account, LogIndex(100), LogIndex(200), 1'000'000);
  ASSERT_OK(part);
  for (const AccountEvent& one : *part) {
    EXPECT_GE(one.index.value, 100u);
    EXPECT_LT(one.index.value, 200u);
  }
  EXPECT_EQ(index->find(account.hex().substr(0, 8), 2)->size(), 1u);
}

TEST_F(LedgerIndexTest, InterruptedAnywhereItGoesOnFromTheLastCommit) {
  const HandLog log = long_log(1500);
  const MemoryFolder folder = log.published();
  std::vector<fs::path> copies;
  options_.progress = [&](std::uint64_t done, std::uint64_t) {
    copies.push_back(folder_ / ("copy-" + std::to_string(done) + ".db"));
    for (const char* suffix : {"", "-wal"}) {
      fs::copy(options_.file.string() + suffix, copies.back().string() + suffix);
    }
  };
  {
    auto index = open(log);
    ASSERT_OK(index);
    ASSERT_OK(index->bring_up(folder, log.found()));
  }
  options_.progress = nullptr;
  ASSERT_GE(copies.size(), 5u);
  for (const fs::path& copy : copies) {
    options_.file = copy;
    auto index = open(log);
    ASSERT_OK(index);
    ASSERT_OK(index->bring_up(folder, log.found()));
    expect_equal(*index, log.accounts);
  }
  EXPECT_TRUE(notices_.empty());
}

TEST_F(LedgerIndexTest, ADamagedOrForeignFileIsMadeAnew) {
  const HandLog log = long_log(600);
  const MemoryFolder folder = log.published();
  const auto build = [&] {
    auto index = open(log);
    ASSERT_OK(index);
    ASSERT_OK(index->bring_up(folder, log.found()));
  };
  build();
  const auto size = fs::file_size(options_.file);
  std::size_t noticed = 0;
  for (std::uint64_t at = 0; at < size; at += size / 37 + 1) {
    SCOPED_TRACE(at);
    {
      std::fstream file(options_.file, std::ios::in | std::ios::out | std::ios::binary);
      file.seekp(static_cast<std::streamoff>(at));
      const std::string rubbish(64, '\x5a');
      file.write(rubbish.data(), static_cast<std::streamsize>(rubbish.size()));
    }
    notices_.clear();
    auto index = open(log);
    ASSERT_OK(index);
    ASSERT_OK(index->bring_up(folder, log.found()));
    auto all = index->view_all();
    if (!all) {  // a row that only this question reads
      ASSERT_TRUE(index->is_damaged()) << all.error().message;
      ASSERT_OK(index->bring_up(folder, log.found()));
      all = index->view_all();
    }
    ASSERT_OK(all);
    EXPECT_EQ(all->balances(), log.accounts.balances());
    noticed += notices_.size();
  }
  EXPECT_GT(noticed, 0u);
  std::ofstream(options_.file, std::ios::trunc) << "this is not a database, but a long enough text";
  build();
  EXPECT_FALSE(notices_.empty());
  notices_.clear();
  SmallRound other;
  other.params.origin = *make_origin("example.org", "other");
  auto index = LedgerIndex::open(options_, NoteKey{other.params.origin, test_key(9).public_key()});
  ASSERT_OK(index);
  EXPECT_EQ(notices_.size(), 1u);
}

TEST_F(LedgerIndexTest, ADamagedBundleIsNamedAndTheIndexStays) {
  const HandLog log = long_log(900);
  MemoryFolder folder = log.published();
  const MemoryFolder whole = folder;
  for (const char* path : {"tile/entries/002", "tile/0/001", "tile/1/000.p/3"}) {
    remove_index(options_.file);
    auto index = open(log);
    ASSERT_OK(index);
    ASSERT_OK(index->bring_up(log.published(300), log.found(300)));
    folder = whole;
    folder.files.erase(path);
    EXPECT_FALSE(index->bring_up(folder, log.found()).has_value()) << path;
    folder = whole;
    folder.files.at(path)[50] ^= 1;
    const auto done = index->bring_up(folder, log.found());
    EXPECT_ERROR(done, ErrorCode::kCorruption);
    EXPECT_NE(done.error().message.find(path), std::string::npos) << done.error().message;
    EXPECT_FALSE(index->fork());
    ASSERT_OK(index->bring_up(whole, log.found()));
    expect_equal(*index, log.accounts);
  }
}

TEST_F(LedgerIndexTest, AForkIsRefusedWithEvidence) {
  HandLog honest = long_log(300);
  const std::uint64_t common = honest.entries.size();
  HandLog forked = long_log(300);
  forked.salt = 1;
  for (std::uint64_t number = 1000; honest.entries.size() < common + 500; ++number) {
    honest.business(number);
    forked.business(number);
  }
  for (const std::uint64_t known : {common + 1, common + 20, std::uint64_t{512}, common + 300}) {
    for (const std::uint64_t shown : {known, known + 1, known + 100}) {
      SCOPED_TRACE(std::to_string(known) + " then " + std::to_string(shown));
      remove_index(options_.file);
      auto index = open(honest);
      ASSERT_OK(index);
      ASSERT_OK(index->bring_up(honest.published(known), honest.found(known)));
      const auto done = index->bring_up(forked.published(shown), forked.found(shown));
      EXPECT_ERROR(done, ErrorCode::kCorruption);
      EXPECT_NE(done.error().message.find("forked"), std::string::npos) << done.error().message;
      ASSERT_TRUE(index->fork());
      const auto evidence = ForkEvidence::parse(index->fork()->format());
      ASSERT_OK(evidence);
      ASSERT_OK(examine(*evidence));
      ASSERT_OK(index->bring_up(honest.published(), honest.found()));
    }
  }
}

TEST_F(LedgerIndexTest, AnOlderCheckpointIsRefused) {
  const HandLog log = long_log(300);
  auto index = open(log);
  ASSERT_OK(index);
  ASSERT_OK(index->bring_up(log.published(), log.found()));
  EXPECT_ERROR(index->bring_up(log.published(200), log.found(200)), ErrorCode::kFailedPrecondition);
}

}  // namespace
}  // namespace coshard::ledger
