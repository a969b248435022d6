// cs-engine: the thread that owns what computes. A job is a function that runs here and returns
// what is to be done with its result on cs-net; both directions are bounded queues, so nothing is
// shared and nothing waits inside a call. Jobs run in the order in which they were submitted.
// submit(), collect() and close(): cs-net (after start() on main).
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <thread>

#include "protocol/base/bounded_queue.h"
#include "protocol/base/clock.h"
#include "protocol/base/limits.h"
#include "shard/boundary/codec.h"
#include "shard/data/token_source.h"
#include "shard/engine/stage_engine.h"

namespace coshard::node {

/// What lives on cs-engine and nowhere else. Empty until a job has filled it.
struct EngineHome {
  std::unique_ptr<shard::StageEngine> engine;
  std::optional<shard::TokenSource> tokens;
  const shard::BoundaryCodec* codec = nullptr;  ///< static life
  std::int64_t hidden = 0;                      ///< width of boundary tensors
};

class EngineThread {
 public:
  /// What becomes of a job's result; runs on cs-net, inside collect().
  using Reply = std::function<void()>;
  using Job = std::function<Reply(EngineHome&)>;

  /// `wake` is called on cs-engine after every reply: it makes cs-net call collect() soon.
  explicit EngineThread(std::function<void()> wake) : wake_(std::move(wake)) {}
  ~EngineThread() { close(); }
  EngineThread(const EngineThread&) = delete;
  EngineThread& operator=(const EngineThread&) = delete;

  void start();
  /// In place of start(), where one thread does everything (a swarm under virtual time): the oldest
  /// job that waits runs here and now. False: none waits.
  bool run_one();
  /// False when limits::kEngineQueueMax jobs are waiting or the thread is closed.
  [[nodiscard]] bool submit(Job job);
  /// Runs the replies that have arrived; how many.
  std::size_t collect();
  /// Lets the jobs inside finish, then joins. Idempotent. Replies not collected are dropped.
  void close();

  /// Jobs submitted whose reply has not run yet.
  std::size_t outstanding() const { return outstanding_; }
  /// Time that cs-engine has spent in jobs since start.
  Duration busy() const { return Duration(busy_ns_.load(std::memory_order_relaxed)); }

 private:
  void run();
  void work_off(Job job);

  const std::function<void()> wake_;
  BoundedQueue<Job> jobs_{limits::kEngineQueueMax};
  BoundedQueue<Reply> replies_{2 * limits::kEngineQueueMax};
  std::size_t outstanding_ = 0;
  std::atomic<std::int64_t> busy_ns_{0};
  EngineHome home_;  ///< filled and emptied where the jobs run
  std::thread thread_;
};

}  // namespace coshard::node
