// Averaging alone, one process per replica: `ours` is the way of coshard-node, `curve` and `plain`
// move the same bytes through bare libzmq, `parts` prices one pass over the bytes. Prints one JSON
// line. averaging_bench.py puts them side by side, with gloo.
//   averaging_bench ours|curve|plain|parts REPLICAS MIB [STEPS]
// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/averaging_bench.h"

#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <new>
#include <string_view>

#include "crypto/hash.h"
#include "node/memory.h"
#include "protocol/base/check.h"
#include "protocol/base/tensor_blob.h"
#include "protocol/wire/envelope.h"
#include "shard/numeric/reduce.h"
#include "shard/numeric/squared_norm.h"

namespace coshard::bench {

double now_seconds() {
  timespec time{};
  clock_gettime(CLOCK_MONOTONIC, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

double process_cpu_seconds() {
  timespec time{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

Board& Board::create(std::uint32_t processes) {
  void* memory =
      ::mmap(nullptr, sizeof(Board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  COSHARD_CHECK(memory != MAP_FAILED);
  auto* board = new (memory) Board();
  pthread_barrierattr_t shared;
  pthread_barrierattr_init(&shared);
  pthread_barrierattr_setpshared(&shared, PTHREAD_PROCESS_SHARED);
  COSHARD_CHECK(pthread_barrier_init(&board->barrier_, &shared, processes) == 0);
  return *board;
}

void StepClock::begin() {
  job_.board->meet();
  cpu_started_ = process_cpu_seconds();
  started_ = now_seconds();
}

void StepClock::end() { took_ = now_seconds() - started_; }

void StepClock::settle() {
  job_.board->meet();
  milliseconds_.push_back(took_ * 1e3);
  cpu_milliseconds_.push_back((process_cpu_seconds() - cpu_started_) * 1e3);
}

Measured StepClock::measured() const {
  const auto timed = [&](const std::vector<double>& all) {
    return median({all.begin() + job_.warmup, all.end()});
  };
  return {timed(milliseconds_), timed(cpu_milliseconds_)};
}

namespace {

/// Processor milliseconds of one call, over enough calls to measure.
template <class Call>
double each(int calls, Call call) {
  call();
  const double start = process_cpu_seconds();
  for (int i = 0; i < calls; ++i) call();
  return (process_cpu_seconds() - start) * 1e3 / calls;
}

double signing_cost(const Job& job, int calls) {
  const crypto::Identity& self = job.self();
  wire::Sealer sealer(self.operating(), NetworkId{{2}}, Incarnation(1));
  wire::SenderState state;
  state.incarnation = Incarnation(1);
  wire::OpenPolicy policy;
  policy.network = NetworkId{{2}};
  policy.receiver = NodeId{{9}};
  policy.sender = [&](const NodeId&) { return &state; };
  wire::RefusalCounters counters;
  return each(calls, [&] {
    const auto frame = sealer.seal(NodeId{{9}}, Heartbeat{});
    COSHARD_CHECK(wire::open(*frame, policy, counters).has_value());
  });
}

/// What each pass over all bytes of all replicas costs per step, from its price for one chunk.
void print_parts(const Job& job) {
  const std::size_t size = limits::kChunkElements * sizeof(float);
  const Bytes source(size, 1);
  // As in a step: as much memory is touched between two visits of a chunk, and copies live on.
  const std::size_t spread = std::min<std::size_t>(64, 2 * job.chunks());
  const Bytes cold(spread * size, 1);
  std::vector<SharedBytes> kept(spread);
  std::size_t next = 0;
  std::vector<float> one(limits::kChunkElements, 1.0F), sum(limits::kChunkElements);
  const std::vector<std::span<const float>> addends(job.world, one);
  const double hash = each(60, [&] { COSHARD_CHECK(crypto::sha256(source) != Hash{}); });
  const double copy = each(200, [&] {
    kept[next % spread] = share(to_bytes(ByteView(cold).subspan(next % spread * size, size)));
    ++next;
  });
  const double add = each(200, [&] { shard::sum_in_order(sum, addends, 0.5F); });
  const double norm = each(200, [&] { COSHARD_CHECK(shard::squared_norm(sum) > 0); });

  const double chunks = static_cast<double>(job.elements) / limits::kChunkElements;
  const double others = job.world - 1;
  const double transfers = 2 * chunks * others;  // contributions, then averages
  // Each transfer is checked by its receiver. Contributions are hashed one by one, averages once.
  const double hashes = transfers + chunks * others + chunks;
  // Out of the socket; out of the sum and, for an own part, into the reduction; the average out of
  // the engine and into the others'.
  const double copies = transfers + chunks * others + chunks + chunks + chunks * others;
  std::printf(
      "{\"hashing\": %.3f, \"signing\": %.3f, \"copying\": %.3f, \"adding\": %.3f, "
      "\"mib_per_s\": {\"hash\": %.0f, \"copy\": %.0f}}\n",
      hashes * hash, transfers * signing_cost(job, 200), copies * copy,
      chunks * add + chunks * (others + 1) * norm, static_cast<double>(size) / 1048.576 / hash,
      static_cast<double>(size) / 1048.576 / copy);
}

/// In a child: a session of its own, or the scheduler would share a busy core unequally.
[[noreturn]] void be_replica(const Job& job, std::string_view mode) {
  ::setsid();
  node::keep_freed_memory();  // libzmq on its own gains more from it than we do
  job.board->result(job.rank) = mode == "ours" ? run_replica(job) : run_raw(job, mode == "curve");
  std::exit(0);
}

bool run_all(Job job, std::string_view mode) {
  std::vector<pid_t> children;
  for (job.rank = 0; job.rank < job.world; ++job.rank) {
    const pid_t child = ::fork();
    COSHARD_CHECK(child >= 0);
    if (child == 0) be_replica(job, mode);
    children.push_back(child);
  }
  bool all = true;
  for (std::size_t i = 0; i < children.size(); ++i) {
    int status = 0;
    const pid_t ended = ::wait(&status);
    if (ended > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0) continue;
    all = false;  // the others would wait for it at the barrier
    for (const pid_t child : children)
      if (child != ended) ::kill(child, SIGKILL);
  }
  return all;
}

}  // namespace
}  // namespace coshard::bench

int main(int count, char** arguments) {
  using namespace coshard::bench;
  const std::string_view mode = count > 1 ? arguments[1] : "";
  const int world = count > 2 ? std::atoi(arguments[2]) : 2;
  const int mebibytes = count > 3 ? std::atoi(arguments[3]) : 16;
  const bool known = mode == "ours" || mode == "curve" || mode == "plain" || mode == "parts";
  if (!known || world < 2 || world > static_cast<int>(kReplicasMax) || mebibytes < 1) {
    std::fprintf(stderr, "averaging_bench ours|curve|plain|parts REPLICAS(2..8) MIB [STEPS]\n");
    return 2;
  }
  std::vector<coshard::crypto::Identity> identities;
  for (int rank = 0; rank < world; ++rank)
    identities.push_back(coshard::crypto::Identity::generate());
  Job job;
  job.world = static_cast<std::uint32_t>(world);
  job.elements = static_cast<std::uint64_t>(mebibytes) << 18;
  if (count > 4) job.steps = static_cast<std::uint32_t>(std::max(1, std::atoi(arguments[4])));
  job.identities = &identities;
  if (mode == "parts") {
    coshard::node::keep_freed_memory();
    print_parts(job);
    return 0;
  }
  job.board = &Board::create(job.world);
  if (!run_all(job, mode)) return 1;
  double slowest = 0, cpu = 0;
  for (std::uint32_t rank = 0; rank < job.world; ++rank) {
    slowest = std::max(slowest, job.board->result(rank).milliseconds);
    cpu += job.board->result(rank).cpu_milliseconds;
  }
  std::printf("{\"milliseconds\": %.2f, \"cpu_milliseconds\": %.2f}\n", slowest, cpu);
  return 0;
}
