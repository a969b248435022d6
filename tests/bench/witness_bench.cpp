// What witnesses and proofs cost: add-checkpoint in memory and with a durable memory on this disk,
// a reader's check of a checkpoint with three cosignatures, and proofs in a log of many leaves.
// Prints one JSON object.
//   witness_bench [leaves] [folder]
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "ledger/policy.h"
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

/// Requests per second of one log that grows by an entry each time.
double add_checkpoint_rate(LogFolder& folder, std::uint64_t count) {
  const ToyLog log(count);
  const crypto::KeyPair key = test_key(1);
  WitnessBook book(folder, {"witness.example", &key, {{log.origin, {log.note_key()}}}});
  std::vector<std::string> bodies;
  for (std::uint64_t size = 1; size <= count; ++size)
    bodies.push_back(log.request(size - 1, size).format());
  const double began = now_seconds();
  for (const std::string& body : bodies) COSHARD_CHECK(book.add_checkpoint(body, 1).status == 200);
  return static_cast<double>(count) / (now_seconds() - began);
}

}  // namespace

int main(int argc, char** argv) {
  const std::uint64_t leaves = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 1'000'000;
  const std::filesystem::path place = argc > 2 ? argv[2] : "witness_bench.tmp";
  MemoryFolder memory;
  const double in_memory = add_checkpoint_rate(memory, 3000);
  DiskFolder disk(place);
  const double durable = add_checkpoint_rate(disk, 500);
  std::filesystem::remove_all(place);

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
      "{\"add_checkpoint_per_s\": {\"memory\": %.0f, \"durable\": %.0f}, \"leaves\": %llu, "
      "\"path_hashes\": %zu, \"inclusion_build_us\": [%.1f, %.1f], \"inclusion_check_us\": [%.1f, "
      "%.1f], \"consistency_build_us\": [%.1f, %.1f], \"open_cosigned_us\": [%.1f, %.1f]}\n",
      in_memory, durable, static_cast<unsigned long long>(leaves), path.size(), build.p50,
      build.p99, check.p50, check.p99, consistency.p50, consistency.p99, open.p50, open.p99);
  return 0;
}
