// Courier: sealed messages over a transport. Knows who may speak to this program, under which
// incarnation, and how alive each of them is; counts what it refuses and drops who breaks the
// protocol too often. Shared by daemon and coordinator. Home thread: cs-net. SPDX-License-
// Identifier: Apache-2.0
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "crypto/identity.h"
#include "protocol/base/thread_role.h"
#include "protocol/transport/peer_table.h"
#include "protocol/transport/transport.h"
#include "protocol/wire/envelope.h"

namespace coshard::node {

/// What a peer is to us.
struct Correspondent {
  NodeId node;
  crypto::CurveKey curve_public{};
  Incarnation incarnation;
  bool newer_incarnation_allowed = false;    ///< the coordinator's restarts
  std::optional<Generation> generation_min;  ///< the coordinator's own envelopes
  /// Keep proof of the newest commit and generation that this peer has signed.
  bool words_kept = false;
  /// Losing the connection is losing the peer: what was sent and not read is gone. The coordinator
  /// is not lost that way: everything said to it is repeated.
  bool session_bound = true;
};

struct CourierHandlers {
  /// A message that passed every check. `from` is proved.
  std::function<void(const NodeId& from, wire::Opened)> message;
  /// A correspondent is gone: silence, an ended session, too many faults. Once per admit().
  std::function<void(const NodeId& peer, const std::string& reason)> lost;
  /// For people: "connection refused", and that it works again.
  std::function<void(const transport::PeerEvent&)> link;
  /// A correspondent is suspected: silent for longer than the spread of its heartbeats explains.
  std::function<void(const NodeId& peer)> late{};
};

/// Nanoseconds and counts since the start, for metrics.
struct CourierCounters {
  Duration sealing{};
  Duration opening{};
  std::uint64_t send_failures = 0;
  std::uint64_t breaches = 0;  ///< sound messages that no honest peer sends: what fault() was told
};

/// Bytes exchanged with one peer, payloads and headers.
struct LinkBytes {
  std::uint64_t sent = 0;
  std::uint64_t received = 0;
};

class Courier {
 public:
  /// All arguments outlive the courier. Takes over the transport's handlers.
  Courier(transport::Transport& transport, const crypto::Identity& identity, const Clock& clock,
          CourierHandlers handlers);

  /// The round that is spoken of from now on. Before: nothing but a JoinRequest makes sense.
  void speak_as(NetworkId network, Incarnation incarnation, Generation generation);
  /// Accept JoinRequests of anybody (the coordinator).
  void accept_joins() { joins_accepted_ = true; }

  /// Lets `peer` speak under this incarnation and watches its pulse; a second call replaces the
  /// first. What the peer said under an older incarnation is refused from now on.
  void admit(const Correspondent& peer);
  /// Nobody we know: no connection, no watching, no lost().
  void dismiss(const NodeId& peer);
  bool knows(const NodeId& peer) const { return correspondents_.contains(peer); }

  /// Seals and sends. A failure is counted and returned. kResourceExhausted: no room for the
  /// moment; kUnavailable: a correspondent whose first connection is still to come. Those pass, and
  /// nothing else does: a tensor may be handed over again, everything else the machines repeat.
  Result<void> send(const NodeId& to, const Message& message,
                    std::span<const wire::Payload> payloads = {});

  /// Counts a breach of the protocol in a message that was opened; may end in lost().
  void fault(const NodeId& peer, const std::string& reason);

  /// Everything that time alone changes. Call every limits::kUnitReportInterval.
  void tick();

  /// What a peer with words_kept has signed: its last commit, and its first word as the generation
  /// that it has now. As wire::word_of makes them.
  const std::vector<wire::Payload>& words() const { return words_; }

  transport::PeerState state(const NodeId& peer) const;
  Duration silence(const NodeId& peer) const;
  LinkBytes link_bytes(const NodeId& peer) const;
  /// Breaches of the protocol by this peer since it was admitted.
  std::uint32_t faults(const NodeId& peer) const { return pulse_.faults(peer); }
  const CourierCounters& counters() const { return counters_; }
  /// Frames that were refused, by reason: those of the envelope and, before it, the transport's.
  std::vector<std::pair<std::string, std::uint64_t>> refusals() const;
  std::optional<NetworkId> network() const { return network_; }
  std::string endpoint() const { return transport_.endpoint(); }

 private:
  struct Entry {
    Correspondent peer;
    wire::SenderState sender;
    LinkBytes bytes;
    bool lost = false;
  };
  void handle(const NodeId& from, const wire::Frame& frame);
  void keep_word(const wire::Frame& frame, const wire::Opened& opened);
  void handle_event(const transport::PeerEvent& event);
  void follow(const transport::PeerTransition& change);
  void count_fault(const NodeId& peer, const std::string& reason);
  void give_up(const NodeId& peer, const std::string& reason);
  Entry* find(const NodeId& peer);

  transport::Transport& transport_;
  const crypto::Identity& identity_;
  const Clock& clock_;
  const CourierHandlers handlers_;
  wire::Sealer sealer_;
  std::optional<NetworkId> network_;
  bool joins_accepted_ = false;
  std::map<NodeId, Entry> correspondents_;
  transport::PeerTable pulse_;
  std::vector<wire::Payload> words_;  ///< one of the newest generation first, then the commit
  Generation words_generation_;
  wire::RefusalCounters refusals_;
  CourierCounters counters_;
  ThreadRole net_;
};

}  // namespace coshard::node
