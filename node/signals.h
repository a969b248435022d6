// One event per signal: SIGINT, SIGTERM and SIGHUP arrive through a file descriptor that main waits
// on, next to a wake-up from the program's own threads. No handler ever runs. Home thread: main;
// wake() from any thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <memory>
#include <optional>

#include "protocol/base/error.h"

namespace coshard::node {

/// Why wait() returned.
enum class Wake {
  kSignal,   ///< the operator or the system asks for an ordered stop
  kThread,   ///< a thread of the program called wake(): the work is over
  kTimeout,  ///< nothing happened in the given time
};

class Signals {
 public:
  /// Blocks the three signals in the calling thread and in every thread started later, and ignores
  /// SIGPIPE. Call first thing in main. kInternal when the system refuses.
  static Result<std::unique_ptr<Signals>> block();
  ~Signals();
  Signals(const Signals&) = delete;
  Signals& operator=(const Signals&) = delete;

  /// Waits for the next event; without a limit when none is given.
  Wake wait(std::optional<std::chrono::milliseconds> limit = std::nullopt);

  /// Ends the current or the next wait() with kThread.
  void wake();

 private:
  Signals(int signal_fd, int wake_fd) : signal_fd_(signal_fd), wake_fd_(wake_fd) {}
  const int signal_fd_;
  const int wake_fd_;
};

}  // namespace coshard::node
