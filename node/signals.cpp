// Signals as events: signalfd and eventfd under one poll.
// SPDX-License-Identifier: Apache-2.0
#include "node/signals.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <string>

namespace coshard::node {

Result<std::unique_ptr<Signals>> Signals::block() {
  sigset_t set;
  sigemptyset(&set);
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&set, number);
  std::signal(SIGPIPE, SIG_IGN);
  if (pthread_sigmask(SIG_BLOCK, &set, nullptr) != 0)
    return fail(ErrorCode::kInternal, "cannot block signals");
  const int signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
  const int wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (signal_fd < 0 || wake_fd < 0)
    return fail(ErrorCode::kInternal, std::string("cannot wait for signals: ") + strerror(errno));
  return std::unique_ptr<Signals>(new Signals(signal_fd, wake_fd));
}

Signals::~Signals() {
  ::close(signal_fd_);
  ::close(wake_fd_);
}

Wake Signals::wait(std::optional<std::chrono::milliseconds> limit) {
  std::array<pollfd, 2> fds{pollfd{signal_fd_, POLLIN, 0}, pollfd{wake_fd_, POLLIN, 0}};
  const int timeout = limit ? static_cast<int>(limit->count()) : -1;
  int ready = 0;
  do {
    ready = ::poll(fds.data(), fds.size(), timeout);
  } while (ready < 0 && errno == EINTR);
  signalfd_siginfo taken{};
  if ((fds[0].revents & POLLIN) != 0 && ::read(signal_fd_, &taken, sizeof taken) > 0)
    return Wake::kSignal;
  std::uint64_t count = 0;
  if ((fds[1].revents & POLLIN) != 0 && ::read(wake_fd_, &count, sizeof count) > 0)
    return Wake::kThread;
  return Wake::kTimeout;
}

void Signals::wake() {
  const std::uint64_t one = 1;
  // The counter cannot overflow in practice, and a full one wakes as well.
  [[maybe_unused]] const auto written = ::write(wake_fd_, &one, sizeof one);
}

}  // namespace coshard::node
