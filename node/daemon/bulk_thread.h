// A thread for disks, so that neither sockets nor training wait for one: cs-bulk reads and hashes
// what somebody asked for, cs-save writes checkpoints. Owns nothing: a job is a function, and so is
// what it leaves for cs-net. start(), submit() and close(): cs-net, or main where that is not
// running.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <thread>

#include "protocol/base/bounded_queue.h"

namespace coshard::node {

class BulkThread {
 public:
  using Reply = std::function<void()>;
  using Job = std::function<Reply()>;

  /// `post` takes a reply to cs-net; it may drop it when that thread has stopped.
  BulkThread(const char* name, std::size_t jobs_max, std::function<void(Reply)> post)
      : name_(name), post_(std::move(post)), jobs_(jobs_max) {}
  ~BulkThread() { close(); }
  BulkThread(const BulkThread&) = delete;
  BulkThread& operator=(const BulkThread&) = delete;

  /// Does nothing when it runs already.
  void start();
  /// In place of start(), where one thread does everything (a swarm under virtual time).
  bool run_one();
  /// False when the queue is full or closed.
  [[nodiscard]] bool submit(Job job) { return jobs_.try_push(std::move(job)); }
  /// Lets the jobs inside finish, then joins. Idempotent.
  void close();

 private:
  const char* const name_;
  const std::function<void(Reply)> post_;
  BoundedQueue<Job> jobs_;
  std::thread thread_;
};

}  // namespace coshard::node
