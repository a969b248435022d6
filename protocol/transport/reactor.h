// A loop for one thread (cs-net): waits on sockets, files and timers in one poll call, and runs
// tasks that other threads post. post(), wake() and stop() may be called from any thread, all
// else from the loop's own.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "protocol/base/bounded_queue.h"
#include "protocol/base/clock.h"
#include "protocol/base/thread_role.h"

namespace coshard::transport {

class Reactor {
 public:
  using Task = std::function<void()>;
  using TimerId = std::uint64_t;
  using SourceId = std::uint64_t;

  /// `clock` outlives the reactor.
  explicit Reactor(const Clock& clock);
  ~Reactor();
  Reactor(const Reactor&) = delete;
  Reactor& operator=(const Reactor&) = delete;

  /// Runs `task` on the loop's thread, after everything posted before it. False when
  /// limits::kReactorTasksMax are waiting or the reactor has stopped. Any thread.
  [[nodiscard]] bool post(Task task);
  /// Makes the loop look again at its sources now. Any thread; never fails.
  void wake();
  /// Makes run() return after the current turn. Any thread.
  void stop();
  bool is_stopped() const { return stopping_.load(); }

  /// Once, `delay` from now; every `period`, the first time one period from now. A timer that
  /// falls behind skips what it missed.
  TimerId after(Duration delay, Task task);
  TimerId every(Duration period, Task task);
  /// Harmless for a timer that has fired or was never there; allowed inside a task.
  void cancel(TimerId timer);

  /// Calls `ready` in each turn in which the source has something to read. `zmq_socket` is a
  /// libzmq socket handle. Unwatch before closing the source.
  SourceId watch_socket(void* zmq_socket, Task ready);
  SourceId watch_fd(int fd, Task ready);
  void unwatch(SourceId source);

  /// Turns until stop(); then tasks that are still waiting are dropped.
  void run();
  /// One turn: waits at most `max_wait` for something to do, then does it. True when anything ran.
  bool run_once(Duration max_wait);

  TimePoint now() const { return clock_.now(); }

 private:
  struct Source;
  struct Timer;
  Duration time_to_next_timer(Duration at_most) const;
  bool run_due_timers();
  bool run_posted();
  bool wait_and_run_sources(Duration max_wait);

  const Clock& clock_;
  ThreadRole role_;
  BoundedQueue<Task> posted_;
  int wake_fd_ = -1;
  std::atomic<bool> stopping_{false};
  std::uint64_t last_id_ = 0;
  std::map<SourceId, std::shared_ptr<Source>> sources_;
  std::map<TimerId, std::shared_ptr<Timer>> timers_;
};

}  // namespace coshard::transport
