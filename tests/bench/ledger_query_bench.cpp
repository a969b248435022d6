// What a question to a long ledger costs: a valid log of so many entries is made (gifts among many
// owners, a revenue in every hundred entries, a snapshot in every million), a reader's index of it
// is built, and then the real `coshard` is run again and again. Signatures are neither made nor
// verified, but for the last entries, by which the log grows under the reader. Prints JSON.
//   ledger_query_bench COSHARD FOLDER [entries] [owners]       FOLDER: empty; kept
// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>

#include "ledger/ledger_index.h"
#include "node/cli/ledger_view.h"
#include "node/cli/ledger_words.h"
#include "protocol/base/check.h"
#include "protocol/base/rng.h"
#include "tests/unit/ledger/small_round.h"

namespace {

using namespace coshard;
using namespace coshard::ledger;
namespace fs = std::filesystem;

constexpr std::uint64_t kRevenueEvery = 100;
constexpr std::uint64_t kSnapshotEvery = 1'000'000;
constexpr std::uint64_t kPublishEvery = 64 * kTileWidth;

double now_seconds() { return seconds(SystemClock().now().time_since_epoch()); }

/// A folder whose files may be lost with the power: nobody made them durable.
class HastyFolder final : public LogFolder {
 public:
  explicit HastyFolder(const fs::path& root) : root_(root), disk_(root) {}
  Result<void> write(std::string_view path, ByteView bytes) override {
    fs::create_directories((root_ / path).parent_path());
    std::ofstream file(root_ / path, std::ios::binary | std::ios::trunc);
    file << as_text(bytes);
    COSHARD_CHECK(file.good());
    return {};
  }
  Result<Bytes> read(std::string_view path, std::size_t max) const override {
    return disk_.read(path, max);
  }
  Result<void> remove(std::string_view path) override { return disk_.remove(path); }
  Result<std::vector<std::string>> list(std::string_view path) const override {
    return disk_.list(path);
  }
  std::string describe(std::string_view path) const override { return disk_.describe(path); }

 private:
  fs::path root_;
  DiskFolder disk_;
};

/// The log that is asked about.
class LongLog {
 public:
  LongLog(const fs::path& folder, std::uint64_t owners) : folder_(folder) {
    round_.params.unit_cap = 1'000'000'000'000;
    round_.params.currency = "USD";
    auto ledger = round_.begin();
    COSHARD_CHECK(ledger.has_value());
    for (std::uint64_t epoch = 0; epoch < 5; ++epoch)
      COSHARD_CHECK(round_.run_epoch(*ledger, epoch, epoch * 10 + 1, epoch * 10 + 10));
    COSHARD_CHECK(ledger->post(StepId(50), round_.shards()).has_value());
    COSHARD_CHECK(ledger->commit().has_value());
    const auto begun = round_.store->read(0, *round_.store->size());
    for (const Bytes& entry : *begun) take(entry);
    accounts_ = ledger->accounts();
    const crypto::Identity& giver = round_.nodes[0];
    const std::uint64_t each = accounts_.free_units(giver.account()) / (2 * owners);
    for (std::uint64_t i = 0; i < owners; ++i) {
      crypto::PublicKey root = patient_.public_key();  // the first one's secret is known
      for (std::size_t b = 0; i > 0 && b < root.size(); ++b)
        root[b] = static_cast<std::uint8_t>(rng_.below(256));
      owners_.push_back({root, crypto::account_id(root), 0});
      say(giver.root().public_key(), i + 1,
          UnitTransfer{giver.account(), owners_.back().account, each, 0, LogIndex{}, "gift"});
    }
  }

  void grow_to(std::uint64_t size) {
    while (accounts_.size() < size) {
      const std::uint64_t at = accounts_.size();
      if (at % kSnapshotEvery == kSnapshotEvery - 1) {
        say(coordinator(), accounts_.next_sequence(), accounts_.snapshot());
      } else if (at % kRevenueEvery == 0) {
        RevenueReported revenue{1'000'003, "invoice " + std::to_string(at), {}};
        for (std::size_t b = 0; b < 8; ++b)
          revenue.statement[b] = static_cast<std::uint8_t>(at >> (8 * b));
        say(coordinator(), accounts_.next_sequence(), revenue);
      } else {
        Owner& from = owners_[rng_.below(owners_.size())];
        say(from.root, ++from.entries, gift(from));
      }
    }
  }

  /// By one entry that is signed as it should be.
  void grow_honestly() {
    Owner& from = owners_.front();
    const SignedBody body = sign_body(patient_, accounts_.network(), ++from.entries, gift(from));
    append({1, LogIndex(accounts_.size()), accounts_.last_ms(), body.body, body.signatures});
  }

  void publish() {
    write_tiles();
    const Checkpoint checkpoint{round_.params.origin, hashes_.size(), tree_.root()};
    const NoteKey key{round_.params.origin, round_.log_key.public_key()};
    COSHARD_CHECK(folder_.write("log.vkey", as_bytes(key.vkey() + "\n")).has_value());
    note_ = *sign_checkpoint(checkpoint, round_.log_key);
    COSHARD_CHECK(folder_.write("checkpoint", as_bytes(note_)).has_value());
    found_ = {note_, checkpoint};
  }

  const HastyFolder& folder() const { return folder_; }
  const FoundCheckpoint& found() const { return found_; }
  NoteKey key() const { return {round_.params.origin, round_.log_key.public_key()}; }
  std::string account(std::size_t i) const { return owners_[i].account.hex(); }
  std::uint64_t bytes() const { return bytes_; }

 private:
  struct Owner {
    crypto::PublicKey root;
    AccountId account;
    std::uint64_t entries = 0;
  };

  const crypto::PublicKey& coordinator() const { return accounts_.genesis().coordinator; }
  UnitTransfer gift(const Owner& from) {
    const auto own = static_cast<std::uint64_t>(&from - owners_.data());
    const Owner& to = owners_[(own + 1 + rng_.below(owners_.size() - 1)) % owners_.size()];
    return {from.account, to.account, 1, 0, LogIndex{}, "gift"};
  }
  void say(const crypto::PublicKey& author, std::uint64_t sequence, const Leaf& leaf) {
    LedgerEntry entry{1, LogIndex(accounts_.size()), accounts_.last_ms(), {}, {}};
    entry.body = encode_body({NodeId{author}, sequence, leaf});
    entry.signatures.push_back({author, {}});  // nobody checks it: SignatureCheck::kDone
    append(entry);
  }
  void append(const LedgerEntry& entry) {
    const auto applied = accounts_.apply(entry.index, entry, SignatureCheck::kDone);
    if (!applied) std::fprintf(stderr, "%s\n", applied.error().message.c_str());
    COSHARD_CHECK(applied.has_value());
    take(encode(entry));
    if (hashes_.size() % kPublishEvery == 0) write_tiles();
  }
  void take(const Bytes& entry) {
    const Hash leaf = leaf_hash(entry);
    hashes_.append(leaf);
    tree_.append(leaf);
    bytes_ += entry.size();
    unwritten_.push_back(entry);
  }
  void write_tiles() {
    const std::uint64_t size = hashes_.size();
    const std::uint64_t first = size - unwritten_.size();  // full bundles end there
    const auto entries = [&](std::uint64_t from,
                             std::uint64_t count) -> Result<std::vector<Bytes>> {
      const auto begin = unwritten_.begin() + static_cast<std::ptrdiff_t>(from - first);
      return std::vector<Bytes>(begin, begin + static_cast<std::ptrdiff_t>(count));
    };
    COSHARD_CHECK(publish_tiles(folder_, written_, size, hashes_, entries).has_value());
    const std::uint64_t kept[1] = {size};
    COSHARD_CHECK(prune_partials(folder_, partial_tiles_of(written_), kept).has_value());
    written_ = size;
    const auto whole = static_cast<std::ptrdiff_t>(unwritten_.size() - size % kTileWidth);
    unwritten_.erase(unwritten_.begin(), unwritten_.begin() + whole);
  }

  SmallRound round_;
  HastyFolder folder_;
  Rng rng_{1};
  const crypto::KeyPair patient_ = test_key(200);
  std::vector<Owner> owners_;
  Accounts accounts_;
  LevelHashes hashes_;
  CompactTree tree_;
  std::vector<Bytes> unwritten_;
  std::uint64_t written_ = 0, bytes_ = 0;
  std::string note_;
  FoundCheckpoint found_;
};

void build_index(const LongLog& log, const fs::path& place) {
  IndexOptions options;
  cli::LedgerQuery query;
  query.index_folder = place;
  options.file = cli::index_file_of(query, log.key());
  options.signatures = SignatureCheck::kDone;
  options.describe = [](const Body& body, const Accounts& accounts, const AccountId& account,
                        const Balance& before, const Balance& after) {
    return cli::words_for(body.leaf, accounts, account, before, after);
  };
  options.progress = [](std::uint64_t done, std::uint64_t total) {
    std::fprintf(stderr, "indexed %llu of %llu\n", static_cast<unsigned long long>(done),
                 static_cast<unsigned long long>(total));
  };
  auto index = LedgerIndex::open(options, log.key());
  COSHARD_CHECK(index.has_value());
  const auto done = index->bring_up(log.folder(), log.found());
  if (!done) std::fprintf(stderr, "%s\n", done.error().message.c_str());
  COSHARD_CHECK(done.has_value());
}

std::uint64_t bytes_below(const fs::path& path) {
  std::uint64_t sum = 0;
  for (const auto& one : fs::recursive_directory_iterator(path))
    if (one.is_regular_file()) sum += one.file_size();
  return sum;
}

/// One run of the program, in milliseconds. Its output goes nowhere.
double run(const std::vector<std::string>& arguments) {
  std::vector<char*> argv;
  for (const std::string& one : arguments) argv.push_back(const_cast<char*>(one.c_str()));
  argv.push_back(nullptr);
  const double began = now_seconds();
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
  pid_t child = 0;  // spawned: a fork would copy the tables of all that this process has
  COSHARD_CHECK(posix_spawn(&child, argv[0], &actions, nullptr, argv.data(), environ) == 0);
  posix_spawn_file_actions_destroy(&actions);
  int status = 0;
  waitpid(child, &status, 0);
  COSHARD_CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  return (now_seconds() - began) * 1e3;
}

void ask(
    const std::string& what, const std::vector<std::string>& arguments,
    const std::function<void()>& before = [] {}) {
  constexpr int kRuns = 7;
  std::vector<double> took;
  for (int i = 0; i < kRuns; ++i) {
    before();
    took.push_back(run(arguments));
  }
  std::sort(took.begin(), took.end());
  std::printf("{\"question\": \"%s\", \"ms\": {\"median\": %.0f, \"most\": %.0f}}\n", what.c_str(),
              took[kRuns / 2], took.back());
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fprintf(stderr, "usage: ledger_query_bench COSHARD FOLDER [entries] [owners]\n");
    return 2;
  }
  const std::string program = argv[1];
  const fs::path folder = argv[2];
  const std::uint64_t entries = argc > 3 ? std::strtoull(argv[3], nullptr, 10) : 10'000'000;
  const std::uint64_t owners = argc > 4 ? std::strtoull(argv[4], nullptr, 10) : 100'000;
  double began = now_seconds();
  LongLog log(folder / "log", owners);
  log.grow_to(entries);
  log.publish();
  const double made = now_seconds() - began;
  began = now_seconds();
  build_index(log, folder / "index");
  const double indexed = now_seconds() - began;
  rusage used{};
  getrusage(RUSAGE_SELF, &used);
  std::printf(
      "{\"entries\": %llu, \"owners\": %llu, \"bytes_per_entry\": %.0f, \"made_per_s\": %.0f, "
      "\"indexed_per_s\": %.0f, \"index_bytes_per_entry\": %.0f, \"mib\": %ld}\n",
      static_cast<unsigned long long>(entries), static_cast<unsigned long long>(owners),
      static_cast<double>(log.bytes()) / static_cast<double>(entries),
      static_cast<double>(entries) / made, static_cast<double>(entries) / indexed,
      static_cast<double>(bytes_below(folder / "index")) / static_cast<double>(entries),
      used.ru_maxrss / 1024);
  const std::string account = log.account(7);
  const auto with = [&](std::vector<std::string> words) {
    words.insert(words.begin(), program);
    for (const std::string& more : {std::string("--ledger"), (folder / "log").string(),
                                    std::string("--index"), (folder / "index").string()})
      words.push_back(more);
    return words;
  };
  ask("coshard --help", {program, "--help"});
  ask("balance", with({"balance", account}));
  ask("statement --last 20", with({"statement", account, "--last", "20"}));
  ask("statement", with({"statement", account}));
  ask("ownership", with({"ownership", "small", "--json"}));
  const auto at = [&](std::uint64_t size) { return std::to_string(size); };
  ask("balance --at half", with({"balance", account, "--at", at(entries / 2)}));
  ask("balance --at worst", with({"balance", account, "--at", at((entries >> 17 << 17) - 1)}));
  ask("balance after one more entry", with({"balance", account}), [&] {
    log.grow_honestly();
    log.publish();
  });
  return 0;
}
