// What somebody on the path sees: a proxy between two transports keeps every byte, and a payload of
// a known pattern is not among them. Over a plain socket it is, so the search would find it.
// SPDX-License-Identifier: Apache-2.0
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <zmq.hpp>

#include "tests/contract/transport/transport_bed.h"
#include "tests/support/loopback.h"

namespace coshard::transport::testing {
namespace {

// Forwards TCP connections on the reactor's thread and remembers what passed.
class Capture {
 public:
  Capture(Reactor& reactor, const std::string& target) : reactor_(reactor), target_(target) {
    listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    sockaddr_in any = test::loopback(0);
    EXPECT_EQ(::bind(listener_, reinterpret_cast<sockaddr*>(&any), sizeof any), 0);
    EXPECT_EQ(::listen(listener_, 16), 0);
    sources_.push_back(reactor_.watch_fd(listener_, [this] { accept(); }));
  }
  ~Capture() {
    for (const auto source : sources_) reactor_.unwatch(source);
    for (const int fd : fds_) ::close(fd);
    ::close(listener_);
  }

  std::string endpoint() const {
    sockaddr_in bound{};
    socklen_t size = sizeof bound;
    EXPECT_EQ(::getsockname(listener_, reinterpret_cast<sockaddr*>(&bound), &size), 0);
    return "tcp://127.0.0.1:" + std::to_string(ntohs(bound.sin_port));
  }
  const Bytes& seen() const { return seen_; }

 private:
  void accept() {
    const int here = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (here < 0) return;
    const int there = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address = test::loopback(
        static_cast<std::uint16_t>(std::stoi(target_.substr(target_.rfind(':') + 1))));
    ASSERT_EQ(::connect(there, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    forward(here, there);
    forward(there, here);
  }
  void forward(int from, int to) {
    fds_.push_back(from);
    const auto source = std::make_shared<Reactor::SourceId>();
    *source = reactor_.watch_fd(from, [this, from, to, source] {
      Bytes chunk(65'536);
      const ssize_t size = ::recv(from, chunk.data(), chunk.size(), MSG_DONTWAIT);
      if (size <= 0) {
        reactor_.unwatch(*source);
        ::shutdown(to, SHUT_WR);
        return;
      }
      chunk.resize(static_cast<std::size_t>(size));
      append(seen_, chunk);
      for (std::size_t sent = 0; sent < chunk.size();) {
        const ssize_t more = ::send(to, chunk.data() + sent, chunk.size() - sent, MSG_NOSIGNAL);
        if (more <= 0) return;
        sent += static_cast<std::size_t>(more);
      }
    });
    sources_.push_back(*source);
  }

  Reactor& reactor_;
  const std::string target_;
  int listener_ = -1;
  std::vector<int> fds_;
  std::vector<Reactor::SourceId> sources_;
  Bytes seen_;
};

// Sixteen bytes that say which tensor they are; a tensor repeats them with a counter.
Bytes tensor_bytes() {
  Bytes bytes;
  for (std::uint64_t i = 0; i < 4096; ++i) {
    put_le(bytes, std::uint64_t{0x5EC2E7'0F'7E5502});
    put_le(bytes, i);
  }
  return bytes;
}
bool contains_any_part(const Bytes& seen, const Bytes& tensor) {
  for (std::size_t at = 0; at < tensor.size(); at += 16) {
    const auto part = tensor.begin() + static_cast<std::ptrdiff_t>(at);
    if (std::search(seen.begin(), seen.end(), part, part + 16) != seen.end()) return true;
    if (at >= 16 * 64) break;  // the first 64 parts; the search is quadratic
  }
  return false;
}

TEST(CaptureTest, ATensorNeverTravelsInClear) {
  ZmqBed bed;
  End server(bed), client(bed);
  Capture capture(bed.reactor(), server.transport->endpoint());
  server.allow(client);
  PeerAddress through = server.address();
  through.endpoint = capture.endpoint();
  ASSERT_TRUE(client.transport->connect(through));
  ASSERT_TRUE(bed.run_until([&] { return client.transport->connected(server.node()); }));
  wire::Frame frame = numbered_frame(1);
  frame.payloads.push_back(share(tensor_bytes()));
  ASSERT_TRUE(client.send(server, frame));
  ASSERT_TRUE(bed.run_until([&] { return server.frames.size() == 1; }));
  ASSERT_TRUE(server.send(client, frame));
  ASSERT_TRUE(bed.run_until([&] { return client.frames.size() == 1; }));
  EXPECT_EQ(*client.frames[0].payloads[0], tensor_bytes());
  EXPECT_GT(capture.seen().size(), 2 * tensor_bytes().size());
  EXPECT_FALSE(contains_any_part(capture.seen(), tensor_bytes()));
  // Neither do the identities of the two: hellos travel inside CURVE as well.
  for (const NodeId& node : {server.node(), client.node()}) {
    EXPECT_EQ(std::search(capture.seen().begin(), capture.seen().end(), node.bytes.begin(),
                          node.bytes.end()),
              capture.seen().end());
  }
}

TEST(CaptureTest, OverAPlainSocketTheSameSearchFindsIt) {
  SystemClock clock;
  Reactor reactor(clock);
  zmq::context_t context;
  zmq::socket_t receiver(context, ZMQ_PULL), sender(context, ZMQ_PUSH);
  sender.set(zmq::sockopt::linger, 0);
  receiver.bind("tcp://127.0.0.1:*");
  Capture capture(reactor, receiver.get(zmq::sockopt::last_endpoint));
  sender.connect(capture.endpoint());
  const Bytes tensor = tensor_bytes();
  sender.send(zmq::buffer(tensor));
  zmq::message_t got;
  const TimePoint deadline = clock.now() + std::chrono::seconds(20);
  while (!receiver.recv(got, zmq::recv_flags::dontwait) && clock.now() < deadline) {
    reactor.run_once(std::chrono::milliseconds(20));
  }
  ASSERT_EQ(got.size(), tensor.size());
  EXPECT_TRUE(contains_any_part(capture.seen(), tensor));
}

}  // namespace
}  // namespace coshard::transport::testing
