// Whom a reader believes: logs, witnesses, and how many of them must have cosigned. Pure; any
// thread. Text: c2sp.org/tlog-policy.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ledger/checkpoint.h"

namespace coshard::ledger {

struct PolicyLog {
  NoteKey key;
  std::string url;  ///< empty: not given
};

struct PolicyWitness {
  std::string name;  ///< inside the policy; the key has a name of its own
  NoteKey key;
  std::string url;  ///< submission prefix; empty: not given
};

class Policy {
 public:
  /// `quorum none`, without logs: what a reader has who gives no policy.
  Policy() = default;
  /// kInvalidArgument naming the line and what was expected there.
  static Result<Policy> parse(std::string_view text);

  const std::vector<PolicyLog>& logs() const { return logs_; }
  const std::vector<PolicyWitness>& witnesses() const { return witnesses_; }
  /// False for `quorum none`.
  bool needs_witnesses() const { return quorum_.has_value(); }
  /// Whether a checkpoint that these keys signed has its quorum.
  bool is_met_by(std::span<const NoteKey> signers) const;
  /// "2 of a, b, (any of c, d)", for people.
  std::string describe_quorum() const;

 private:
  friend class PolicyReader;
  /// A witness, or a group of nodes that were defined before it.
  struct Node {
    std::string name;
    std::optional<std::size_t> witness;  ///< place in witnesses_; nothing: a group
    std::size_t threshold = 0;
    std::vector<std::size_t> members;  ///< places in nodes_
    bool is_member = false;            ///< of some group: at most one
  };
  std::string describe(const Node& node) const;
  std::vector<PolicyLog> logs_;
  std::vector<PolicyWitness> witnesses_;
  std::vector<Node> nodes_;
  std::optional<std::size_t> quorum_;
};

/// A checkpoint that a policy accepts.
struct CosignedCheckpoint {
  Checkpoint checkpoint;
  NoteKey log;
  std::vector<std::string> witnesses;  ///< names in the policy of those who cosigned
};

/// Opens a checkpoint file: signed by the log of its origin (one of the policy's; `pinned`, where
/// given, must be that one; a policy without logs takes `pinned`), and cosigned by a quorum. A
/// false signature by any key of the policy refuses it. kPermissionDenied says who is missing;
/// kInvalidArgument: malformed.
Result<CosignedCheckpoint> open_cosigned(std::string_view note, const Policy& policy,
                                         const std::optional<NoteKey>& pinned = std::nullopt);

}  // namespace coshard::ledger
