// The thread cs-net itself: runs a program's reactor and, whatever happens, tells main when it is
// over. Both daemons put their shell on it. Home: main, but for what runs inside.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <pthread.h>

#include <exception>
#include <functional>
#include <thread>

#include "node/signals.h"
#include "protocol/base/log.h"
#include "protocol/transport/reactor.h"

namespace coshard::node {

class NetHost {
 public:
  /// Runs `begin` and then the reactor on cs-net; wakes main when the reactor has stopped.
  void start(transport::Reactor& reactor, Signals& signals, std::function<void()> begin) {
    thread_ = std::thread([this, &reactor, &signals, begin = std::move(begin)] {
      pthread_setname_np(pthread_self(), "cs-net");
      try {
        begin();
        reactor.run();
      } catch (const std::exception& error) {
        log(LogLevel::kError, "net", error.what());
        failed_ = true;
      }
      signals.wake();
    });
  }
  /// Waits for the end; false when a library threw.
  bool join() {
    if (thread_.joinable()) thread_.join();
    return !failed_;
  }

 private:
  bool failed_ = false;
  std::thread thread_;
};

}  // namespace coshard::node
