// The loop of cs-engine.
// SPDX-License-Identifier: Apache-2.0
#include "node/daemon/engine_thread.h"

#include <pthread.h>

#include "protocol/base/check.h"
#include "protocol/base/limits.h"

namespace coshard::node {

void EngineThread::start() {
  thread_ = std::thread([this] { run(); });
}

bool EngineThread::submit(Job job) {
  // One reply per job, so a bound on the jobs outstanding is a bound on both queues.
  if (outstanding_ >= limits::kEngineQueueMax || !jobs_.try_push(std::move(job))) return false;
  ++outstanding_;
  return true;
}

std::size_t EngineThread::collect() {
  std::size_t collected = 0;
  while (auto reply = replies_.try_pop()) {
    COSHARD_CHECK_OP(outstanding_, >, 0U);
    --outstanding_;
    ++collected;
    if (*reply) (*reply)();
  }
  return collected;
}

void EngineThread::close() {
  jobs_.close();
  if (thread_.joinable()) thread_.join();
}

void EngineThread::run() {
  pthread_setname_np(pthread_self(), "cs-engine");
  while (auto job = jobs_.pop()) work_off(std::move(*job));
  home_ = {};
}

bool EngineThread::run_one() {
  auto job = jobs_.try_pop();
  if (job) work_off(std::move(*job));
  return job.has_value();
}

void EngineThread::work_off(Job job) {
  const SystemClock clock;
  const TimePoint began = clock.now();
  Reply reply = job(home_);
  job = nullptr;  // inputs go before the reply wakes cs-net
  busy_ns_.fetch_add((clock.now() - began).count(), std::memory_order_relaxed);
  const bool posted = replies_.try_push(std::move(reply));
  COSHARD_CHECK(posted);
  wake_();
}

}  // namespace coshard::node
