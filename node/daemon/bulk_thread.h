// cs-bulk: reads and hashes bytes that somebody asked for, so that neither sockets nor training
// wait for a disk. Owns nothing: a job is a function, and so is what it leaves for cs-net. start(),
// submit() and close(): cs-net.
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
  BulkThread(std::size_t jobs_max, std::function<void(Reply)> post)
      : post_(std::move(post)), jobs_(jobs_max) {}
  ~BulkThread() { close(); }
  BulkThread(const BulkThread&) = delete;
  BulkThread& operator=(const BulkThread&) = delete;

  /// Does nothing when it runs already.
  void start();
  /// False when the queue is full or closed.
  [[nodiscard]] bool submit(Job job) { return jobs_.try_push(std::move(job)); }
  /// Lets the jobs inside finish, then joins. Idempotent.
  void close();

 private:
  const std::function<void(Reply)> post_;
  BoundedQueue<Job> jobs_;
  std::thread thread_;
};

}  // namespace coshard::node
