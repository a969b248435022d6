// A stage's saved state on its way to somebody else: who may ask a node for it, and for how long.
// The bytes stay with the shell. Pure; home thread: cs-net. Messages: base/messages.h (ReaderList,
// StateAsk, StatePiece, StateRefused).
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>
#include <vector>

#include "protocol/base/clock.h"
#include "protocol/base/error.h"
#include "protocol/base/limits.h"
#include "protocol/base/messages.h"

namespace coshard::round {

/// Who may read, each until its lease ends. The coordinator's book is renewed by those who ask it,
/// a node's by the coordinator's ReaderList.
class ReaderBook {
 public:
  /// Begins or renews a lease. True when the reader is new or has changed: let it in again.
  /// kResourceExhausted: limits::kReadersMax others are there.
  Result<bool> name(const Reader& reader, TimePoint now);
  /// Ends the leases that are over by `now`; whose.
  std::vector<NodeId> expire(TimePoint now);
  /// Forgets one before its time.
  void forget(const NodeId& reader) { readers_.erase(reader); }
  bool holds(const NodeId& reader) const { return readers_.contains(reader); }
  ReaderList list() const;
  bool empty() const { return readers_.empty(); }

 private:
  struct Lease {
    Reader reader;
    TimePoint until;
  };
  std::map<NodeId, Lease> readers_;
};

/// What a node's answer depends on, besides its disk.
struct StateHolder {
  std::string model;
  bool open = false;  ///< weights = "open"
  StageIndex stage;
};

enum class Asker : std::uint8_t {
  kStranger = 0,
  kReader = 1,  ///< named by the coordinator: a copy for people
  kJoiner = 2,  ///< will hold this stage itself
  kMember =
      3,  ///< keeps this stage's sealed shard, or gets its own back: nothing but what is sealed
};

/// Whether `ask` gets an answer with weights in it. kPermissionDenied: the round is protected,
/// which is said by the model's name, or the coordinator has not named who asks; kNotFound: this
/// node holds another stage.
Result<void> may_read(const StateAsk& ask, Asker asker, const StateHolder& holder);

/// The bytes of `ask` that a state of `bytes_total` has. kInvalidArgument when it begins behind
/// their end.
Result<std::uint64_t> piece_bytes(const StateAsk& ask, std::uint64_t bytes_total);

}  // namespace coshard::round
