// Hands out this node's saved state, piece by piece, to those whom the coordinator has named, while
// the round trains on: the checkpoint files that are on disk anyway, read on cs-bulk, a few pieces
// at a time. Who may ask is decided by protocol/round/state_transfer. Home thread: cs-net.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <span>

#include "crypto/identity.h"
#include "node/daemon/bulk_thread.h"
#include "protocol/base/clock.h"
#include "protocol/round/state_transfer.h"
#include "protocol/wire/envelope.h"

namespace coshard::node {

/// What the server reaches of its surroundings; all called on cs-net but `post`.
struct StateServerPorts {
  /// Lets a reader in under this incarnation, or out again.
  std::function<void(const crypto::NodeCertificate&, Incarnation)> admit;
  std::function<void(const NodeId&)> dismiss;
  std::function<Result<void>(const NodeId&, const Message&, std::span<const wire::Payload>)> send;
  /// Bytes on their way to a reader that have not left.
  std::function<std::size_t(const NodeId&)> in_flight;
  /// Runs the function on cs-net; from cs-bulk.
  std::function<void(std::function<void()>)> post;
};

class StateServer {
 public:
  /// `checkpoints` is the folder of this node's stage checkpoints.
  StateServer(std::filesystem::path checkpoints, const Clock& clock, StateServerPorts ports);

  /// What this node holds from now on.
  void hold(round::StateHolder holder) { holder_ = std::move(holder); }
  /// The coordinator's word on who may read. Members of the round are never readers: `is_member`.
  void on_readers(const ReaderList& list, const std::function<bool(const NodeId&)>& is_member);
  bool is_reader(const NodeId& node) const { return readers_.holds(node); }
  /// Who will hold this node's stage too, by the members' table: they may copy it, open or not.
  void set_joiners(std::set<NodeId> joiners);
  /// Whom this node is connected with, by the same table: they may copy what is sealed.
  void set_members(std::set<NodeId> members) { members_ = std::move(members); }
  /// Readers, joiners and members.
  bool serves(const NodeId& node) const {
    return is_reader(node) || joiners_.contains(node) || members_.contains(node);
  }
  /// Answers with a piece, later, or with a refusal, now.
  void on_ask(const NodeId& from, const StateAsk& ask);
  /// The reader's connection ended; it comes back with the coordinator's next word.
  void lost(const NodeId& reader);
  /// Says to every reader that this node lives, and ends leases.
  void heartbeat(const Heartbeat& alive);

  std::uint64_t pieces_sent() const { return pieces_sent_; }

 private:
  void refuse(const NodeId& to, const StateAsk& ask, const Error& why);
  void deliver(const NodeId& to, const StateAsk& ask, std::uint64_t bytes_total,
               Result<wire::Payload> piece);
  std::size_t in_hand_of(const NodeId& reader) const;

  const std::filesystem::path checkpoints_;
  const Clock& clock_;
  const StateServerPorts ports_;
  round::StateHolder holder_;
  round::ReaderBook readers_;
  std::set<NodeId> joiners_, members_;
  std::map<NodeId, std::size_t> in_hand_;  ///< pieces that cs-bulk reads, by who asked
  std::size_t in_hand_total_ = 0;
  std::uint64_t pieces_sent_ = 0;
  BulkThread bulk_;
};

}  // namespace coshard::node
