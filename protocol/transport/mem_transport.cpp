// SPDX-License-Identifier: Apache-2.0
#include "protocol/transport/mem_transport.h"

#include <map>
#include <set>
#include <unordered_map>

#include "protocol/base/check.h"
#include "protocol/base/rng.h"
#include "protocol/transport/admission.h"
#include "protocol/transport/flow.h"
#include "protocol/transport/peer_table.h"

namespace coshard::transport {

class MemTransport;

// What happens when, and who is where. Events are in the order of time, then of scheduling.
class MemNetwork::State {
 public:
  State(ManualClock& clock, std::uint64_t seed, const MemLinkOptions& options)
      : clock_(clock), rng_(seed), options_(options) {}

  void at(TimePoint when, std::function<void()> event) {
    events_.emplace(std::pair(when, ++scheduled_), std::move(event));
  }
  TimePoint after_delay() {
    const auto spread =
        static_cast<std::uint64_t>((options_.delay_max - options_.delay_min).count());
    return clock_.now() + options_.delay_min +
           Duration(static_cast<Duration::rep>(rng_.below(spread + 1)));
  }
  bool step_until(TimePoint limit) {
    if (events_.empty() || events_.begin()->first.first > limit) return false;
    auto next = events_.extract(events_.begin());
    clock_.set(next.key().first);
    next.mapped()();
    return true;
  }
  bool is_cut(const NodeId& a, const NodeId& b) const { return cuts_.contains(std::minmax(a, b)); }

  ManualClock& clock_;
  Rng rng_;
  const MemLinkOptions options_;
  std::map<std::pair<TimePoint, std::uint64_t>, std::function<void()>> events_;
  std::uint64_t scheduled_ = 0;
  std::map<std::string, MemTransport*> listening_;
  std::map<NodeId, MemTransport*> attached_;
  std::set<std::pair<NodeId, NodeId>> cuts_;
};

namespace {

// One connection, known to both ends. Closing it is what makes frames on their way vanish.
struct Connection {
  bool open = true;
};

}  // namespace

class MemTransport final : public Transport, public std::enable_shared_from_this<MemTransport> {
 public:
  MemTransport(MemNetwork::State& network, MemPeer self, std::string endpoint,
               const MemNetwork::AttachOptions& options)
      : network_(network),
        self_(self),
        endpoint_(std::move(endpoint)),
        options_(options),
        admission_(options.admission) {}

  void set_handler(FrameHandler handler) override { handler_ = std::move(handler); }
  void set_event_handler(PeerEventHandler handler) override { on_event_ = std::move(handler); }
  Result<void> send(const NodeId& to, wire::Frame frame) override;
  Result<void> connect(const PeerAddress& address) override;
  void disconnect(const NodeId& peer) override;
  void allow(const NodeId& peer, const crypto::CurveKey& curve_public) override {
    allowed_[peer] = curve_public;
  }
  void revoke(const NodeId& peer) override { allowed_.erase(peer); }
  void set_admission(Admission admission) override { admission_ = admission; }
  std::size_t bytes_in_flight(const NodeId& peer) const override {
    const auto known = peers_.find(peer);
    return known == peers_.end() ? 0 : known->second.flow->in_flight();
  }
  bool connected(const NodeId& peer) const override {
    const auto known = peers_.find(peer);
    return known != peers_.end() && known->second.is_open();
  }
  std::string endpoint() const override { return closed_ ? "" : endpoint_; }
  const TransportCounters& counters() const override { return counters_; }
  Result<void> close() override;

  const MemPeer& self() const { return self_; }
  /// The wire is cut: this end notices.
  void cut_off(const NodeId& peer);

 private:
  void end_connection(const NodeId& peer, const std::string& reason);
  struct Peer {
    std::shared_ptr<Flow> flow = std::make_shared<Flow>();
    std::shared_ptr<Connection> connection;
    std::optional<PeerAddress> dialled;
    crypto::CurveKey key{};
    TimePoint last_arrival{};
    std::uint32_t attempts = 0;
    bool is_open() const { return connection && connection->open; }
  };

  bool registers(const MemPeer& peer) const {
    const auto known = allowed_.find(peer.node);
    return known != allowed_.end() && known->second == peer.curve_public;
  }
  void attempt(const NodeId& peer);
  void attempt_later(const NodeId& peer, TimePoint when);
  std::string why_unreachable(const PeerAddress& address) const;
  void open(const MemPeer& peer, const std::shared_ptr<Connection>& connection);
  void lost(const NodeId& peer, const std::shared_ptr<Connection>& connection,
            const std::string& reason);
  void arrive(const MemPeer& from, const std::shared_ptr<Connection>& connection,
              wire::Frame frame);
  void tell(PeerEventKind kind, const NodeId& peer, const std::string& reason);

  MemNetwork::State& network_;
  const MemPeer self_;
  const std::string endpoint_;
  const MemNetwork::AttachOptions options_;
  Admission admission_;
  bool closed_ = false;
  FrameHandler handler_;
  PeerEventHandler on_event_;
  TransportCounters counters_;
  std::unordered_map<NodeId, crypto::CurveKey> allowed_;
  std::unordered_map<NodeId, Peer> peers_;
};

Result<void> MemTransport::send(const NodeId& to, wire::Frame frame) {
  if (closed_) return fail(ErrorCode::kFailedPrecondition, "the transport is closed");
  const auto known = peers_.find(to);
  if (known == peers_.end()) return fail(ErrorCode::kNotFound, "no connection was ever made");
  Peer& peer = known->second;
  for (const SharedBytes& payload : frame.payloads) {
    if (payload->size() > options_.payload_bytes_max) {
      return fail(ErrorCode::kInvalidArgument, "the payload is larger than this transport carries");
    }
  }
  if (!peer.is_open()) return fail(ErrorCode::kUnavailable, "not connected right now");
  const std::size_t bytes = frame.size_bytes();
  if (!peer.flow->take(bytes, options_.bytes_in_flight_max)) {
    return fail(ErrorCode::kResourceExhausted, "too many bytes are on their way");
  }
  ++counters_.frames_sent;
  counters_.bytes_sent += bytes;
  const bool vanishes = network_.rng_.unit() < network_.options_.loss;
  const int copies = vanishes ? 0 : network_.rng_.unit() < network_.options_.repetition ? 2 : 1;
  for (int copy = 0; copy < std::max(copies, 1); ++copy) {
    TimePoint when = network_.after_delay();
    if (network_.options_.keeps_order) when = std::max(when, peer.last_arrival);
    peer.last_arrival = std::max(when, peer.last_arrival);
    network_.at(when, [network = &network_, from = self_, to, frame, bytes, copy, copies,
                       flow = peer.flow, connection = peer.connection] {
      if (copy == 0) flow->give_back(bytes);
      const auto there = network->attached_.find(to);
      if (copies == 0 || there == network->attached_.end()) return;
      there->second->arrive(from, connection, frame);
    });
  }
  return {};
}

Result<void> MemTransport::connect(const PeerAddress& address) {
  if (closed_) return fail(ErrorCode::kFailedPrecondition, "the transport is closed");
  if (address.endpoint.empty()) return fail(ErrorCode::kInvalidArgument, "expected an endpoint");
  Peer& peer = peers_[address.node];
  const bool dialling = peer.dialled.has_value();
  peer.dialled = address;
  if (!dialling) attempt_later(address.node, network_.after_delay());
  return {};
}

void MemTransport::attempt_later(const NodeId& peer, TimePoint when) {
  network_.at(when, [weak = weak_from_this(), peer] {
    if (const auto self = weak.lock()) self->attempt(peer);
  });
}

std::string MemTransport::why_unreachable(const PeerAddress& address) const {
  const auto there = network_.listening_.find(address.endpoint);
  if (there == network_.listening_.end()) return "nobody answers at this address";
  const MemTransport& other = *there->second;
  if (network_.is_cut(self_.node, other.self_.node)) return "the network is cut";
  if (other.self_.node != address.node || other.self_.curve_public != address.curve_public) {
    return "another node answers at this address";
  }
  const bool admitted = other.admission_ == Admission::kOpen || other.registers(self_);
  return admitted ? "" : "our transport key is not admitted";
}

void MemTransport::attempt(const NodeId& id) {
  const auto known = peers_.find(id);
  if (closed_ || known == peers_.end() || !known->second.dialled || known->second.is_open()) return;
  Peer& peer = known->second;
  const PeerAddress address = *peer.dialled;
  if (const std::string why = why_unreachable(address); !why.empty()) {
    const auto there = network_.listening_.find(address.endpoint);
    if (there != network_.listening_.end()) ++there->second->counters_.keys_refused;
    attempt_later(id, network_.clock_.now() + retry_delay(peer.attempts++, network_.rng_.unit()));
    return tell(PeerEventKind::kUnreachable, id, why);
  }
  peer.attempts = 0;
  const auto connection = std::make_shared<Connection>();
  network_.listening_.at(address.endpoint)->open(self_, connection);
  if (connection->open) open({address.node, address.curve_public}, connection);
}

void MemTransport::open(const MemPeer& other, const std::shared_ptr<Connection>& connection) {
  Peer& peer = peers_[other.node];
  peer.connection = connection;
  peer.key = other.curve_public;
  peer.last_arrival = TimePoint{};
  tell(PeerEventKind::kConnected, other.node, "");
}

void MemTransport::end_connection(const NodeId& id, const std::string& reason) {
  const auto known = peers_.find(id);
  if (known == peers_.end() || !known->second.is_open()) return;
  const auto connection = known->second.connection;
  connection->open = false;
  const auto there = network_.attached_.find(id);
  if (there == network_.attached_.end()) return;
  network_.at(network_.after_delay(),
              [weak = there->second->weak_from_this(), self = self_.node, connection, reason] {
                if (const auto other = weak.lock()) other->lost(self, connection, reason);
              });
}

void MemTransport::lost(const NodeId& id, const std::shared_ptr<Connection>& connection,
                        const std::string& reason) {
  const auto known = peers_.find(id);
  if (closed_ || known == peers_.end() || known->second.connection != connection) return;
  known->second.connection.reset();
  if (known->second.dialled) attempt_later(id, network_.clock_.now() + limits::kReconnectMin);
  tell(PeerEventKind::kLost, id, reason);
}

void MemTransport::cut_off(const NodeId& id) {
  const auto known = peers_.find(id);
  if (known == peers_.end() || !known->second.connection) return;
  known->second.connection->open = false;
  network_.at(network_.after_delay(),
              [weak = weak_from_this(), id, connection = known->second.connection] {
                if (const auto self = weak.lock()) self->lost(id, connection, "the network is cut");
              });
}

void MemTransport::disconnect(const NodeId& id) {
  end_connection(id, "the connection ended");
  peers_.erase(id);
}

Result<void> MemTransport::close() {
  if (closed_) return {};
  for (const auto& [id, peer] : peers_) end_connection(id, "the connection ended");
  closed_ = true;
  handler_ = nullptr;
  on_event_ = nullptr;
  peers_.clear();
  network_.listening_.erase(endpoint_);
  network_.attached_.erase(self_.node);
  return {};
}

void MemTransport::arrive(const MemPeer& from, const std::shared_ptr<Connection>& connection,
                          wire::Frame frame) {
  const auto known = peers_.find(from.node);
  if (closed_ || known == peers_.end() || known->second.connection != connection ||
      !connection->open) {
    return;
  }
  const bool trusted = known->second.dialled || registers(from);
  if (!trusted && admission_ != Admission::kOpen) return void(++counters_.revoked);
  if (!trusted && !is_request_to_join(frame, from.node, from.curve_public)) {
    return void(++counters_.not_admitted);
  }
  for (const SharedBytes& payload : frame.payloads) {
    if (payload->size() > options_.payload_bytes_max) return void(++counters_.malformed);
  }
  ++counters_.frames_received;
  counters_.bytes_received += frame.size_bytes();
  if (handler_) handler_(from.node, std::move(frame));
}

void MemTransport::tell(PeerEventKind kind, const NodeId& id, const std::string& reason) {
  if (!on_event_) return;
  const Peer& peer = peers_.at(id);
  const crypto::CurveKey key = peer.dialled ? peer.dialled->curve_public : peer.key;
  const bool known = peer.dialled.has_value() || registers({id, key});
  const auto handler = on_event_;  // which may replace itself
  handler(PeerEvent{kind, id, key, known, reason});
}

namespace {

// What attach() hands out: ends the transport when its owner lets go, while events on their way may
// still hold on to it.
class Handle final : public Transport {
 public:
  explicit Handle(std::shared_ptr<MemTransport> transport) : it_(std::move(transport)) {}
  ~Handle() override { static_cast<void>(it_->close()); }
  void set_handler(FrameHandler handler) override { it_->set_handler(std::move(handler)); }
  void set_event_handler(PeerEventHandler handler) override {
    it_->set_event_handler(std::move(handler));
  }
  Result<void> send(const NodeId& to, wire::Frame frame) override {
    return it_->send(to, std::move(frame));
  }
  Result<void> connect(const PeerAddress& peer) override { return it_->connect(peer); }
  void disconnect(const NodeId& peer) override { it_->disconnect(peer); }
  void allow(const NodeId& peer, const crypto::CurveKey& key) override { it_->allow(peer, key); }
  void revoke(const NodeId& peer) override { it_->revoke(peer); }
  void set_admission(Admission admission) override { it_->set_admission(admission); }
  std::size_t bytes_in_flight(const NodeId& peer) const override {
    return it_->bytes_in_flight(peer);
  }
  bool connected(const NodeId& peer) const override { return it_->connected(peer); }
  std::string endpoint() const override { return it_->endpoint(); }
  const TransportCounters& counters() const override { return it_->counters(); }
  Result<void> close() override { return it_->close(); }

 private:
  std::shared_ptr<MemTransport> it_;
};

}  // namespace

MemNetwork::MemNetwork(ManualClock& clock, std::uint64_t seed, const MemLinkOptions& options)
    : state_(std::make_unique<State>(clock, seed, options)) {
  COSHARD_CHECK(options.delay_min <= options.delay_max);
}

MemNetwork::~MemNetwork() = default;

Result<std::unique_ptr<Transport>> MemNetwork::attach(const MemPeer& self,
                                                      const std::string& endpoint,
                                                      const AttachOptions& options) {
  if (state_->listening_.contains(endpoint) || state_->attached_.contains(self.node)) {
    return fail(ErrorCode::kUnavailable, "\"" + endpoint + "\" or the node is attached already");
  }
  auto transport = std::make_shared<MemTransport>(*state_, self, endpoint, options);
  if (!endpoint.empty()) state_->listening_[endpoint] = transport.get();
  state_->attached_[self.node] = transport.get();
  return std::make_unique<Handle>(std::move(transport));
}

bool MemNetwork::step() { return state_->step_until(TimePoint::max()); }

void MemNetwork::run_for(Duration duration) {
  const TimePoint end = state_->clock_.now() + duration;
  while (state_->step_until(end)) {
  }
  state_->clock_.set(end);
}

void MemNetwork::cut(const NodeId& a, const NodeId& b, bool cut) {
  const std::pair<NodeId, NodeId> wire = std::minmax(a, b);
  if (!cut) return void(state_->cuts_.erase(wire));
  state_->cuts_.insert(wire);
  const auto at_a = state_->attached_.find(a);
  const auto at_b = state_->attached_.find(b);
  if (at_a == state_->attached_.end() || at_b == state_->attached_.end()) return;
  // Both ends notice, each for itself.
  at_a->second->cut_off(b);
  at_b->second->cut_off(a);
}

}  // namespace coshard::transport
