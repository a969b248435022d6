// The listening ROUTER, the ZAP handler in front of it, and a proof for each connection. Frames
// leave here only from proved peers who may speak right now. cs-net. Private to zmq_*.cpp.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <unordered_map>

#include "protocol/transport/channel.h"
#include "protocol/transport/reactor.h"
#include "protocol/transport/transport.h"
#include "protocol/transport/zap_authenticator.h"
#include "protocol/transport/zmq_socket.h"

namespace coshard::transport {

/// What the listener asks of and tells its transport.
struct ListenerEvents {
  /// The node that a CURVE key is allowed for, if any.
  std::function<std::optional<NodeId>(const crypto::CurveKey&)> registered;
  std::function<bool()> admits_strangers;
  std::function<void(const NodeId&, const crypto::CurveKey&, bool registered)> up;
  std::function<void(const NodeId&, const std::string& reason)> down;
  std::function<void(const NodeId&, wire::Frame)> frame;
  std::function<void(const NodeId&)> malformed;  ///< of a registered peer
};

class ZmqListener {
 public:
  struct Shared {
    zmq::context_t& context;
    Reactor& reactor;
    const crypto::Identity& self;
    TransportCounters& counters;
    std::size_t payload_bytes_max;
  };

  ZmqListener(Shared shared, ListenerEvents events);
  ~ZmqListener();

  /// kInvalidArgument: not an endpoint; kUnavailable: taken, or not an address of this machine.
  Result<void> start(const std::string& endpoint);
  void stop(std::chrono::milliseconds linger);

  const std::string& endpoint() const { return endpoint_; }
  bool is_up(const NodeId& peer) const { return by_node_.contains(peer); }
  SendOutcome send(const NodeId& peer, wire::Frame frame, const std::shared_ptr<Flow>& flow);
  /// Forgets the peer's connection, without an event; what still comes on it is unproved.
  void drop(const NodeId& peer);
  std::uint64_t keys_refused() const { return zap_.refused(); }

 private:
  struct Route {
    ChannelServer channel;
    crypto::CurveKey key;
    int fd;
    TimePoint since;
    std::optional<NodeId> proved;
    bool told_unproved = false;
  };
  using Routes = std::unordered_map<RoutingId, Route>;

  bool may_connect(const crypto::CurveKey& key) const;
  void on_messages();
  void on_events();
  void on_message(const Incoming& incoming);
  void on_hello(const Incoming& incoming);
  void on_proved(const RoutingId& id, Route& route);
  void on_frame(const Incoming& incoming);
  void unproved(const RoutingId& id);
  Route* route_for_hello(const Incoming& incoming);
  void end(Routes::iterator route, const std::string& reason);
  void sweep();

  Shared shared_;
  ListenerEvents events_;
  ZapAuthenticator zap_;
  std::string endpoint_;
  std::unique_ptr<zmq::socket_t> socket_;
  std::unique_ptr<zmq::socket_t> monitor_;
  Reactor::SourceId socket_source_ = 0;
  Reactor::SourceId monitor_source_ = 0;
  Reactor::TimerId sweep_timer_ = 0;
  Routes routes_;
  std::unordered_map<NodeId, RoutingId> by_node_;
};

}  // namespace coshard::transport
