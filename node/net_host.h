// The thread cs-net itself: runs a program's reactor and, whatever happens, tells main when it is
// over. Both daemons put their shell on it. Home: main, but for what runs inside.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <pthread.h>

#include <exception>
#include <functional>
#include <optional>
#include <thread>

#include "node/signals.h"
#include "protocol/base/error.h"
#include "protocol/transport/reactor.h"

namespace coshard::node {

class NetHost {
 public:
  /// Runs `open`, then the reactor, then `close` on cs-net (sockets belong to the thread that makes
  /// them); wakes main when that is over. When `open` fails there is nothing to run.
  void start(transport::Reactor& reactor, Signals& signals, std::function<Result<void>()> open,
             std::function<void()> close) {
    thread_ =
        std::thread([this, &reactor, &signals, open = std::move(open), close = std::move(close)] {
          pthread_setname_np(pthread_self(), "cs-net");
          try {
            if (auto opened = open())
              reactor.run();
            else
              refusal_ = opened.error();
          } catch (const std::exception& error) {
            failure_ = Error{ErrorCode::kInternal, error.what()};
          }
          close();
          signals.wake();
        });
  }
  void join() {
    if (thread_.joinable()) thread_.join();
  }

  // After join():
  /// Why nothing was started.
  const std::optional<Error>& refusal() const { return refusal_; }
  /// What a library threw while it ran.
  const std::optional<Error>& failure() const { return failure_; }

 private:
  std::optional<Error> refusal_;
  std::optional<Error> failure_;
  std::thread thread_;
};

}  // namespace coshard::node
