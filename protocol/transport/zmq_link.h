// One dialled peer: a DEALER that is one connection, the proof on it, and the next attempt after it
// ended. cs-net. Private to zmq_*.cpp.
// SPDX-License-Identifier: Apache-2.0
//
//   waiting --start, or the retry timer--> proving --proved--> up
//      ^---------------- the connection ends, or the proof takes too long
#pragma once

#include <functional>
#include <memory>
#include <optional>

#include "protocol/transport/channel.h"
#include "protocol/transport/reactor.h"
#include "protocol/transport/transport.h"
#include "protocol/transport/zmq_socket.h"

namespace coshard::transport {

/// What a link tells its transport. None is called inside start(), send() or stop().
struct LinkEvents {
  std::function<void()> up;
  std::function<void(bool was_up, const std::string& reason)> down;
  std::function<void(wire::Frame)> frame;
  std::function<void()> malformed;
};

class ZmqLink : public std::enable_shared_from_this<ZmqLink> {
 public:
  struct Shared {
    zmq::context_t& context;
    Reactor& reactor;
    const crypto::Identity& self;
    TransportCounters& counters;
    std::size_t payload_bytes_max;
  };

  ZmqLink(Shared shared, PeerAddress peer, LinkEvents events);
  ~ZmqLink();

  /// Dials now, and again after each loss. kInvalidArgument: not an endpoint.
  Result<void> start();
  /// No event afterwards.
  void stop(std::chrono::milliseconds linger);
  bool is_up() const { return up_; }
  const PeerAddress& peer() const { return peer_; }
  SendOutcome send(wire::Frame frame, const std::shared_ptr<Flow>& flow);

 private:
  Result<void> dial();
  void hang_up(std::chrono::milliseconds linger);
  void end(const std::string& reason);
  void dial_later();
  void on_messages();
  void on_message(const Incoming& incoming);
  void on_events();

  Shared shared_;
  PeerAddress peer_;
  LinkEvents events_;
  bool stopped_ = false;
  bool up_ = false;
  std::uint32_t attempts_ = 0;
  std::optional<ChannelClient> channel_;
  std::unique_ptr<zmq::socket_t> socket_;
  std::unique_ptr<zmq::socket_t> monitor_;
  Reactor::SourceId socket_source_ = 0;
  Reactor::SourceId monitor_source_ = 0;
  Reactor::TimerId timer_ = 0;  // of the proof, or of the next attempt
};

}  // namespace coshard::transport
