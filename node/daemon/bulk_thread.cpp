// The loop of cs-bulk and cs-save.
// SPDX-License-Identifier: Apache-2.0
#include "node/daemon/bulk_thread.h"

#include <pthread.h>

namespace coshard::node {

void BulkThread::start() {
  if (thread_.joinable()) return;
  thread_ = std::thread([this] {
    pthread_setname_np(pthread_self(), name_);
    while (const auto job = jobs_.pop()) post_((*job)());
  });
}

bool BulkThread::run_one() {
  const auto job = jobs_.try_pop();
  if (job) post_((*job)());
  return job.has_value();
}

void BulkThread::close() {
  jobs_.close();
  if (thread_.joinable()) thread_.join();
}

}  // namespace coshard::node
