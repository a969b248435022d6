// The loop of cs-bulk.
// SPDX-License-Identifier: Apache-2.0
#include "node/daemon/bulk_thread.h"

#include <pthread.h>

namespace coshard::node {

void BulkThread::start() {
  if (thread_.joinable()) return;
  thread_ = std::thread([this] {
    pthread_setname_np(pthread_self(), "cs-bulk");
    while (const auto job = jobs_.pop()) post_((*job)());
  });
}

void BulkThread::close() {
  jobs_.close();
  if (thread_.joinable()) thread_.join();
}

}  // namespace coshard::node
