// One poll loop over the listener, a wake-up and two sockets per connection.
// SPDX-License-Identifier: Apache-2.0
#include "tests/support/fault_proxy.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <deque>
#include <list>
#include <optional>
#include <utility>
#include <vector>

#include "protocol/base/bytes.h"
#include "protocol/base/check.h"
#include "tests/support/loopback.h"

namespace coshard::test {

namespace {

constexpr std::size_t kPieceBytes = 64 * 1024;
/// Of a throttled link a piece is short and little waits: what else is to be sent stays with the
/// sender, as it does before a slow router.
constexpr std::size_t kThrottledPieceBytes = 4 * 1024;
constexpr std::size_t kWaitingBytesMax = std::size_t{4} << 20;
constexpr std::size_t kThrottledWaitingBytesMax = 16 * 1024;
constexpr int kSocketBufferBytes = 64 * 1024;

/// A socket of ours, closed with it.
class Socket {
 public:
  explicit Socket(int fd) : fd_(fd) {}
  Socket() : Socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    COSHARD_CHECK(fd_ >= 0);
    set(SOL_SOCKET, SO_RCVBUF, kSocketBufferBytes);
    set(SOL_SOCKET, SO_SNDBUF, kSocketBufferBytes);
  }
  Socket(Socket&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Socket& operator=(Socket&&) = delete;
  ~Socket() {
    if (fd_ >= 0) ::close(fd_);
  }
  int get() const { return fd_; }
  void set(int level, int option, int value) const {
    ::setsockopt(fd_, level, option, &value, sizeof value);
  }
  std::uint16_t bind(std::uint16_t port) const {
    sockaddr_in address = loopback(port);
    socklen_t size = sizeof address;
    COSHARD_CHECK(::bind(fd_, reinterpret_cast<sockaddr*>(&address), size) == 0);
    COSHARD_CHECK(::getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size) == 0);
    return ntohs(address.sin_port);
  }
  bool connect(std::uint16_t port) const {
    const sockaddr_in address = loopback(port);
    return ::connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  }
  void pass_at_once() const {
    set(IPPROTO_TCP, TCP_NODELAY, 1);
    ::fcntl(fd_, F_SETFL, O_NONBLOCK);
  }
  /// What close() then sends is RST.
  void end_by_reset() const {
    const linger abrupt{1, 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &abrupt, sizeof abrupt);
  }

 private:
  int fd_;
};

struct Piece {
  Bytes bytes;
  TimePoint leaves;
};

/// One direction of a connection.
struct Way {
  explicit Way(Rng chance) : schedule(chance) {}
  LinkSchedule schedule;
  std::deque<Piece> waiting;
  std::size_t waiting_bytes = 0;
  bool ended = false;     ///< its sender has closed
  bool end_told = false;  ///< and its receiver knows
  bool broken = false;    ///< its sender has gone without closing
  bool torn = false;      ///< half of what its sender wrote has passed, and nothing will
};

struct Connection {
  Connection(Socket from, Socket to, std::uint64_t seed, std::uint64_t number)
      : dialler(std::move(from)),
        listener(std::move(to)),
        ways{Way(Rng(seed, 2 * number)), Way(Rng(seed, 2 * number + 1))} {}
  Socket dialler, listener;
  std::array<Way, 2> ways;  ///< by Toward
  bool over = false;

  const Socket& source(std::size_t way) const { return way == 0 ? dialler : listener; }
  const Socket& sink(std::size_t way) const { return way == 0 ? listener : dialler; }
};

}  // namespace

// ---- the schedule -------------------------------------------------------------------------------

LinkSchedule::Departure LinkSchedule::departure(std::size_t bytes, const LinkFaults& faults,
                                                TimePoint now) {
  TimePoint sent = now;
  if (faults.bytes_per_second > 0) {
    const double seconds =
        static_cast<double>(bytes) / static_cast<double>(faults.bytes_per_second);
    line_free_ = std::max(line_free_, now) +
                 std::chrono::duration_cast<Duration>(std::chrono::duration<double>(seconds));
    sent = line_free_;
  }
  const double share_of_jitter = chance_.unit();
  const bool late = chance_.unit() < faults.late_share;
  const auto jitter = std::chrono::duration_cast<Duration>(faults.jitter * share_of_jitter);
  last_ = std::max(last_, sent + faults.delay + jitter + (late ? faults.late_by : Duration{}));
  return {last_, late};
}

bool LinkSchedule::damage(std::span<std::uint8_t> piece, const LinkFaults& faults) {
  if (chance_.unit() >= faults.damaged_share) return false;
  const std::uint64_t bit = chance_.below(8 * piece.size());
  piece[bit / 8] = static_cast<std::uint8_t>(piece[bit / 8] ^ (1U << bit % 8));
  return true;
}

// ---- the loop -----------------------------------------------------------------------------------

class FaultProxy::Loop {
 public:
  Loop(std::uint16_t target_port, std::uint64_t seed)
      : target_port_(target_port), seed_(seed), wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
    port_ = listener_.bind(0);
    ::fcntl(listener_.get(), F_SETFL, O_NONBLOCK);
    COSHARD_CHECK(::listen(listener_.get(), 64) == 0);
    thread_ = std::thread([this] { run(); });
  }
  ~Loop() {
    order([this] { stop_ = true; });
    thread_.join();
  }
  std::uint16_t port() const { return port_; }

  /// Changes what the loop goes by, and wakes it.
  template <class Change>
  void order(Change change) {
    const std::lock_guard lock(mutex_);
    change();
    const std::uint64_t one = 1;
    COSHARD_CHECK(::write(wake_.get(), &one, sizeof one) == sizeof one);
  }
  std::array<LinkFaults, 2> faults_;  // changed in order()
  bool reset_ = false;                // likewise

  Counters counters() const {
    const std::lock_guard lock(mutex_);
    return counters_;
  }
  bool wait_until(const std::function<bool(const Counters&)>& condition,
                  std::chrono::milliseconds limit) {
    std::unique_lock lock(mutex_);
    return counted_.wait_for(lock, limit, [&] { return condition(counters_); });
  }

 private:
  void run() {
    for (;;) {
      wait();
      const std::lock_guard lock(mutex_);
      if (stop_) return;
      now_ = clock_.now();
      std::uint64_t woken = 0;
      while (::read(wake_.get(), &woken, sizeof woken) > 0) {
      }
      take_connection();
      for (Connection& connection : connections_) {
        for (const std::size_t way : {0U, 1U}) serve(connection, way);
        if (reset_) drop(connection);
      }
      reset_ = false;
      connections_.remove_if([](const Connection& connection) { return connection.over; });
      counted_.notify_all();
    }
  }

  /// Until something can be done.
  void wait() {
    std::vector<pollfd> watched{{wake_.get(), POLLIN, 0}, {listener_.get(), POLLIN, 0}};
    std::optional<TimePoint> next;
    {
      const std::lock_guard lock(mutex_);
      now_ = clock_.now();
      for (const Connection& connection : connections_) watch(connection, watched, next);
    }
    int timeout = -1;
    if (next)
      timeout =
          static_cast<int>(std::chrono::ceil<std::chrono::milliseconds>(*next - now_).count());
    ::poll(watched.data(), watched.size(), timeout);
  }

  /// What `connection` waits for: its sockets, and when its next piece leaves.
  void watch(const Connection& connection, std::vector<pollfd>& watched,
             std::optional<TimePoint>& next) const {
    std::array<pollfd, 2> ends{pollfd{connection.dialler.get(), 0, 0},
                               pollfd{connection.listener.get(), 0, 0}};
    for (const std::size_t way : {0U, 1U}) {
      const Way& it = connection.ways[way];
      if (wants_more(it, faults_[way])) ends[way].events |= POLLIN;
      if (faults_[way].silent || it.waiting.empty()) continue;
      const TimePoint leaves = it.waiting.front().leaves;
      if (leaves <= now_)
        ends[1 - way].events |= POLLOUT;
      else
        next = std::min(next.value_or(leaves), leaves);
    }
    for (const pollfd& end : ends)  // an end that is not asked for anything may not wake us
      if (end.events != 0) watched.push_back(end);
  }

  static bool wants_more(const Way& way, const LinkFaults& faults) {
    const bool throttled = faults.bytes_per_second > 0;
    return !way.ended && !way.torn && !faults.silent &&
           way.waiting_bytes < (throttled ? kThrottledWaitingBytesMax : kWaitingBytesMax);
  }

  void take_connection() {
    Socket from(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (from.get() < 0) return;
    Socket to;
    if (!to.connect(target_port_)) return from.end_by_reset();
    from.pass_at_once();
    to.pass_at_once();
    connections_.emplace_back(std::move(from), std::move(to), seed_, counters_.connections++);
  }

  void serve(Connection& connection, std::size_t index) {
    Way& way = connection.ways[index];
    const LinkFaults& faults = faults_[index];
    if (connection.over || faults.silent) return;
    if (wants_more(way, faults)) take(connection, index);
    while (!way.waiting.empty() && way.waiting.front().leaves <= now_)
      if (!pass(connection, index)) return;
    if (!way.ended || !way.waiting.empty() || way.end_told) return;
    if (way.broken) return drop(connection);
    ::shutdown(connection.sink(index).get(), SHUT_WR);
    way.end_told = true;
    connection.over = connection.ways[0].end_told && connection.ways[1].end_told;
  }

  void take(Connection& connection, std::size_t index) {
    Way& way = connection.ways[index];
    const LinkFaults& faults = faults_[index];
    Bytes bytes(faults.bytes_per_second > 0 ? kThrottledPieceBytes : kPieceBytes);
    const ssize_t got = ::recv(connection.source(index).get(), bytes.data(), bytes.size(), 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    way.ended = got <= 0;
    way.broken = got < 0;
    if (way.ended) return;
    bytes.resize(static_cast<std::size_t>(got));
    if (faults.cut_over > 0 && bytes.size() > faults.cut_over) {
      bytes.resize(bytes.size() / 2);
      way.ended = way.broken = true;
      ++counters_.cut;
    }
    if (faults.torn_over > 0 && bytes.size() > faults.torn_over) {
      bytes.resize(bytes.size() / 2);
      way.torn = true;
      ++counters_.torn;
    }
    if (way.schedule.damage(bytes, faults)) ++counters_.damaged;
    const auto [leaves, late] = way.schedule.departure(bytes.size(), faults, now_);
    if (late) ++counters_.late;
    way.waiting_bytes += bytes.size();
    way.waiting.push_back({std::move(bytes), leaves});
  }

  /// The first piece, as far as the receiver takes it; whether it took all.
  bool pass(Connection& connection, std::size_t index) {
    Way& way = connection.ways[index];
    Bytes& bytes = way.waiting.front().bytes;
    const ssize_t put =
        ::send(connection.sink(index).get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (put < 0) {
      if (errno != EAGAIN && errno != EINTR) drop(connection);
      return false;
    }
    counters_.bytes[index] += static_cast<std::uint64_t>(put);
    way.waiting_bytes -= static_cast<std::size_t>(put);
    bytes.erase(bytes.begin(), bytes.begin() + put);
    if (!bytes.empty()) return false;
    way.waiting.pop_front();
    return true;
  }

  static void drop(Connection& connection) {
    connection.dialler.end_by_reset();
    connection.listener.end_by_reset();
    connection.over = true;
  }

  const std::uint16_t target_port_;
  const std::uint64_t seed_;
  const SystemClock clock_;
  Socket listener_;
  Socket wake_;  // an eventfd
  std::uint16_t port_ = 0;
  mutable std::mutex mutex_;
  std::condition_variable counted_;
  bool stop_ = false;
  TimePoint now_{};
  std::list<Connection> connections_;
  Counters counters_;
  std::thread thread_;
};

FaultProxy::FaultProxy(std::uint16_t target_port, std::uint64_t seed)
    : loop_(std::make_unique<Loop>(target_port, seed)) {}
FaultProxy::~FaultProxy() = default;
std::uint16_t FaultProxy::port() const { return loop_->port(); }

void FaultProxy::set(Toward way, const LinkFaults& faults) {
  loop_->order([&] { loop_->faults_[static_cast<std::size_t>(way)] = faults; });
}
void FaultProxy::set_both(const LinkFaults& faults) {
  loop_->order([&] { loop_->faults_ = {faults, faults}; });
}
void FaultProxy::reset() {
  loop_->order([&] { loop_->reset_ = true; });
}
FaultProxy::Counters FaultProxy::counters() const { return loop_->counters(); }
bool FaultProxy::wait_until(const std::function<bool(const Counters&)>& condition,
                            std::chrono::milliseconds limit) const {
  return loop_->wait_until(condition, limit);
}

ReservedPort::ReservedPort() : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  const int yes = 1;
  COSHARD_CHECK(::setsockopt(fd_, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) == 0);
  sockaddr_in address = loopback(0);
  socklen_t size = sizeof address;
  COSHARD_CHECK(::bind(fd_, reinterpret_cast<sockaddr*>(&address), size) == 0);
  COSHARD_CHECK(::getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size) == 0);
  number_ = ntohs(address.sin_port);
}

ReservedPort::~ReservedPort() { ::close(fd_); }

}  // namespace coshard::test
