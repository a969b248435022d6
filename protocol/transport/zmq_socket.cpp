// SPDX-License-Identifier: Apache-2.0
#include "protocol/transport/zmq_socket.h"

#include <algorithm>
#include <atomic>
#include <zmq.hpp>

#include "protocol/base/failpoint.h"
#include "protocol/base/limits.h"
#include "protocol/transport/zap_authenticator.h"

namespace coshard::transport {
namespace {

// Stable in libzmq since 4.3.0, but its name is still behind ZMQ_BUILD_DRAFT_API in zmq.h.
constexpr int kZapEnforceDomain = 93;
// ROUTER and DEALER parts that a message of ours may have: header, signature, payloads.
constexpr std::size_t kPartsMax = 2 + limits::kPayloadsMax;

// Sets options one after the other; remembers the first that libzmq did not take.
class OptionSetter {
 public:
  explicit OptionSetter(zmq::socket_t& socket) : socket_(socket) {}
  OptionSetter& number(int option, std::int64_t value, const char* name) {
    const int small = static_cast<int>(value);
    // ZMQ_MAXMSGSIZE alone is 64 bits wide.
    const bool wide = option == ZMQ_MAXMSGSIZE;
    return bytes(option, wide ? static_cast<const void*>(&value) : &small,
                 wide ? sizeof value : sizeof small, name);
  }
  OptionSetter& bytes(int option, const void* value, std::size_t size, const char* name) {
    if (zmq_setsockopt(socket_.handle(), option, value, size) != 0 && refused_.empty()) {
      refused_ = std::string(name) + ": " + zmq_strerror(zmq_errno());
    }
    return *this;
  }
  Result<void> result() const {
    if (refused_.empty()) return {};
    return fail(ErrorCode::kInternal, "libzmq does not take " + refused_);
  }

 private:
  zmq::socket_t& socket_;
  std::string refused_;
};

// What CURVE adds to a part: command name, nonce, flags and authenticator (RFC 26).
constexpr std::size_t kCurveBytes = 8 + 8 + 1 + 16;

void set_limits(OptionSetter& set, std::size_t payload_bytes_max) {
  const std::size_t part = std::max(payload_bytes_max, limits::kHeaderBytesMax) + kCurveBytes;
  const auto heartbeat = limits::kSocketHeartbeat.count();
  const auto silence = limits::kSocketHeartbeatTimeout.count();
  set.number(ZMQ_MAXMSGSIZE, static_cast<std::int64_t>(part), "MAXMSGSIZE")
      .number(ZMQ_SNDHWM, limits::kSocketQueueMessages, "SNDHWM")
      .number(ZMQ_RCVHWM, limits::kSocketReceiveQueueMessages, "RCVHWM")
      .number(ZMQ_HANDSHAKE_IVL, limits::kHandshakeTimeout.count(), "HANDSHAKE_IVL")
      .number(ZMQ_HEARTBEAT_IVL, heartbeat, "HEARTBEAT_IVL")
      .number(ZMQ_HEARTBEAT_TIMEOUT, silence, "HEARTBEAT_TIMEOUT")
      .number(ZMQ_HEARTBEAT_TTL, silence, "HEARTBEAT_TTL")
      .number(ZMQ_TCP_KEEPALIVE, 1, "TCP_KEEPALIVE")
      .number(ZMQ_TCP_KEEPALIVE_IDLE, 30, "TCP_KEEPALIVE_IDLE")
      .number(ZMQ_TCP_KEEPALIVE_INTVL, 10, "TCP_KEEPALIVE_INTVL")
      .number(ZMQ_TCP_KEEPALIVE_CNT, 3, "TCP_KEEPALIVE_CNT")
      .number(ZMQ_LINGER, 0, "LINGER");
}

Result<std::unique_ptr<zmq::socket_t>> make_socket(zmq::context_t& context, int type) {
  try {
    return std::make_unique<zmq::socket_t>(context, type);
  } catch (const zmq::error_t& error) {
    return fail(ErrorCode::kResourceExhausted,
                std::string("libzmq makes no more sockets: ") + error.what());
  }
}

// One allocation that libzmq may keep until its I/O thread is done with the bytes.
struct Lease {
  SharedBytes bytes;
  std::shared_ptr<Flow> flow;
  std::size_t counted = 0;
  // libzmq orders the hand-over to its thread; said once more where a sanitizer can see it.
  std::atomic<bool> handed_over{false};
};

void release(void*, void* hint) {
  const std::unique_ptr<Lease> lease(static_cast<Lease*>(hint));
  COSHARD_CHECK(lease->handed_over.load(std::memory_order_acquire));
  lease->flow->give_back(lease->counted);
}

// libzmq wants a pointer to mutable bytes and does not write to them.
zmq::message_t shared_part(SharedBytes bytes, const std::shared_ptr<Flow>& flow,
                           std::size_t counted) {
  auto* data = const_cast<std::uint8_t*>(bytes->data());
  const std::size_t size = bytes->size();
  auto* lease = new Lease{std::move(bytes), flow, counted};
  lease->handed_over.store(true, std::memory_order_release);
  // An empty vector may have no address, and libzmq would not call back.
  static std::uint8_t nothing = 0;
  return zmq::message_t(size == 0 ? &nothing : data, size, release, lease);
}

// True when queued; errno otherwise. A part that is not taken is destroyed by its owner.
bool send_part(zmq::socket_t& socket, zmq::message_t& part, bool more) {
  return zmq_msg_send(part.handle(), socket.handle(), ZMQ_DONTWAIT | (more ? ZMQ_SNDMORE : 0)) >= 0;
}

std::string ending_of(std::uint16_t event) {
  switch (event) {
    case ZMQ_EVENT_DISCONNECTED:
      return "the connection ended";
    case ZMQ_EVENT_CLOSED:
      return "nobody answers at this address";
    case ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL:
      return "the connection ended during the handshake";
    case ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL:
      return "the handshake failed: another protocol, or another transport key than expected";
    case ZMQ_EVENT_HANDSHAKE_FAILED_AUTH:
      return "our transport key is not admitted";
    default:
      return "";
  }
}

}  // namespace

Result<std::unique_ptr<zmq::socket_t>> make_listener_socket(zmq::context_t& context,
                                                            const crypto::CurveKeyPair& keys,
                                                            std::size_t payload_bytes_max,
                                                            bool ipv6) {
  COSHARD_ASSIGN(auto socket, make_socket(context, ZMQ_ROUTER));
  OptionSetter set(*socket);
  set_limits(set, payload_bytes_max);
  set.number(ZMQ_CURVE_SERVER, 1, "CURVE_SERVER")
      .bytes(ZMQ_CURVE_SECRETKEY, keys.secret().data(), keys.secret().size(), "CURVE_SECRETKEY")
      .bytes(ZMQ_ZAP_DOMAIN, kZapDomain, std::string_view(kZapDomain).size(), "ZAP_DOMAIN")
      .number(kZapEnforceDomain, 1, "ZAP_ENFORCE_DOMAIN")
      .number(ZMQ_ROUTER_MANDATORY, 1, "ROUTER_MANDATORY")
      .number(ZMQ_ROUTER_HANDOVER, 0, "ROUTER_HANDOVER")
      .number(ZMQ_BACKLOG, 1024, "BACKLOG")
      .number(ZMQ_IPV6, ipv6 ? 1 : 0, "IPV6");
  COSHARD_TRY(set.result());
  return socket;
}

Result<std::unique_ptr<zmq::socket_t>> make_dealer_socket(zmq::context_t& context,
                                                          const crypto::CurveKeyPair& keys,
                                                          const crypto::CurveKey& server,
                                                          std::size_t payload_bytes_max) {
  COSHARD_ASSIGN(auto socket, make_socket(context, ZMQ_DEALER));
  OptionSetter set(*socket);
  set_limits(set, payload_bytes_max);
  const crypto::CurveKey& own = keys.public_key();
  set.bytes(ZMQ_CURVE_SERVERKEY, server.data(), server.size(), "CURVE_SERVERKEY")
      .bytes(ZMQ_CURVE_PUBLICKEY, own.data(), own.size(), "CURVE_PUBLICKEY")
      .bytes(ZMQ_CURVE_SECRETKEY, keys.secret().data(), keys.secret().size(), "CURVE_SECRETKEY")
      .number(ZMQ_CONNECT_TIMEOUT, limits::kHandshakeTimeout.count(), "CONNECT_TIMEOUT")
      .number(ZMQ_RECONNECT_IVL, -1, "RECONNECT_IVL")
      .number(ZMQ_IPV6, 1, "IPV6");  // IPv4 as well
  COSHARD_TRY(set.result());
  return socket;
}

void close_socket(std::unique_ptr<zmq::socket_t>& socket, std::chrono::milliseconds linger) {
  if (!socket) return;
  const int milliseconds = static_cast<int>(linger.count());
  zmq_setsockopt(socket->handle(), ZMQ_LINGER, &milliseconds, sizeof milliseconds);
  socket.reset();
}

Incoming::Incoming() = default;
Incoming::Incoming(Incoming&&) noexcept = default;
Incoming::~Incoming() = default;

ByteView Incoming::part(std::size_t index) const {
  return {static_cast<const std::uint8_t*>(parts[index].data()), parts[index].size()};
}

std::optional<wire::Frame> Incoming::to_frame(std::size_t payload_bytes_max) const {
  if (too_many_parts || parts.size() < 2) return std::nullopt;
  const auto signature = to_array<64>(part(1));
  if (!signature || part(0).size() > limits::kHeaderBytesMax) return std::nullopt;
  for (std::size_t i = 2; i < parts.size(); ++i) {
    if (parts[i].size() > payload_bytes_max) return std::nullopt;
  }
  wire::Frame frame;
  frame.header = to_bytes(part(0));
  frame.signature = *signature;
  for (std::size_t i = 2; i < parts.size(); ++i) {
    frame.payloads.push_back(share(to_bytes(part(i))));
  }
  return frame;
}

std::optional<Incoming> receive(zmq::socket_t& socket, bool from_router) {
  Incoming incoming;
  bool first = true;
  bool more = true;
  while (more) {
    zmq::message_t part;
    // Only the first part can be missing: libzmq hands out whole messages.
    if (zmq_msg_recv(part.handle(), socket.handle(), ZMQ_DONTWAIT) < 0) return std::nullopt;
    more = part.more();
    if (first && from_router) {
      incoming.route.assign(static_cast<const char*>(part.data()), part.size());
    } else if (incoming.parts.size() < kPartsMax) {
      incoming.parts.push_back(std::move(part));
    } else {
      incoming.too_many_parts = true;
    }
    first = false;
  }
  if (incoming.parts.empty()) return incoming;
  zmq_msg_t* last = incoming.parts.back().handle();
  if (const char* user = zmq_msg_gets(last, "User-Id")) {
    if (const auto bytes = from_hex(user)) incoming.key = to_array<32>(*bytes);
  }
  incoming.fd = zmq_msg_get(last, ZMQ_SRCFD);
  return incoming;
}

bool send_hello(zmq::socket_t& socket, const RoutingId& route, const Bytes& hello) {
  if (!route.empty()) {
    zmq::message_t id(route.data(), route.size());
    if (!send_part(socket, id, true)) return false;
  }
  zmq::message_t part(hello.data(), hello.size());
  return send_part(socket, part, false);
}

SendOutcome send_frame(zmq::socket_t& socket, const RoutingId& route, wire::Frame frame,
                       const std::shared_ptr<Flow>& flow) {
  const std::size_t small = frame.header.size() + frame.signature.size();
  zmq::message_t header = shared_part(share(std::move(frame.header)), flow, small);
  std::vector<zmq::message_t> payloads;
  for (SharedBytes& payload : frame.payloads) {
    const std::size_t size = payload->size();
    payloads.push_back(shared_part(std::move(payload), flow, size));
  }
  zmq::message_t signature(frame.signature.data(), frame.signature.size());

  // libzmq decides at the first part: what follows it goes the same way without waiting.
  const auto outcome = [] {
    return zmq_errno() == EHOSTUNREACH ? SendOutcome::kGone : SendOutcome::kFull;
  };
  if (!route.empty()) {
    zmq::message_t id(route.data(), route.size());
    if (!send_part(socket, id, true)) return outcome();
  }
  if (!send_part(socket, header, true)) return outcome();
  bool sent = send_part(socket, signature, !payloads.empty());
  for (std::size_t i = 0; sent && i < payloads.size(); ++i) {
    COSHARD_FAILPOINT("message.half");
    sent = send_part(socket, payloads[i], i + 1 < payloads.size());
  }
  return sent ? SendOutcome::kQueued : SendOutcome::kGone;
}

Result<std::unique_ptr<zmq::socket_t>> make_monitor(zmq::context_t& context,
                                                    zmq::socket_t& watched) {
  static std::atomic<std::uint64_t> counter{0};
  const std::string address = "inproc://coshard-monitor-" + std::to_string(++counter);
  const int events = ZMQ_EVENT_DISCONNECTED | ZMQ_EVENT_CLOSED |
                     ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL | ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL |
                     ZMQ_EVENT_HANDSHAKE_FAILED_AUTH;
  COSHARD_ASSIGN(auto monitor, make_socket(context, ZMQ_PAIR));
  if (zmq_socket_monitor(watched.handle(), address.c_str(), events) != 0 ||
      zmq_connect(monitor->handle(), address.c_str()) != 0) {
    return fail(ErrorCode::kInternal,
                std::string("libzmq monitors no socket: ") + zmq_strerror(zmq_errno()));
  }
  return monitor;
}

std::optional<SocketEvent> next_event(zmq::socket_t& monitor) {
  const auto incoming = receive(monitor, false);
  if (!incoming || incoming->parts.empty() || incoming->part(0).size() != 6) return std::nullopt;
  std::uint16_t event = 0;
  std::uint32_t value = 0;  // both in the machine's byte order
  std::memcpy(&event, incoming->part(0).data(), sizeof event);
  std::memcpy(&value, incoming->part(0).data() + sizeof event, sizeof value);
  if (event != ZMQ_EVENT_DISCONNECTED) {
    return SocketEvent{SocketEvent::Kind::kFailed, -1, ending_of(event)};
  }
  return SocketEvent{SocketEvent::Kind::kDisconnected, static_cast<int>(value), ending_of(event)};
}

}  // namespace coshard::transport
