// SPDX-License-Identifier: Apache-2.0
#include "protocol/transport/zmq_transport.h"

#include <map>
#include <unordered_map>
#include <zmq.hpp>

#include "protocol/transport/zmq_link.h"
#include "protocol/transport/zmq_listener.h"

namespace coshard::transport {
namespace {

using std::chrono_literals::operator""ms;

// Last words (a RoundEnd, a LeaveNotice) get this long to leave when the transport closes.
constexpr std::chrono::milliseconds kCloseLinger = 500ms;

class ZmqTransport final : public Transport {
 public:
  ZmqTransport(Reactor& reactor, const crypto::Identity& identity, const ZmqOptions& options)
      : reactor_(reactor),
        identity_(identity),
        options_(options),
        admission_(options.admission),
        context_(options.io_threads, kSocketsMax),
        listener_(shared<ZmqListener::Shared>(), listener_events()) {}

  ~ZmqTransport() override { static_cast<void>(close()); }

  Result<void> start() {
    COSHARD_ON(role_);
    if (options_.listen.empty()) return {};
    return listener_.start(options_.listen);
  }

  void set_handler(FrameHandler handler) override { handler_ = std::move(handler); }
  void set_event_handler(PeerEventHandler handler) override { on_event_ = std::move(handler); }

  Result<void> send(const NodeId& to, wire::Frame frame) override;
  Result<void> connect(const PeerAddress& address) override;
  void disconnect(const NodeId& peer) override;

  void allow(const NodeId& peer, const crypto::CurveKey& curve_public) override {
    COSHARD_ON(role_);
    revoke(peer);
    allowed_[curve_public] = peer;
    key_of_[peer] = curve_public;
  }

  void revoke(const NodeId& peer) override {
    COSHARD_ON(role_);
    const auto known = key_of_.find(peer);
    if (known == key_of_.end()) return;
    allowed_.erase(known->second);
    key_of_.erase(known);
  }

  void set_admission(Admission admission) override { admission_ = admission; }

  std::size_t bytes_in_flight(const NodeId& peer) const override {
    const auto known = peers_.find(peer);
    return known == peers_.end() ? 0 : known->second.flow->in_flight();
  }

  bool connected(const NodeId& peer) const override {
    const auto known = peers_.find(peer);
    return known != peers_.end() && known->second.path != Path::kNone;
  }

  std::string endpoint() const override { return listener_.endpoint(); }

  const TransportCounters& counters() const override {
    counters_.keys_refused = listener_.keys_refused();
    return counters_;
  }

  Result<void> close() override;

 private:
  static constexpr int kSocketsMax = 3 * static_cast<int>(limits::kPeersMax);

  // By which connection frames go to a peer. The first that comes up stays until it is lost, so
  // that a second one does not reorder what is being said.
  enum class Path { kNone, kLink, kRoute };

  struct Peer {
    std::shared_ptr<Flow> flow = std::make_shared<Flow>();
    std::shared_ptr<ZmqLink> link;  // when dialled
    Path path = Path::kNone;
    crypto::CurveKey route_key{};
    bool registered = true;
  };

  template <class Shared>
  Shared shared() {
    return Shared{context_, reactor_, identity_, counters_, options_.payload_bytes_max};
  }

  ListenerEvents listener_events();
  LinkEvents link_events(const NodeId& peer);
  void path_up(const NodeId& id, Path path);
  void path_down(const NodeId& id, Path path, const std::string& reason);
  void tell(PeerEventKind kind, const NodeId& id, const std::string& reason);
  void tell_malformed(const NodeId& id) {
    tell(PeerEventKind::kMalformed, id, "what came is no frame: wrong number or size of parts");
  }
  void forget_if_idle(const NodeId& id);
  void deliver(const NodeId& from, wire::Frame frame);
  std::optional<NodeId> registered(const crypto::CurveKey& key) const {
    const auto known = allowed_.find(key);
    return known == allowed_.end() ? std::nullopt : std::optional(known->second);
  }

  Reactor& reactor_;
  const crypto::Identity& identity_;
  const ZmqOptions options_;
  ThreadRole role_;
  Admission admission_;
  bool closed_ = false;
  FrameHandler handler_;
  PeerEventHandler on_event_;
  mutable TransportCounters counters_;
  std::map<crypto::CurveKey, NodeId> allowed_;
  std::unordered_map<NodeId, crypto::CurveKey> key_of_;
  std::unordered_map<NodeId, Peer> peers_;
  zmq::context_t context_;
  ZmqListener listener_;
};

Result<void> ZmqTransport::send(const NodeId& to, wire::Frame frame) {
  COSHARD_ON(role_);
  if (closed_) return fail(ErrorCode::kFailedPrecondition, "the transport is closed");
  const auto known = peers_.find(to);
  if (known == peers_.end()) {
    return fail(ErrorCode::kNotFound, "no connection was ever made with " + to.short_hex());
  }
  for (const SharedBytes& payload : frame.payloads) {
    if (payload->size() > options_.payload_bytes_max) {
      return fail(ErrorCode::kInvalidArgument,
                  "payload: expected at most " + std::to_string(options_.payload_bytes_max) +
                      " bytes, found " + std::to_string(payload->size()));
    }
  }
  Peer& peer = known->second;
  if (peer.path == Path::kNone) {
    return fail(ErrorCode::kUnavailable, to.short_hex() + " is not connected right now");
  }
  const std::size_t bytes = frame.size_bytes();
  if (!peer.flow->take(bytes, options_.bytes_in_flight_max)) {
    return fail(ErrorCode::kResourceExhausted, std::to_string(peer.flow->in_flight()) +
                                                   " bytes are on their way to " + to.short_hex() +
                                                   "; expected room for " + std::to_string(bytes));
  }
  const SendOutcome outcome = peer.path == Path::kLink
                                  ? peer.link->send(std::move(frame), peer.flow)
                                  : listener_.send(to, std::move(frame), peer.flow);
  switch (outcome) {
    case SendOutcome::kQueued:
      ++counters_.frames_sent;
      counters_.bytes_sent += bytes;
      return {};
    case SendOutcome::kFull:
      return fail(ErrorCode::kResourceExhausted, "the queue to " + to.short_hex() + " is full");
    case SendOutcome::kGone:
      break;  // the connection's end is about to be told as an event
  }
  return fail(ErrorCode::kUnavailable, "the connection with " + to.short_hex() + " has ended");
}

Result<void> ZmqTransport::connect(const PeerAddress& address) {
  COSHARD_ON(role_);
  if (closed_) return fail(ErrorCode::kFailedPrecondition, "the transport is closed");
  Peer& peer = peers_[address.node];
  if (peer.link && peer.link->peer().endpoint == address.endpoint &&
      peer.link->peer().curve_public == address.curve_public) {
    return {};
  }
  if (peer.link) {
    peer.link->stop(0ms);
    if (peer.path == Path::kLink) peer.path = Path::kNone;
  }
  peer.link =
      std::make_shared<ZmqLink>(shared<ZmqLink::Shared>(), address, link_events(address.node));
  auto started = peer.link->start();
  if (!started) {
    peer.link.reset();
    forget_if_idle(address.node);
  }
  return started;
}

void ZmqTransport::disconnect(const NodeId& id) {
  COSHARD_ON(role_);
  const auto known = peers_.find(id);
  if (known == peers_.end()) return;
  if (known->second.link) known->second.link->stop(0ms);
  listener_.drop(id);
  peers_.erase(known);
}

Result<void> ZmqTransport::close() {
  COSHARD_ON(role_);
  if (std::exchange(closed_, true)) return {};
  for (auto& [id, peer] : peers_) {
    if (peer.link) peer.link->stop(kCloseLinger);
  }
  listener_.stop(kCloseLinger);
  peers_.clear();
  handler_ = nullptr;
  on_event_ = nullptr;
  context_.close();  // waits until last words have left or the linger is over
  return {};
}

ListenerEvents ZmqTransport::listener_events() {
  ListenerEvents events;
  events.registered = [this](const auto& key) { return registered(key); };
  events.admits_strangers = [this] { return admission_ == Admission::kOpen; };
  events.up = [this](const NodeId& id, const crypto::CurveKey& key, bool registered) {
    Peer& peer = peers_[id];
    peer.route_key = key;
    peer.registered = registered;
    path_up(id, Path::kRoute);
  };
  events.down = [this](const NodeId& id, const std::string& reason) {
    path_down(id, Path::kRoute, reason);
  };
  events.frame = [this](const NodeId& from, wire::Frame frame) { deliver(from, std::move(frame)); };
  events.malformed = [this](const NodeId& from) { tell_malformed(from); };
  return events;
}

LinkEvents ZmqTransport::link_events(const NodeId& id) {
  LinkEvents events;
  events.up = [this, id] { path_up(id, Path::kLink); };
  events.down = [this, id](bool was_up, const std::string& reason) {
    if (was_up) return path_down(id, Path::kLink, reason);
    tell(PeerEventKind::kUnreachable, id, reason);
  };
  events.frame = [this, id](wire::Frame frame) { deliver(id, std::move(frame)); };
  events.malformed = [this, id] { tell_malformed(id); };
  return events;
}

void ZmqTransport::path_up(const NodeId& id, Path path) {
  Peer& peer = peers_[id];
  if (peer.path != Path::kNone) return;
  peer.path = path;
  tell(PeerEventKind::kConnected, id, "");
}

void ZmqTransport::path_down(const NodeId& id, Path path, const std::string& reason) {
  const auto known = peers_.find(id);
  if (known == peers_.end() || known->second.path != path) return;
  known->second.path = Path::kNone;
  tell(PeerEventKind::kLost, id, reason);
  const auto still = peers_.find(id);
  if (closed_ || still == peers_.end() || still->second.path != Path::kNone) return;
  if (still->second.link && still->second.link->is_up()) return path_up(id, Path::kLink);
  if (listener_.is_up(id)) return path_up(id, Path::kRoute);
  forget_if_idle(id);
}

void ZmqTransport::tell(PeerEventKind kind, const NodeId& id, const std::string& reason) {
  const auto known = peers_.find(id);
  if (closed_ || known == peers_.end() || !on_event_) return;
  const Peer& peer = known->second;
  const bool dialled = peer.link && peer.path != Path::kRoute;
  const crypto::CurveKey key = dialled ? peer.link->peer().curve_public : peer.route_key;
  const PeerEvent event{kind, id, key, dialled || peer.registered, reason};
  const auto handler = on_event_;  // which may replace itself
  handler(event);
}

// A stranger who has left leaves nothing behind.
void ZmqTransport::forget_if_idle(const NodeId& id) {
  const auto known = peers_.find(id);
  if (known == peers_.end() || known->second.link || known->second.path != Path::kNone) return;
  if (!key_of_.contains(id)) peers_.erase(known);
}

void ZmqTransport::deliver(const NodeId& from, wire::Frame frame) {
  if (closed_) return;
  ++counters_.frames_received;
  counters_.bytes_received += frame.size_bytes();
  if (handler_) handler_(from, std::move(frame));
}

}  // namespace

Result<std::unique_ptr<Transport>> make_zmq_transport(Reactor& reactor,
                                                      const crypto::Identity& identity,
                                                      const ZmqOptions& options) {
  try {
    auto transport = std::make_unique<ZmqTransport>(reactor, identity, options);
    COSHARD_TRY(transport->start());
    return transport;
  } catch (const zmq::error_t& error) {
    return fail(ErrorCode::kResourceExhausted, std::string("libzmq cannot start: ") + error.what());
  }
}

}  // namespace coshard::transport
