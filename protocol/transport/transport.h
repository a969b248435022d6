// What carries frames between peers: the interface that zmq_transport (real sockets) and
// mem_transport (tests, simulation) both keep, and that tests/contract holds them to. Everything
// here belongs to one thread (cs-net).
//
// Promises, of every implementation:
//  - A handler is never called inside send(), connect() or any other call of this interface; it is
//    called later, from the owner's loop.
//  - A frame arrives whole or not at all, and at most once per connection.
//  - Frames between two peers arrive in the order in which they were sent as long as their
//    connection lives (mem_transport breaks this on request). After a loss, nothing that was sent
//    before is delivered on the new connection.
//  - Frames come only from a peer that proved, on this very connection, to hold the operating key
//    whose NodeId the handler is given, and whose CURVE key is the one that the connection was
//    authenticated with. Whether the envelope inside is honest is wire::open()'s question.
//  - send() never blocks and never queues without limit.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "crypto/curve.h"
#include "protocol/base/error.h"
#include "protocol/base/ids.h"
#include "protocol/wire/envelope.h"

namespace coshard::transport {

/// Where a peer listens and which keys it must show.
struct PeerAddress {
  NodeId node;
  std::string endpoint;  ///< "tcp://192.0.2.7:4601"
  crypto::CurveKey curve_public{};
};

enum class PeerEventKind {
  kConnected,    ///< the first connection with this peer is up and proved
  kLost,         ///< the last one is gone; a dialled peer is dialled again with back-off
  kUnreachable,  ///< an attempt to dial failed; more will follow
  kMalformed,    ///< a registered peer sent what is no frame; it was dropped and counted
};

struct PeerEvent {
  PeerEventKind kind = PeerEventKind::kConnected;
  NodeId peer;
  crypto::CurveKey curve_public{};  ///< the key that the connection was authenticated with
  bool registered = true;  ///< false: a stranger under Admission::kOpen, who may only ask to join
  std::string reason;      ///< for people: "connection refused", "not admitted", "closed"
};

/// Who gets through the handshake besides those that allow() named.
enum class Admission {
  kAllowList,  ///< nobody
  kOpen,       ///< anybody, as a stranger: JoinRequest with the channel's own certificate, no more
};

/// What was refused below the envelope, by reason. All counts since the start.
struct TransportCounters {
  std::uint64_t frames_sent = 0;
  std::uint64_t frames_received = 0;
  std::uint64_t bytes_sent = 0;      ///< of all parts of frames
  std::uint64_t bytes_received = 0;  ///< of all parts of frames
  std::uint64_t keys_refused = 0;    ///< CURVE keys that ZAP turned away
  std::uint64_t hellos_refused = 0;  ///< channel bindings that did not hold
  std::uint64_t malformed = 0;       ///< wrong part count or part size
  std::uint64_t unproved = 0;        ///< frames before the channel was proved
  std::uint64_t revoked = 0;         ///< frames of a peer that is no longer allowed
  std::uint64_t not_admitted = 0;    ///< frames of strangers that are no valid JoinRequest
};

/// `from` is proved (see above). The frame is the handler's to keep.
using FrameHandler = std::function<void(const NodeId& from, wire::Frame frame)>;
using PeerEventHandler = std::function<void(const PeerEvent&)>;

class Transport {
 public:
  virtual ~Transport() = default;

  /// Set both before the first connect() or the first turn of the loop.
  virtual void set_handler(FrameHandler handler) = 0;
  virtual void set_event_handler(PeerEventHandler handler) = 0;

  /// Queues a frame. kNotFound: never heard of this peer. kUnavailable: not connected right now.
  /// kResourceExhausted: limits::kBytesInFlightMax or the socket's queue is full; nothing was
  /// queued. kInvalidArgument: a part is larger than this transport carries.
  /// kFailedPrecondition: closed.
  virtual Result<void> send(const NodeId& to, wire::Frame frame) = 0;

  /// Dials, and dials again after each loss with back-off until disconnect(). Dialling a peer that
  /// is being dialled already changes its address. kInvalidArgument: an endpoint that cannot be.
  virtual Result<void> connect(const PeerAddress& peer) = 0;
  /// Stops dialling and drops every connection with this peer, without an event.
  virtual void disconnect(const NodeId& peer) = 0;

  /// Who may connect, and under which key. Allowing again with another key replaces the key.
  virtual void allow(const NodeId& peer, const crypto::CurveKey& curve_public) = 0;
  /// Takes that back: new handshakes are refused, frames on existing connections too.
  virtual void revoke(const NodeId& peer) = 0;
  virtual void set_admission(Admission admission) = 0;

  /// Bytes handed to send() that have not left for the peer's connection yet; 0 for a stranger.
  virtual std::size_t bytes_in_flight(const NodeId& peer) const = 0;
  virtual bool connected(const NodeId& peer) const = 0;

  /// Where others reach this transport, with the port that the kernel chose; empty: nowhere.
  virtual std::string endpoint() const = 0;
  virtual const TransportCounters& counters() const = 0;

  /// Stops everything; no handler is called afterwards. The second call does nothing.
  virtual Result<void> close() = 0;
};

}  // namespace coshard::transport
