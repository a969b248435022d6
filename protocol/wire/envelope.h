// The signed envelope: who says what to whom, once. A frame is multipart,
// [header][signature][payload…]; the header carries the typed message and size and hash of each
// payload, so a payload never enters Protobuf and is never copied here. Pure but for the sender's
// replay state, which the caller owns; any one thread. Bytes: envelope.proto, protocol/README.md.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <functional>
#include <optional>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "crypto/keys.h"
#include "protocol/base/messages.h"
#include "protocol/wire/codec.h"
#include "protocol/wire/replay_window.h"

namespace coshard::wire {

/// Grows when a peer of the old version could misread the new one.
inline constexpr std::uint32_t kWireVersion = 1;

/// What travels. `header` is exactly the signed bytes.
struct Frame {
  Bytes header;
  crypto::Signature signature{};
  std::vector<SharedBytes> payloads;

  /// Bytes of all parts: what a queue counts.
  std::size_t size_bytes() const;
};

struct EnvelopeHeader {
  NetworkId network;  ///< zero (crypto::kNoNetwork) in a JoinRequest of who does not know it yet
  NodeId sender;
  NodeId receiver;
  Incarnation incarnation;     ///< the sender's; 0 in a JoinRequest
  Generation generation;       ///< newest generation of the coordinator that the sender knows
  std::uint64_t sequence = 0;  ///< per sender, receiver and incarnation, from 1
  bool operator==(const EnvelopeHeader&) const = default;
};

/// A payload frame and its SHA-256, which receipts need as well: hashed once on each side.
struct Payload {
  SharedBytes bytes;
  Hash hash{};
};
/// Hashes `bytes` (never null).
Payload hashed(SharedBytes bytes);

/// Signs `message` with `operating`, whose public half must be `header.sender`. Payloads are
/// shared, not copied. kInvalidArgument: a field or a payload size that the other side would
/// refuse. kResourceExhausted: the header would exceed limits::kHeaderBytesMax.
Result<Frame> seal(const crypto::KeyPair& operating, const EnvelopeHeader& header,
                   const Message& message, std::span<const Payload> payloads = {});

/// Why a frame was refused; also the order in which open() checks.
enum class RefusalReason : std::uint8_t {
  kSize,         ///< header too long, too many payloads, a payload too long
  kMalformed,    ///< header is no envelope, or asks for more than the caps
  kVersion,      ///< another wire version
  kNetwork,      ///< another round
  kReceiver,     ///< not meant for us
  kSender,       ///< unknown, or not who the channel belongs to
  kSignature,    ///< not the sender's signature over these bytes
  kIncarnation,  ///< an ended incarnation (or one that nobody announced)
  kGeneration,   ///< from a coordinator that has been replaced
  kReplay,       ///< seen before, or too old to tell
  kPayloadSize,  ///< a payload shorter or longer than the header says
  kPayloadHash,  ///< a payload with other bytes than the header says
  kBody,         ///< the typed message breaks a rule of the codec
};
inline constexpr std::size_t kRefusalReasons = 13;
/// Short stable name for metrics, for example "payload_hash".
std::string_view to_string(RefusalReason reason);

/// How often each reason occurred.
class RefusalCounters {
 public:
  void count(RefusalReason reason) { ++counts_[static_cast<std::size_t>(reason)]; }
  std::uint64_t operator[](RefusalReason reason) const {
    return counts_[static_cast<std::size_t>(reason)];
  }
  std::uint64_t total() const;
  bool operator==(const RefusalCounters&) const = default;

 private:
  std::array<std::uint64_t, kRefusalReasons> counts_{};
};

/// What a receiver knows about a sender. open() changes it only after the signature verified.
struct SenderState {
  Incarnation incarnation;
  /// The coordinator announces its own restarts: a signed newer incarnation replaces the old one.
  bool newer_incarnation_allowed = false;
  /// Refuse older generations (the coordinator's own envelopes).
  std::optional<Generation> generation_min;
  ReplayWindow replay;
};

struct OpenPolicy {
  /// Nothing: not known yet (before Welcome): then the caller compares Opened::header.network with
  /// the genesis entry that came along.
  std::optional<NetworkId> network;
  NodeId receiver;
  /// Who the channel was proved to belong to; nothing where frames are relayed or stored.
  std::optional<NodeId> channel_peer;
  /// A JoinRequest of incarnation 0 passes even from an unknown sender; the admission code checks
  /// the certificate in payload 0. Its network may be crypto::kNoNetwork.
  bool join_allowed = false;
  /// The sender's state, or nullptr when unknown. A NodeId is the operating public key itself.
  std::function<SenderState*(const NodeId&)> sender;
};

struct Opened {
  EnvelopeHeader header;
  Message message;
  std::vector<Payload> payloads;
};

/// Checks everything about a frame in the order of RefusalReason and only then parses the message.
/// A refused frame is counted in `counters` and leaves the sender's state as it was. Codes:
/// kInvalidArgument (size, malformed, version, body), kPermissionDenied (network, receiver, sender,
/// signature, replay), kFailedPrecondition (incarnation, generation: what honest peers say when
/// something was restarted meanwhile), kCorruption (payloads).
Result<Opened> open(const Frame& frame, const OpenPolicy& policy, RefusalCounters& counters);

/// Header and signature of a frame without payloads, as one string of bytes: proof to others of
/// what its sender once said.
Bytes word_of(const Frame& frame);
/// What `signer` said in `network` according to `word`, to whomever and whenever. kInvalidArgument,
/// kPermissionDenied: it is no such proof.
Result<Opened> read_word(ByteView word, NetworkId network, const NodeId& signer);

/// Sender, receiver and kind of a frame, unverified: for routing and for an admission filter only.
struct Peeked {
  EnvelopeHeader header;
  MessageKind kind = MessageKind::kHeartbeat;
};
Result<Peeked> peek(const Frame& frame);

/// The sending side's memory: one identity speaking under one incarnation, numbering its messages
/// per receiver.
class Sealer {
 public:
  /// `operating` outlives this object.
  Sealer(const crypto::KeyPair& operating, NetworkId network, Incarnation incarnation,
         Generation generation = Generation{});

  Result<Frame> seal(const NodeId& to, const Message& message,
                     std::span<const Payload> payloads = {});
  /// After Welcome, or a restart of the coordinator: numbering starts over with a new incarnation.
  void rebind(NetworkId network, Incarnation incarnation, Generation generation);
  const NodeId& self() const { return self_; }
  NetworkId network() const { return network_; }
  Incarnation incarnation() const { return incarnation_; }

 private:
  const crypto::KeyPair& operating_;
  NodeId self_;
  NetworkId network_;
  Incarnation incarnation_;
  Generation generation_;
  std::unordered_map<NodeId, std::uint64_t> last_sequence_;
};

}  // namespace coshard::wire
