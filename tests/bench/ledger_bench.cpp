// What the ledger costs one core: the fold with and without signatures over a random ledger, the
// revenue pool over ten million owners, proofs over ten million leaves. Processor time, which other
// programs on the machine change little. Prints one JSON object.
//   ledger_bench [owners and leaves] [entries]
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "ledger/tree_path.h"
#include "protocol/base/check.h"
#include "tests/support/random_ledger.h"

namespace {

using namespace coshard;
using namespace coshard::ledger;

double cpu_seconds() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

template <class Work>
double seconds_of(const Work& work) {
  const double start = cpu_seconds();
  work();
  return cpu_seconds() - start;
}

void print(const char* name, double value) { std::printf("  \"%s\": %.6g,\n", name, value); }

double replay(const std::vector<test::RandomEntry>& entries, SignatureCheck signatures) {
  Accounts accounts;
  return seconds_of([&] {
    for (std::size_t i = 0; i < entries.size(); ++i) {
      const auto entry = decode_entry(entries[i].encoded);
      COSHARD_CHECK(entry.has_value());
      COSHARD_CHECK(accounts.apply(LogIndex(i), *entry, signatures).has_value());
    }
  });
}

/// Where the time of such a replay goes: microseconds per entry of each kind, and how many occur.
/// Signatures inside of leaves (roots', governors') are rules of the fold and verified either way.
void measure_kinds(const std::vector<test::RandomEntry>& entries) {
  std::map<LeafType, std::pair<double, std::uint64_t>> spent;
  Accounts accounts;
  for (std::size_t i = 0; i < entries.size(); ++i) {
    const auto entry = decode_entry(entries[i].encoded);
    auto& [time, times] = spent[type_of(decode_body(entry->body)->leaf)];
    time += seconds_of([&] {
      COSHARD_CHECK(accounts.apply(LogIndex(i), *entry, SignatureCheck::kDone).has_value());
    });
    ++times;
  }
  std::printf("  \"us_per_entry\": {");
  for (const auto& [type, one] : spent) {
    std::printf("%s\"%s\": [%.1f, %llu]", type == spent.begin()->first ? "" : ", ",
                std::string(to_string(type)).c_str(),
                one.first / static_cast<double>(one.second) * 1e6,
                static_cast<unsigned long long>(one.second));
  }
  std::printf("},\n");
}

void measure_fold(std::size_t count) {
  test::RandomLedger random(1);
  for (std::size_t i = 0; i < count; ++i) random.next();
  double bytes = 0;
  for (const test::RandomEntry& one : random.entries()) {
    bytes += static_cast<double>(one.encoded.size());
  }
  const double entries = static_cast<double>(count);
  print("bytes_per_entry", bytes / entries);
  print("replay_entries_per_s", entries / replay(random.entries(), SignatureCheck::kDone));
  print("verify_entries_per_s", entries / replay(random.entries(), SignatureCheck::kVerify));
  measure_kinds(random.entries());
}

LedgerEntry place(const Accounts& accounts, const crypto::PublicKey& author, std::uint64_t sequence,
                  const Leaf& leaf) {
  NodeId id;
  id.bytes = author;
  LedgerEntry entry{1, LogIndex(accounts.size()), accounts.last_ms(), {}, {}};
  entry.body = encode_body({id, sequence, leaf});
  entry.signatures.push_back({author, {}});  // nobody checks it: SignatureCheck::kDone
  return entry;
}

/// The owner who may move most units.
std::pair<crypto::PublicKey, std::uint64_t> richest(const test::RandomLedger& random) {
  std::pair<crypto::PublicKey, std::uint64_t> out{};
  for (const test::RandomEntry& one : random.entries()) {
    const auto body = decode_body(one.body.body);
    const auto account = random.accounts().account_of(body->author.bytes);
    if (!account) continue;
    const std::uint64_t units = random.accounts().free_units(*account);
    if (units > out.second) out = {body->author.bytes, units};
  }
  return out;
}

/// Nine transfers to a hundred thousand accounts, then a revenue, and again, on top of the first
/// random ledger that has the units for it.
void measure_money(std::size_t count) {
  Accounts before;
  crypto::PublicKey owner{};
  for (std::uint64_t seed = 1; owner == crypto::PublicKey{}; ++seed) {
    COSHARD_CHECK(seed < 100);
    test::RandomLedger random(seed);
    while (random.accounts().size() < 1'000) random.next();
    const auto [key, units] = richest(random);
    if (units < count || random.accounts().genesis().currency.empty()) continue;
    owner = key;
    before = random.accounts();
  }
  const AccountId from = *before.account_of(owner);
  std::vector<Bytes> encoded;
  Accounts accounts = before;
  for (std::size_t i = 0; i < count; ++i) {
    AccountId to;
    to.bytes.fill(0x55);
    for (std::size_t b = 0; b < 4; ++b)
      to.bytes[b] = static_cast<std::uint8_t>(i % 100'000 >> (8 * b));
    RevenueReported revenue{1'000'003, "statement", {}};
    revenue.statement = leaf_hash(ByteView(to.bytes));
    for (std::size_t b = 0; b < 8; ++b)
      revenue.statement[b] = static_cast<std::uint8_t>(i >> (8 * b));
    const LedgerEntry entry =
        i % 10 == 9
            ? place(accounts, accounts.genesis().coordinator, accounts.next_sequence(), revenue)
            : place(accounts, owner, accounts.balance(from).entries + 1,
                    UnitTransfer{from, to, 1, 0, LogIndex(0), "gift"});
    const auto applied = accounts.apply(entry.index, entry, SignatureCheck::kDone);
    if (!applied) std::fprintf(stderr, "%s\n", applied.error().message.c_str());
    COSHARD_CHECK(applied.has_value());
    encoded.push_back(encode(entry));
  }
  const double spent = seconds_of([&] {
    for (const Bytes& bytes : encoded) {
      const auto entry = decode_entry(bytes);
      COSHARD_CHECK(before.apply(entry->index, *entry, SignatureCheck::kDone).has_value());
    }
  });
  COSHARD_CHECK(before.state_root() == accounts.state_root());
  print("replay_money_entries_per_s", static_cast<double>(count) / spent);
}

void measure_pool(std::size_t count) {
  RevenuePool pool;
  std::vector<PoolShare> owners(count);
  for (std::size_t i = 0; i < count; ++i) pool.add_units(owners[i], i % 1'000 + 1);
  constexpr std::size_t kRevenues = 5'000'000;
  const double revenue = seconds_of([&] {
    for (std::size_t i = 0; i < kRevenues; ++i) pool.report(1'000'003);
  });
  const double settle = seconds_of([&] {
    for (PoolShare& owner : owners) pool.settle(owner);
  });
  COSHARD_CHECK(pool.conserved());
  print("revenues_per_s", static_cast<double>(kRevenues) / revenue);
  print("settled_owners_per_s", static_cast<double>(count) / settle);
}

void measure_proofs(std::size_t count) {
  LevelHashes hashes;
  Bytes leaf(8);
  const double append = seconds_of([&] {
    for (std::size_t i = 0; i < count; ++i) {
      for (std::size_t b = 0; b < 8; ++b) leaf[b] = static_cast<std::uint8_t>(i >> (8 * b));
      hashes.append(leaf_hash(leaf));
    }
  });
  print("tree_leaves_per_s", static_cast<double>(count) / append);
  const Hash root = root_at(hashes, count);
  std::vector<double> build;
  std::vector<double> check;
  for (std::size_t i = 0; i < 2'000; ++i) {
    const LogIndex index(i * 7'919 * 631 % count);
    std::vector<Hash> path;
    build.push_back(seconds_of([&] { path = inclusion_path(hashes, count, index); }));
    check.push_back(seconds_of([&] {
      const Hash& at = hashes.leaves()[index.value];
      COSHARD_CHECK(verify_inclusion(index, count, at, path, root).has_value());
    }));
  }
  std::sort(build.begin(), build.end());
  std::sort(check.begin(), check.end());
  print("proof_build_ms_p99", build[build.size() * 99 / 100] * 1e3);
  print("proof_check_us_p99", check[check.size() * 99 / 100] * 1e6);
}

}  // namespace

int main(int argc, char** argv) {
  const std::size_t many = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 10'000'000;
  const std::size_t entries = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 20'000;
  std::printf("{\n");
  measure_pool(many);
  measure_proofs(many);
  measure_fold(entries);
  measure_money(200'000);
  std::printf("  \"owners_and_leaves\": %zu\n}\n", many);
  return 0;
}
