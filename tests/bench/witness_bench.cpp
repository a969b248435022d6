// What witnesses and proofs cost: add-checkpoint in memory and with a durable memory on this disk,
// a reader's check of a checkpoint with three cosignatures, and proofs in a log of many leaves.
// Prints one JSON object.
//   witness_bench [leaves] [folder]
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <vector>

#include "ledger/policy.h"
#include "ledger/store/sqlite_store.h"
#include "protocol/base/check.h"
#include "protocol/base/clock.h"
#include "tests/unit/ledger/toy_log.h"

namespace {

using namespace coshard;
using namespace coshard::ledger;

double now_seconds() { return seconds(SystemClock().now().time_since_epoch()); }

/// Median and 99th percentile of `count` calls, in microseconds.
struct Spread {
  double p50 = 0, p99 = 0;
};
template <class Call>
Spread measure(std::size_t count, Call call) {
  std::vector<double> took;
  for (std::size_t i = 0; i < count; ++i) {
    const double began = now_seconds();
    call(i);
    took.push_back((now_seconds() - began) * 1e6);
  }
  std::sort(took.begin(), took.end());
  return {took[count / 2], took[count * 99 / 100]};
}

/// Requests per second of logs that grow by an entry each time, as many clients at once.
double add_checkpoint_rate(Store& memory, std::size_t clients, std::uint64_t count) {
  std::vector<ToyLog> logs;
  const crypto::KeyPair key = test_key(1);
  WitnessSetup setup{"witness.example", &key, {}};
  std::vector<std::vector<std::string>> bodies(clients);
  for (std::size_t i = 0; i < clients; ++i) {
    logs.emplace_back(count / clients, "example.org/coshard/m/toy-" + std::to_string(i),
                      static_cast<std::uint8_t>(100 + i));
    setup.logs[logs[i].origin] = {logs[i].note_key()};
    for (std::uint64_t size = 1; size <= count / clients; ++size)
      bodies[i].push_back(logs[i].request(size - 1, size).format());
  }
  MemoryFolder evidence;
  WitnessBook book(memory, evidence, setup);
  const double began = now_seconds();
  {
    std::vector<std::jthread> threads;
    for (std::size_t i = 0; i < clients; ++i)
      threads.emplace_back([&book, &own = bodies[i]] {
        for (const std::string& body : own)
          COSHARD_CHECK(book.add_checkpoint(body, 1).status == 200);
      });
  }
  return static_cast<double>(count) / (now_seconds() - began);
}

double durable_rate(const std::filesystem::path& place, std::size_t clients, std::uint64_t count) {
  std::filesystem::create_directories(place);
  double rate = 0;
  {
    const auto memory = open_sqlite_store(place / "memory.sqlite");
    COSHARD_CHECK(memory.has_value());
    rate = add_checkpoint_rate(**memory, clients, count);
  }
  std::filesystem::remove_all(place);
  return rate;
}

}  // namespace

int main(int argc, char** argv) {
  const std::uint64_t leaves = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 1'000'000;
  const std::filesystem::path place = argc > 2 ? argv[2] : "witness_bench.tmp";
  MemoryStore memory;
  const double in_memory = add_checkpoint_rate(memory, 1, 3000);
  const double durable = durable_rate(place, 1, 1000);
  const double together = durable_rate(place, 32, 9600);

  LevelHashes hashes;
  for (std::uint64_t i = 0; i < leaves; ++i) {
    Hash leaf{};
    for (std::size_t byte = 0; byte < 8; ++byte)
      leaf[byte] = static_cast<std::uint8_t>(i >> 8 * byte);
    hashes.append(leaf);
  }
  const Hash root = root_at(hashes, leaves);
  std::vector<Hash> path;
  const auto index = [leaves](std::size_t i) { return LogIndex(i * 7919 * 104'729 % leaves); };
  const Spread build =
      measure(1000, [&](std::size_t i) { path = inclusion_path(hashes, leaves, index(i)); });
  const Hash leaf = hashes.leaves()[index(999).value];
  const Spread check = measure(1000, [&](std::size_t) {
    COSHARD_CHECK(verify_inclusion(index(999), leaves, leaf, path, root));
  });
  const Spread consistency = measure(
      1000, [&](std::size_t i) { (void)consistency_path(hashes, leaves, 1 + index(i).value); });

  const ToyLog log(9);
  const ToyWitness a(1, log), b(2, log), c(3, log);
  const Policy policy = *Policy::parse(policy_text(log, {&a, &b, &c}, 2));
  std::string note = log.note();
  for (const ToyWitness* one : {&a, &b, &c}) note += one->line(log.checkpoint(9).text());
  const Spread open =
      measure(1000, [&](std::size_t) { COSHARD_CHECK(open_cosigned(note, policy)); });
  std::printf(
      "{\"add_checkpoint_per_s\": {\"memory\": %.0f, \"durable\": %.0f, "
      "\"durable_32_clients\": %.0f}, \"leaves\": %llu, "
      "\"path_hashes\": %zu, \"inclusion_build_us\": [%.1f, %.1f], \"inclusion_check_us\": [%.1f, "
      "%.1f], \"consistency_build_us\": [%.1f, %.1f], \"open_cosigned_us\": [%.1f, %.1f]}\n",
      in_memory, durable, together, static_cast<unsigned long long>(leaves), path.size(), build.p50,
      build.p99, check.p50, check.p99, consistency.p50, consistency.p99, open.p50, open.p99);
  return 0;
}
