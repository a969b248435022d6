// The reactor on zmq_poll, which waits for sockets of libzmq and plain files together.
// SPDX-License-Identifier: Apache-2.0
#include <sys/eventfd.h>
#include <unistd.h>
#include <zmq.h>

#include <algorithm>

#include "protocol/base/check.h"
#include "protocol/base/limits.h"
#include "protocol/transport/reactor.h"

namespace coshard::transport {

struct Reactor::Source {
  void* socket = nullptr;
  int fd = -1;
  Task ready;
  bool watched = true;
};

struct Reactor::Timer {
  TimePoint due;
  Duration period{};  // zero: once
  Task task;
  bool armed = true;
};

Reactor::Reactor(const Clock& clock)
    : clock_(clock),
      posted_(limits::kReactorTasksMax),
      wake_fd_(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
  COSHARD_CHECK_OP(wake_fd_, >=, 0);
}

Reactor::~Reactor() { ::close(wake_fd_); }

bool Reactor::post(Task task) {
  if (!posted_.try_push(std::move(task))) return false;
  wake();
  return true;
}

void Reactor::wake() {
  const std::uint64_t one = 1;
  // A full counter means that a wake-up is pending, which is all that is wanted.
  [[maybe_unused]] const ssize_t written = ::write(wake_fd_, &one, sizeof one);
}

void Reactor::stop() {
  stopping_.store(true);
  wake();
}

Reactor::TimerId Reactor::after(Duration delay, Task task) {
  COSHARD_ON(role_);
  timers_[++last_id_] = std::make_shared<Timer>(Timer{now() + delay, {}, std::move(task)});
  return last_id_;
}

Reactor::TimerId Reactor::every(Duration period, Task task) {
  COSHARD_ON(role_);
  COSHARD_CHECK(period > Duration::zero());
  timers_[++last_id_] = std::make_shared<Timer>(Timer{now() + period, period, std::move(task)});
  return last_id_;
}

void Reactor::cancel(TimerId timer) {
  COSHARD_ON(role_);
  const auto known = timers_.find(timer);
  if (known == timers_.end()) return;
  known->second->armed = false;
  timers_.erase(known);
}

Reactor::SourceId Reactor::watch_socket(void* zmq_socket, Task ready) {
  COSHARD_ON(role_);
  sources_[++last_id_] = std::make_shared<Source>(Source{zmq_socket, -1, std::move(ready)});
  return last_id_;
}

Reactor::SourceId Reactor::watch_fd(int fd, Task ready) {
  COSHARD_ON(role_);
  sources_[++last_id_] = std::make_shared<Source>(Source{nullptr, fd, std::move(ready)});
  return last_id_;
}

void Reactor::unwatch(SourceId source) {
  COSHARD_ON(role_);
  const auto known = sources_.find(source);
  if (known == sources_.end()) return;
  known->second->watched = false;
  sources_.erase(known);
}

void Reactor::run() {
  COSHARD_ON(role_);
  while (!stopping_.load()) run_once(std::chrono::hours(1));
  posted_.close();
}

bool Reactor::run_once(Duration max_wait) {
  COSHARD_ON(role_);
  bool ran = wait_and_run_sources(time_to_next_timer(max_wait));
  ran = run_posted() || ran;
  return run_due_timers() || ran;
}

Duration Reactor::time_to_next_timer(Duration at_most) const {
  if (posted_.size() > 0 || stopping_.load()) return Duration::zero();
  Duration wait = at_most;
  for (const auto& [id, timer] : timers_) wait = std::min(wait, timer->due - now());
  return std::max(wait, Duration::zero());
}

bool Reactor::wait_and_run_sources(Duration max_wait) {
  std::vector<std::shared_ptr<Source>> watched;
  std::vector<zmq_pollitem_t> items{{nullptr, wake_fd_, ZMQ_POLLIN, 0}};
  for (const auto& [id, source] : sources_) {
    watched.push_back(source);
    items.push_back({source->socket, source->fd, ZMQ_POLLIN, 0});
  }
  // Rounded up: rounding down would spin through the last millisecond before a timer.
  const auto wait = std::chrono::ceil<std::chrono::milliseconds>(max_wait).count();
  const int ready = zmq_poll(items.data(), static_cast<int>(items.size()), wait);
  if (ready <= 0) return false;  // nothing, or a signal: the next turn looks again
  if (items[0].revents != 0) {
    std::uint64_t count = 0;
    [[maybe_unused]] const ssize_t taken = ::read(wake_fd_, &count, sizeof count);
  }
  bool ran = false;
  for (std::size_t i = 0; i < watched.size(); ++i) {
    // A source that an earlier callback of this turn unwatched may be closed already.
    if (items[i + 1].revents == 0 || !watched[i]->watched) continue;
    watched[i]->ready();
    ran = true;
  }
  return ran;
}

bool Reactor::run_posted() {
  const std::size_t waiting = posted_.size();  // what these post runs in the next turn
  for (std::size_t i = 0; i < waiting; ++i) {
    if (auto task = posted_.try_pop()) (*task)();
  }
  return waiting > 0;
}

bool Reactor::run_due_timers() {
  const TimePoint at = now();
  std::vector<std::pair<TimerId, std::shared_ptr<Timer>>> due;
  for (const auto& [id, timer] : timers_) {
    if (timer->due <= at) due.emplace_back(id, timer);
  }
  std::stable_sort(due.begin(), due.end(),
                   [](const auto& a, const auto& b) { return a.second->due < b.second->due; });
  for (const auto& [id, timer] : due) {
    if (!timer->armed) continue;
    if (timer->period == Duration::zero()) {
      timers_.erase(id);
    } else {
      timer->due += timer->period * ((at - timer->due) / timer->period + 1);
    }
    timer->task();
  }
  return !due.empty();
}

}  // namespace coshard::transport
