// SPDX-License-Identifier: Apache-2.0
#include "protocol/transport/zmq_listener.h"

#include <algorithm>
#include <zmq.hpp>

#include "crypto/random.h"
#include "protocol/base/limits.h"
#include "protocol/transport/admission.h"

namespace coshard::transport {
namespace {

using std::chrono_literals::operator""ms;

tl::unexpected<Error> why_not_bound(int error, const std::string& endpoint) {
  const std::string what = "cannot listen on \"" + endpoint + "\": ";
  switch (error) {
    case EADDRINUSE:
      return fail(ErrorCode::kUnavailable,
                  what + "the port is taken; choose another, or stop the program that has it");
    case ENODEV:
    case EADDRNOTAVAIL:
      return fail(ErrorCode::kUnavailable,
                  what + "expected an address of this machine, as a number or an interface's name");
    case EINVAL:
    case EPROTONOSUPPORT:
      return fail(ErrorCode::kInvalidArgument, what + "expected the form tcp://0.0.0.0:4601");
    default:
      return fail(ErrorCode::kUnavailable, what + zmq_strerror(error));
  }
}

}  // namespace

ZmqListener::ZmqListener(Shared shared, ListenerEvents events)
    : shared_(shared),
      events_(std::move(events)),
      zap_(shared.reactor, [this](const auto& key) { return may_connect(key); }) {}

bool ZmqListener::may_connect(const crypto::CurveKey& key) const {
  return events_.admits_strangers() || events_.registered(key).has_value();
}

ZmqListener::~ZmqListener() { stop(0ms); }

Result<void> ZmqListener::start(const std::string& endpoint) {
  COSHARD_TRY(zap_.start(shared_.context));
  const bool ipv6 = endpoint.find('[') != std::string::npos;
  COSHARD_ASSIGN(socket_, make_listener_socket(shared_.context, shared_.self.curve(),
                                               shared_.payload_bytes_max, ipv6));
  COSHARD_ASSIGN(monitor_, make_monitor(shared_.context, *socket_));
  if (zmq_bind(socket_->handle(), endpoint.c_str()) != 0) {
    return why_not_bound(zmq_errno(), endpoint);
  }
  char bound[256] = {};
  std::size_t size = sizeof bound;
  COSHARD_CHECK(zmq_getsockopt(socket_->handle(), ZMQ_LAST_ENDPOINT, bound, &size) == 0);
  endpoint_ = bound;
  socket_source_ = shared_.reactor.watch_socket(socket_->handle(), [this] { on_messages(); });
  monitor_source_ = shared_.reactor.watch_socket(monitor_->handle(), [this] { on_events(); });
  sweep_timer_ = shared_.reactor.every(limits::kHandshakeTimeout / 4, [this] { sweep(); });
  return {};
}

void ZmqListener::stop(std::chrono::milliseconds linger) {
  shared_.reactor.cancel(sweep_timer_);
  shared_.reactor.unwatch(socket_source_);
  shared_.reactor.unwatch(monitor_source_);
  if (socket_) zmq_socket_monitor(socket_->handle(), nullptr, 0);
  close_socket(monitor_, 0ms);
  close_socket(socket_, linger);
  zap_.stop();
  routes_.clear();
  by_node_.clear();
}

SendOutcome ZmqListener::send(const NodeId& peer, wire::Frame frame,
                              const std::shared_ptr<Flow>& flow) {
  const auto known = by_node_.find(peer);
  COSHARD_CHECK(known != by_node_.end());
  return send_frame(*socket_, known->second, std::move(frame), flow);
}

void ZmqListener::drop(const NodeId& peer) {
  const auto known = by_node_.find(peer);
  if (known == by_node_.end()) return;
  send_hello(*socket_, known->second, encode_refusal(ChannelRefusal::kNotAdmitted));
  routes_.erase(known->second);
  by_node_.erase(known);
}

void ZmqListener::on_messages() {
  for (int i = 0; i < limits::kMessagesPerTurn && socket_; ++i) {
    const auto incoming = receive(*socket_, true);
    if (!incoming) return;
    on_message(*incoming);
  }
}

// libzmq tells by which file descriptor a message came and which one was closed. A descriptor may
// be used again at once, so it is turned into a route before anything else is read, and events are
// taken before any hello. What arrived before the end is delivered before the end is told.
void ZmqListener::on_events() {
  while (monitor_) {
    const auto event = next_event(*monitor_);
    if (!event) return;
    if (event->kind != SocketEvent::Kind::kDisconnected) continue;
    const auto closed = std::find_if(routes_.begin(), routes_.end(), [&](const auto& entry) {
      return entry.second.fd == event->fd;
    });
    if (closed == routes_.end()) continue;
    const RoutingId id = closed->first;
    on_messages();
    if (const auto route = routes_.find(id); route != routes_.end()) end(route, event->reason);
  }
}

void ZmqListener::on_message(const Incoming& incoming) {
  if (!incoming.key || incoming.parts.empty()) return void(++shared_.counters.malformed);
  if (incoming.parts.size() == 1) return on_hello(incoming);
  on_frame(incoming);
}

ZmqListener::Route* ZmqListener::route_for_hello(const Incoming& incoming) {
  if (const auto known = routes_.find(incoming.route); known != routes_.end()) {
    return &known->second;
  }
  on_events();
  const auto registered = events_.registered(*incoming.key);
  std::optional<ChannelRefusal> refusal;
  if (!may_connect(*incoming.key)) refusal = ChannelRefusal::kNotAdmitted;
  if (routes_.size() >= limits::kPeersMax) refusal = ChannelRefusal::kFull;
  if (refusal) {
    ++shared_.counters.hellos_refused;
    send_hello(*socket_, incoming.route, encode_refusal(*refusal));
    return nullptr;
  }
  ChannelServer channel(shared_.self, *incoming.key, registered, crypto::random_array<32>());
  const auto made =
      routes_.emplace(incoming.route, Route{std::move(channel), *incoming.key, incoming.fd,
                                            shared_.reactor.now(), std::nullopt, false});
  return &made.first->second;
}

void ZmqListener::on_hello(const Incoming& incoming) {
  Route* route = route_for_hello(incoming);
  if (route == nullptr) return;
  const auto step = route->channel.on(incoming.part(0));
  if (!step) {
    ++shared_.counters.hellos_refused;
    send_hello(*socket_, incoming.route, encode_refusal(route->channel.refusal()));
    if (!route->proved) routes_.erase(incoming.route);
    return;
  }
  send_hello(*socket_, incoming.route, step->reply);
  if (step->proved) on_proved(incoming.route, *route);
}

void ZmqListener::on_proved(const RoutingId& id, Route& route) {
  const NodeId node = route.channel.client();
  route.proved = node;
  const auto older = by_node_.find(node);
  if (older != by_node_.end()) {
    const auto stale = routes_.find(older->second);
    COSHARD_CHECK(stale != routes_.end());
    end(stale, "the peer opened a new connection");
  }
  if (!socket_) return;  // closed by whom end() told
  by_node_[node] = id;
  const auto registered = events_.registered(route.key);
  events_.up(node, route.key, registered == node);
}

void ZmqListener::on_frame(const Incoming& incoming) {
  const auto known = routes_.find(incoming.route);
  if (known == routes_.end() || !known->second.proved) return unproved(incoming.route);
  const NodeId from = *known->second.proved;
  const crypto::CurveKey key = known->second.key;
  const bool registered = events_.registered(key) == from;
  if (!registered && !events_.admits_strangers()) {
    return void(++shared_.counters.revoked);
  }
  const std::size_t payload_max =
      registered ? shared_.payload_bytes_max
                 : wire::payload_rule(wire::MessageKind::kJoinRequest).bytes_max;
  auto frame = incoming.to_frame(payload_max);
  if (!frame) {
    ++shared_.counters.malformed;
    if (registered) events_.malformed(from);
    return;
  }
  if (!registered && !is_request_to_join(*frame, from, key)) {
    return void(++shared_.counters.not_admitted);
  }
  events_.frame(from, std::move(*frame));
}

// Says so once per connection, so that an honest peer starts over and a flood gets no echo.
void ZmqListener::unproved(const RoutingId& id) {
  ++shared_.counters.unproved;
  const auto known = routes_.find(id);
  if (known != routes_.end() && std::exchange(known->second.told_unproved, true)) return;
  send_hello(*socket_, id, encode_refusal(ChannelRefusal::kUnproved));
}

void ZmqListener::end(Routes::iterator route, const std::string& reason) {
  const std::optional<NodeId> node = route->second.proved;
  routes_.erase(route);
  if (!node) return;
  by_node_.erase(*node);
  events_.down(*node, reason);
}

// Connections that prove nothing in time, and strangers who are not admitted, make room.
void ZmqListener::sweep() {
  const TimePoint now = shared_.reactor.now();
  std::erase_if(routes_, [&](const auto& entry) {
    const Route& route = entry.second;
    if (!route.proved) return now - route.since > limits::kHandshakeTimeout;
    if (events_.registered(route.key) == *route.proved) return false;
    if (now - route.since <= limits::kAdmissionTimeout) return false;
    by_node_.erase(*route.proved);
    return true;
  });
}

}  // namespace coshard::transport
