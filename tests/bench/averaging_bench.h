// What the parts of averaging_bench share: the board that its processes meet at, and what each of
// them measures. The parent makes everything before it forks; a child is one replica.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <pthread.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "crypto/identity.h"
#include "protocol/base/limits.h"

namespace coshard::bench {

inline constexpr std::size_t kReplicasMax = 8;

/// What one replica measured: medians over the timed steps, sums over its threads.
struct Measured {
  double milliseconds = 0;      ///< from the common start until this replica holds the average
  double cpu_milliseconds = 0;  ///< of all its threads, per step
};

/// Shared memory of all processes of one run.
class Board {
 public:
  /// Made by the parent; never freed.
  static Board& create(std::uint32_t processes);

  /// Waits until all processes are here.
  void meet() { pthread_barrier_wait(&barrier_); }
  /// Where `replica` listens for `peer`.
  std::array<char, 64>& endpoint(std::size_t replica, std::size_t peer) {
    return endpoints_[replica][peer];
  }
  Measured& result(std::size_t replica) { return results_[replica]; }

 private:
  pthread_barrier_t barrier_;
  std::array<std::array<std::array<char, 64>, kReplicasMax>, kReplicasMax> endpoints_;
  std::array<Measured, kReplicasMax> results_;
};

/// One replica of one run.
struct Job {
  std::uint32_t rank = 0, world = 2;
  std::uint64_t elements = 0;  ///< fp32 values to average
  std::uint32_t warmup = 3, steps = 12;
  Board* board = nullptr;
  const std::vector<crypto::Identity>* identities = nullptr;

  /// Rank 0 is somebody's id as well, so that nobody has to be told apart.
  const crypto::Identity& self() const { return (*identities)[rank]; }
  std::uint32_t chunks() const {
    return static_cast<std::uint32_t>((elements + limits::kChunkElements - 1) /
                                      limits::kChunkElements);
  }
  /// fp32 values of chunk `chunk`.
  std::uint64_t chunk_elements(std::uint32_t chunk) const {
    return std::min(limits::kChunkElements, elements - chunk * limits::kChunkElements);
  }
};

/// Measures steps of one replica: begin(), work, end() when this replica holds the average.
class StepClock {
 public:
  explicit StepClock(const Job& job) : job_(job) {}
  /// Meets the others, then starts the clock.
  void begin();
  void end();
  /// After the others have ended as well: what it cost all threads of this process.
  void settle();
  Measured measured() const;

 private:
  const Job& job_;
  double started_ = 0, cpu_started_ = 0, took_ = 0;
  std::vector<double> milliseconds_, cpu_milliseconds_;
};

double now_seconds();
/// Of all threads of this process.
double process_cpu_seconds();
double median(std::vector<double> values);

/// Replica `job.rank` of a one-stage model: coshard's own averaging over ZeroMQ with CURVE. Aborts
/// when an average is not exactly what it has to be.
Measured run_replica(const Job& job);
/// The same bytes in the same pattern through bare libzmq.
Measured run_raw(const Job& job, bool curve);

}  // namespace coshard::bench
