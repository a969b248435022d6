// The bad link itself: what it is told to do to bytes it does, and nothing else. Times are those of
// a schedule that is fed with them; over real sockets only what came and in which order is judged.
// SPDX-License-Identifier: Apache-2.0
#include "tests/support/fault_proxy.h"
#include "tests/support/loopback.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <bit>
#include <future>
#include <string>

#include "protocol/base/bytes.h"

namespace coshard::test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr auto kPatience = seconds(30);

TimePoint at(milliseconds time) { return TimePoint(time); }

TEST(LinkSchedule, WithoutFaultsEverythingLeavesAtOnce) {
  LinkSchedule schedule{Rng(1)};
  for (int ms : {0, 5, 5, 90}) {
    const auto departure = schedule.departure(1000, {}, at(milliseconds(ms)));
    EXPECT_EQ(departure.at, at(milliseconds(ms)));
    EXPECT_FALSE(departure.late);
  }
}

TEST(LinkSchedule, ARateIsALineThatIsBusy) {
  LinkSchedule schedule{Rng(1)};
  LinkFaults faults;
  faults.bytes_per_second = 1000;
  faults.delay = milliseconds(50);
  EXPECT_EQ(schedule.departure(100, faults, at(milliseconds(0))).at, at(milliseconds(150)));
  EXPECT_EQ(schedule.departure(200, faults, at(milliseconds(10))).at, at(milliseconds(350)));
  EXPECT_EQ(schedule.departure(100, faults, at(milliseconds(1000))).at, at(milliseconds(1150)));
}

/// Against a count: jitter spreads over its whole range, the late share is met, order is kept.
TEST(LinkSchedule, JitterAndLatenessKeepTheOrder) {
  LinkSchedule schedule{Rng(7)};
  LinkFaults faults;
  faults.jitter = milliseconds(100);
  TimePoint last{};
  Duration least = seconds(1), most{};
  for (int i = 0; i < 1000; ++i) {
    const TimePoint now = at(seconds(i));  // far apart: nobody waits for the piece before
    const Duration waited = schedule.departure(10, faults, now).at - now;
    least = std::min(least, waited);
    most = std::max(most, waited);
  }
  EXPECT_LT(least, milliseconds(2));
  EXPECT_GT(most, milliseconds(98));
  EXPECT_LE(most, milliseconds(100));
  faults = lossy(0.3);
  int late = 0;
  for (int i = 0; i < 1000; ++i) {
    const TimePoint now = at(seconds(1000) + milliseconds(i));
    const auto departure = schedule.departure(10, faults, now);
    late += departure.late ? 1 : 0;
    EXPECT_GE(departure.at, last) << "bytes of a connection never overtake each other";
    EXPECT_LE(departure.at - now, milliseconds(200));
    last = departure.at;
  }
  EXPECT_NEAR(late, 300, 60);  // four deviations
}

TEST(LinkSchedule, DamageIsOneBitOfItsShare) {
  LinkSchedule schedule{Rng(3)};
  LinkFaults faults;
  faults.damaged_share = 0.25;
  int damaged = 0;
  for (int i = 0; i < 1000; ++i) {
    Bytes piece(100, 0);
    const bool said = schedule.damage(piece, faults);
    int bits = 0;
    for (const std::uint8_t byte : piece) bits += std::popcount(byte);
    EXPECT_EQ(bits, said ? 1 : 0);
    damaged += bits;
  }
  EXPECT_NEAR(damaged, 250, 55);
}

/// A blocking socket with a deadline.
class Peer {
 public:
  explicit Peer(int fd) : fd_(fd) {
    const timeval limit{30, 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    ::setsockopt(fd_, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  }
  Peer(Peer&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  ~Peer() { close(); }
  void close() {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  }
  bool say(const std::string& text) const {
    std::size_t said = 0;
    while (said < text.size()) {
      const ssize_t put = ::send(fd_, text.data() + said, text.size() - said, MSG_NOSIGNAL);
      if (put <= 0) return false;
      said += static_cast<std::size_t>(put);
    }
    return true;
  }
  /// Up to `size` bytes; fewer when the other end closed, with "!" behind them when it reset.
  std::string hear(std::size_t size) const {
    std::string heard;
    while (heard.size() < size) {
      char buffer[4096];
      const std::size_t room = std::min(sizeof buffer, size - heard.size());
      const ssize_t got = ::recv(fd_, buffer, room, 0);
      if (got < 0 && errno == ECONNRESET) return heard + "!";
      EXPECT_GE(got, 0) << "nothing came";
      if (got <= 0) return heard;
      heard.append(buffer, static_cast<std::size_t>(got));
    }
    return heard;
  }
  /// Whether something has come: without waiting.
  bool has_heard() const {
    char byte;
    return ::recv(fd_, &byte, 1, MSG_PEEK | MSG_DONTWAIT) >= 0;
  }

 private:
  int fd_;
};

class FaultProxyTest : public testing::Test {
 protected:
  FaultProxyTest() : listener_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address = loopback(0);
    socklen_t size = sizeof address;
    EXPECT_EQ(::bind(listener_, reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(::listen(listener_, 8), 0);
    ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
    proxy_.emplace(ntohs(address.sin_port), 5);
  }
  ~FaultProxyTest() override { ::close(listener_); }

  Peer dial() const {
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const sockaddr_in address = loopback(proxy_->port());
    EXPECT_EQ(::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    return Peer(fd);
  }
  Peer accept() const { return Peer(::accept(listener_, nullptr, nullptr)); }

  int listener_;
  std::optional<FaultProxy> proxy_;
};

std::string long_text() {
  std::string text;
  for (std::uint32_t i = 0; text.size() < 1'000'000; ++i)
    text += std::to_string(philox(1, i, 0)[0]);
  return text;
}

TEST_F(FaultProxyTest, PassesBytesAndEndsBothWays) {
  Peer dialler = dial();
  Peer listener = accept();
  const std::string there = long_text(), back = there.substr(1);
  auto said = std::async(std::launch::async, [&] { return dialler.say(there); });
  EXPECT_EQ(listener.hear(there.size()), there);
  EXPECT_TRUE(said.get());
  said = std::async(std::launch::async, [&] { return listener.say(back); });
  EXPECT_EQ(dialler.hear(back.size()), back);
  EXPECT_TRUE(said.get());
  listener.close();
  EXPECT_EQ(dialler.hear(1), "") << "the end is passed on too";
}

TEST_F(FaultProxyTest, LateAndThrottledBytesComeWholeAndInOrder) {
  LinkFaults faults = lossy(0.5);
  faults.late_by = milliseconds(2);
  faults.jitter = milliseconds(2);
  faults.bytes_per_second = 4'000'000;
  proxy_->set(Toward::kListener, faults);
  Peer dialler = dial();
  Peer listener = accept();
  const std::string text = long_text();
  auto said = std::async(std::launch::async, [&] { return dialler.say(text); });
  EXPECT_EQ(listener.hear(text.size()), text);
  EXPECT_TRUE(said.get());
  EXPECT_GT(proxy_->counters().late, 0U);
  EXPECT_EQ(proxy_->counters().bytes[0], text.size());
}

/// One way is silent while the other talks; healed, what was said meanwhile comes.
TEST_F(FaultProxyTest, SilenceIsOneWay) {
  Peer dialler = dial();
  Peer listener = accept();
  ASSERT_TRUE(dialler.say("a"));
  EXPECT_EQ(listener.hear(1), "a");
  LinkFaults silence;
  silence.silent = true;
  proxy_->set(Toward::kListener, silence);
  ASSERT_TRUE(dialler.say("bc"));
  for (int i = 0; i < 20; ++i) {
    ASSERT_TRUE(listener.say("x"));
    EXPECT_EQ(dialler.hear(1), "x");
  }
  EXPECT_FALSE(listener.has_heard());
  EXPECT_EQ(proxy_->counters().bytes[0], 1U);
  proxy_->set(Toward::kListener, {});
  EXPECT_EQ(listener.hear(2), "bc");
}

/// Of a link that is silent both ways not even its end is heard.
TEST_F(FaultProxyTest, ABlackHoleSwallowsTheEnd) {
  Peer dialler = dial();
  Peer listener = accept();
  LinkFaults silence;
  silence.silent = true;
  proxy_->set_both(silence);
  dialler.close();
  Peer other = dial();  // the proxy has come round since
  const Peer answered = accept();
  EXPECT_FALSE(listener.has_heard());
  proxy_->set_both({});
  EXPECT_EQ(listener.hear(1), "");
}

TEST_F(FaultProxyTest, AResetReachesBothEnds) {
  Peer dialler = dial();
  Peer listener = accept();
  ASSERT_TRUE(dialler.say("a"));
  EXPECT_EQ(listener.hear(1), "a");
  proxy_->reset();
  EXPECT_EQ(dialler.hear(1), "!");
  EXPECT_EQ(listener.hear(1), "!");
  Peer again = dial();
  Peer listener_again = accept();
  ASSERT_TRUE(again.say("b"));
  EXPECT_EQ(listener_again.hear(1), "b");
}

TEST_F(FaultProxyTest, ALongPieceIsCutInTwo) {
  LinkFaults faults;
  faults.cut_over = 10;
  proxy_->set(Toward::kListener, faults);
  Peer dialler = dial();
  Peer listener = accept();
  ASSERT_TRUE(dialler.say("short"));
  EXPECT_EQ(listener.hear(5), "short");
  ASSERT_TRUE(dialler.say("0123456789abcdef"));
  EXPECT_EQ(listener.hear(16), "01234567!");
  EXPECT_TRUE(proxy_->wait_until([](const auto& seen) { return seen.cut == 1; }, kPatience));
}

TEST_F(FaultProxyTest, DamageChangesBytesAndNotTheirNumber) {
  LinkFaults faults;
  faults.damaged_share = 1;
  proxy_->set(Toward::kDialler, faults);
  Peer dialler = dial();
  Peer listener = accept();
  const std::string text(1000, 'x');
  ASSERT_TRUE(listener.say(text));
  const std::string heard = dialler.hear(text.size());
  EXPECT_EQ(heard.size(), text.size());
  EXPECT_NE(heard, text);
  EXPECT_GT(proxy_->counters().damaged, 0U);
}

TEST_F(FaultProxyTest, AReservedPortIsFreeForWhoIsTold) {
  const ReservedPort port;
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int yes = 1;
  ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  const sockaddr_in address = loopback(port.number());
  EXPECT_EQ(::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  EXPECT_EQ(::listen(fd, 1), 0);
  ::close(fd);
}

}  // namespace
}  // namespace coshard::test
