// The few things that we ask of libzmq, without exceptions: sockets with every limit set, whole
// messages in and out, connection events. cs-net. Private to zmq_*.cpp and zap_*.cpp.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "crypto/curve.h"
#include "protocol/base/error.h"
#include "protocol/transport/flow.h"
#include "protocol/wire/envelope.h"

namespace zmq {
class context_t;
class message_t;
class socket_t;
}  // namespace zmq

namespace coshard::transport {

/// A ROUTER that listens as CURVE server: ZAP domain set and enforced, all limits set, not bound.
/// `ipv6`: for an address in brackets; libzmq would show an IPv4 address as [::ffff:192.0.2.7].
Result<std::unique_ptr<zmq::socket_t>> make_listener_socket(zmq::context_t& context,
                                                            const crypto::CurveKeyPair& keys,
                                                            std::size_t payload_bytes_max,
                                                            bool ipv6);
/// A DEALER that dials one CURVE server, whose key is pinned, once: it never reconnects by itself.
Result<std::unique_ptr<zmq::socket_t>> make_dealer_socket(zmq::context_t& context,
                                                          const crypto::CurveKeyPair& keys,
                                                          const crypto::CurveKey& server,
                                                          std::size_t payload_bytes_max);

/// Closes at once; what is still queued is sent for at most `linger`.
void close_socket(std::unique_ptr<zmq::socket_t>& socket, std::chrono::milliseconds linger);

/// A connection of a ROUTER, as libzmq names it.
using RoutingId = std::string;

/// One whole message as it came, not yet copied out of libzmq's memory.
class Incoming {
 public:
  Incoming();
  Incoming(Incoming&&) noexcept;
  ~Incoming();

  RoutingId route;                      ///< of a ROUTER; else empty
  std::optional<crypto::CurveKey> key;  ///< that ZAP let in; nothing on a DEALER
  int fd = -1;                          ///< the connection's, while it lives
  std::vector<zmq::message_t> parts;
  bool too_many_parts = false;  ///< the surplus was dropped

  ByteView part(std::size_t index) const;
  /// [header][signature][payload…] copied out; nothing when parts are missing or too long.
  std::optional<wire::Frame> to_frame(std::size_t payload_bytes_max) const;
};

/// The next whole message, or nothing right now.
std::optional<Incoming> receive(zmq::socket_t& socket, bool from_router);

/// Queues one part, to `route` if that is not empty. False: the queue is full or the route gone.
bool send_hello(zmq::socket_t& socket, const RoutingId& route, const Bytes& hello);

enum class SendOutcome { kQueued, kFull, kGone };
/// Queues a whole frame or nothing, sharing its payloads. Its bytes were taken from `flow` and are
/// given back when libzmq lets go of them, or here when nothing was queued.
SendOutcome send_frame(zmq::socket_t& socket, const RoutingId& route, wire::Frame frame,
                       const std::shared_ptr<Flow>& flow);

/// What happened to a connection.
struct SocketEvent {
  enum class Kind { kDisconnected, kFailed } kind = Kind::kFailed;
  int fd = -1;  ///< kDisconnected: the file descriptor that it had
  std::string reason;
};

/// The events of one socket, as a socket of its own to be watched.
Result<std::unique_ptr<zmq::socket_t>> make_monitor(zmq::context_t& context,
                                                    zmq::socket_t& watched);
std::optional<SocketEvent> next_event(zmq::socket_t& monitor);

}  // namespace coshard::transport
