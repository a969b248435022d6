// How fast a coordinator's ledger takes in what others sign: gifts of many owners go to cs-ledger,
// which verifies, judges, makes durable, answers and publishes, on the disk at hand. Some are under
// way at any time, as many as `windows` says; the clock of each runs from its submission to its
// answer, and from there until the published checkpoint has it. With witnesses (each with an HTTP
// server and a memory on this disk) a checkpoint is published when all but one have cosigned it.
// Prints a JSON object per window.
//   ledger_store_bench [sqlite | postgresql | URL] [entries] [windows, "64,256"] [witnesses]
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <semaphore>
#include <sstream>
#include <thread>

#include "ledger/policy.h"
#include "ledger/store/sqlite_store.h"
#include "ledger/verify.h"
#include "node/coordinator/ledger_thread.h"
#include "node/coordinator/witness_pool.h"
#include "node/witness/server.h"
#include "protocol/base/check.h"
#include "tests/support/postgres_server.h"
#include "tests/support/round_fixture.h"

namespace {

using namespace coshard;
using node::LedgerSubmit;

double now_seconds() { return seconds(SystemClock().now().time_since_epoch()); }

template <class T>
T must(Result<T> result) {
  if (result) return std::move(*result);
  std::fprintf(stderr, "%s\n", result.error().message.c_str());
  std::exit(1);
}

double percentile(std::vector<double>& values, double part) {
  std::sort(values.begin(), values.end());
  return values[static_cast<std::size_t>(part * static_cast<double>(values.size() - 1))];
}

/// A witness with its server.
struct Witness {
  Witness(std::size_t number, const test::Path& folder, const ledger::NoteKey& log)
      : name("example.org/w" + std::to_string(number)),
        memory(must(ledger::open_sqlite_store(folder / (std::to_string(number) + ".sqlite")))),
        evidence(folder / std::to_string(number)),
        book(*memory, evidence, {name, &key, {{log.name, {log}}}}),
        server(must(node::WitnessServer::start(book, clock, "127.0.0.1:0"))) {}
  std::string policy_line(const std::string& word) const {
    const ledger::NoteKey own{name, key.public_key(), ledger::NoteKeyType::kCosignatureV1};
    return "witness " + word + " " + own.vkey() + " http://" + server->address() + "\n";
  }

  SystemClock clock;
  std::string name;
  const crypto::KeyPair key = crypto::KeyPair::generate();
  std::unique_ptr<ledger::Store> memory;
  ledger::DiskFolder evidence;
  ledger::WitnessBook book;
  std::unique_ptr<node::WitnessServer> server;
};

/// A round with one epoch behind it, so that its nodes own units, and `count` owners to whom the
/// first of them gave some.
class Ledger {
 public:
  Ledger(const std::string& place, std::size_t owners, std::size_t witnesses) {
    const auto publication =
        witnesses > 0 ? ledger::Publication::kWhenCosigned : ledger::Publication::kAtOnce;
    const std::string text = test::read_text(folder_.path() / "round.toml");
    home_ = must(node::LedgerHome::open(folder_.coordinator_dir(), folder_.round(), text,
                                        coordinator_, std::nullopt, clock_, publication, place));
    thread_ = std::make_unique<node::LedgerThread>(*home_, clock_);
    run_a_round();
    std::uint64_t now_ms = 0;  // in a time of its own: nobody may append so much at once
    for (std::size_t i = 0; i < owners; ++i) {
      owners_.push_back({crypto::KeyPair::generate(), 0});
      const Bytes gift = this->gift(nodes_[0].root(), i + 1, account_id(i), 1'000);
      now_ms += ledger::RequestLimiter::kRefillMs;
      must(log().submit(must(log().read(gift)), now_ms));
    }
    must_do(log().publish());
    if (witnesses > 0) ask(witnesses);
  }

  ledger::RoundLedger& log() { return home_->ledger(); }
  node::LedgerThread& thread() { return *thread_; }
  std::size_t owners() const { return owners_.size(); }
  /// The next gift of owner `i`, of one unit, to the next owner.
  Bytes next_gift(std::size_t i) {
    Owner& owner = owners_[i];
    return gift(owner.root, ++owner.entries, account_id((i + 1) % owners_.size()), 1);
  }
  test::Path published() const { return folder_.coordinator_dir() / "ledger" / "mite"; }
  test::Path database() const { return folder_.coordinator_dir() / "ledger.sqlite"; }

 private:
  struct Owner {
    crypto::KeyPair root;
    std::uint64_t entries = 0;
  };
  void ask(std::size_t witnesses) {
    std::string lines, names;
    for (std::size_t i = 0; i < witnesses; ++i) {
      witnesses_.push_back(std::make_unique<Witness>(i, folder_.path(), home_->note_key()));
      const std::string word = "w" + std::to_string(i);
      lines += witnesses_.back()->policy_line(word);
      names += " " + word;
    }
    const std::string quorum = std::to_string(std::max<std::size_t>(witnesses - 1, 1));
    const ledger::Policy policy =
        must(ledger::Policy::parse(lines + "group most " + quorum + names + "\nquorum most\n"));
    auto pool = std::make_unique<node::WitnessPool>(
        policy, [this] { (void)thread_->submit(node::LedgerTick{}); });
    thread_->set_witnesses(must(ledger::WitnessDesk::open(policy, home_->note_key())),
                           std::move(pool));
  }
  static void must_do(const Result<ledger::Checkpoint>& done) { COSHARD_CHECK(done.has_value()); }
  AccountId account_id(std::size_t i) const {
    return crypto::account_id(owners_[i].root.public_key());
  }
  Bytes gift(const crypto::KeyPair& from, std::uint64_t number, const AccountId& to,
             std::uint64_t units) {
    const AccountId giver = crypto::account_id(from.public_key());
    const ledger::UnitTransfer leaf{giver, to, units, 0, LogIndex{}, ""};
    return ledger::encode_request(home_->network(),
                                  ledger::sign_body(from, home_->network(), number, leaf));
  }
  void work(node::LedgerTask task) {
    COSHARD_CHECK(thread_->submit(std::move(task)));
    while (thread_->run_one()) {
    }
  }
  void run_a_round() {
    round::StepRecord record;
    record.scalars.step = StepId(1);
    record.ends_ledger_epoch = true;
    std::vector<ledger::EpochMember> members;
    for (std::uint32_t stage = 0; stage < 2; ++stage) {
      work(node::LedgerRegister{nodes_[stage].certificate()});
      members.push_back({StageIndex(stage), nodes_[stage].node(), Incarnation(1)});
      for (std::uint32_t m = 0; m < folder_.round().training.microbatches; ++m)
        record.units.push_back(
            {StageIndex(stage), MicrobatchIndex(m), Attempt(0), nodes_[stage].node()});
    }
    for (const crypto::Identity& node : nodes_) work(node::LedgerGone{node.node()});
    round::EpochFinished finished{LedgerEpoch(0), StepId(1), StepId(1), {}};
    finished.steps.push_back({record, {Fingerprint{1}, Fingerprint{2}}});
    work(node::LedgerEpochClose{finished, members});
    work(node::LedgerCheckpoint{{StepId(1), {{Hash{1}, 1}, {Hash{2}, 1}}}});
  }

  test::RoundFolder folder_{test::TinyRound{}};
  SystemClock clock_;
  const crypto::Identity coordinator_ = crypto::Identity::generate();
  const std::array<crypto::Identity, 2> nodes_{crypto::Identity::generate(),
                                               crypto::Identity::generate()};
  std::vector<std::unique_ptr<Witness>> witnesses_;
  std::unique_ptr<node::LedgerHome> home_;
  std::unique_ptr<node::LedgerThread> thread_;
  std::vector<Owner> owners_;
};

/// When the published checkpoint has grown to which size: read as readers read it.
class Watcher {
 public:
  explicit Watcher(test::Path folder) : thread_([this, folder] { watch(folder); }) {}
  /// Ends when `size` entries are published.
  void wait_for(std::uint64_t size) {
    until_ = size;
    thread_.join();
  }
  double when(std::uint64_t size) const {
    return std::lower_bound(seen_.begin(), seen_.end(), std::pair(size, 0.0))->second;
  }
  std::size_t publications() const { return seen_.size(); }

 private:
  void watch(const test::Path& folder) {
    const ledger::DiskFolder files(folder);
    std::uint64_t size = 0;
    while (size < until_) {
      const auto note = files.read("checkpoint", 1u << 16);
      std::uint64_t now = 0;
      if (note) std::sscanf(as_text(*note).data(), "%*s %lu", &now);
      if (now > size) seen_.emplace_back(now, now_seconds());
      size = std::max(size, now);
      const timespec pause{0, 2'000'000};
      nanosleep(&pause, nullptr);
    }
  }
  std::atomic<std::uint64_t> until_ = UINT64_MAX;
  std::vector<std::pair<std::uint64_t, double>> seen_;
  std::thread thread_;
};

std::uint64_t bytes_below(const test::Path& path) {
  if (!std::filesystem::exists(path)) return 0;
  if (!std::filesystem::is_directory(path)) return std::filesystem::file_size(path);
  std::uint64_t sum = 0;
  for (const auto& one : std::filesystem::recursive_directory_iterator(path))
    if (one.is_regular_file()) sum += one.file_size();
  return sum;
}

void measure(const std::string& store, const std::string& place, std::uint64_t entries,
             std::uint64_t window, std::size_t witnesses) {
  Ledger bench(place, entries / (ledger::RequestLimiter::kBurst / 2) + 1, witnesses);
  const std::uint64_t before = bench.log().accounts().size();
  std::vector<Bytes> requests;
  for (std::uint64_t i = 0; i < entries; ++i)
    requests.push_back(bench.next_gift(i % bench.owners()));

  std::vector<double> submitted(entries), answered(entries);
  std::vector<std::uint64_t> index(entries);
  std::counting_semaphore<> under_way(static_cast<std::ptrdiff_t>(window));
  std::atomic<std::uint64_t> refused{0};
  Watcher watcher(bench.published());
  bench.thread().start();
  const double began = now_seconds();
  for (std::uint64_t i = 0; i < entries; ++i) {
    under_way.acquire();
    submitted[i] = now_seconds();
    const auto done = [&, i](const Result<LedgerSubmit::Answer>& answer) {
      answered[i] = now_seconds();
      if (answer) index[i] = answer->indices.front().value;
      if (!answer && ++refused == 1) std::fprintf(stderr, "%s\n", answer.error().message.c_str());
      under_way.release();
    };
    COSHARD_CHECK(bench.thread().submit(LedgerSubmit{std::move(requests[i]), done}));
  }
  for (std::uint64_t i = 0; i < window; ++i) under_way.acquire();
  const double took = now_seconds() - began;
  COSHARD_CHECK_OP(refused.load(), ==, 0U);
  watcher.wait_for(before + entries);
  bench.thread().close();

  std::vector<double> answer_ms, publish_ms;
  for (std::uint64_t i = 0; i < entries; ++i) {
    answer_ms.push_back((answered[i] - submitted[i]) * 1e3);
    publish_ms.push_back(std::max(0.0, watcher.when(index[i] + 1) - answered[i]) * 1e3);
  }
  const double all = static_cast<double>(before + entries);
  std::printf(
      "{\"store\": \"%s\", \"witnesses\": %zu, \"entries\": %llu, \"under_way\": %llu, "
      "\"appends_per_s\": %.0f, "
      "\"answer_ms\": {\"p50\": %.1f, \"p99\": %.1f}, \"published_after_ms\": {\"p50\": %.0f, "
      "\"p99\": %.0f}, \"publications\": %zu, \"store_bytes_per_entry\": %.0f, "
      "\"public_bytes_per_entry\": %.0f}\n",
      store.c_str(), witnesses, static_cast<unsigned long long>(entries),
      static_cast<unsigned long long>(window), static_cast<double>(entries) / took,
      percentile(answer_ms, 0.5), percentile(answer_ms, 0.99), percentile(publish_ms, 0.5),
      percentile(publish_ms, 0.99), watcher.publications(),
      static_cast<double>(bytes_below(bench.database())) / all,
      static_cast<double>(bytes_below(bench.published())) / all);
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
  const std::string store = argc > 1 ? argv[1] : "sqlite";
  const std::uint64_t entries = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 100'000;
  std::istringstream windows(argc > 3 ? argv[3] : "64,256,512");
  const auto server = store == "postgresql" ? test::PostgresServer::start() : nullptr;
  if (store == "postgresql" && server == nullptr) {
    std::fprintf(stderr, "%s\n", test::PostgresServer::why_not());
    return 1;
  }
  for (std::string window; std::getline(windows, window, ',');) {
    const std::string place = server ? server->new_database() : store == "sqlite" ? "" : store;
    measure(store, place, entries, std::strtoull(window.c_str(), nullptr, 10),
            argc > 4 ? std::strtoull(argv[4], nullptr, 10) : 0);
  }
  return 0;
}
