// The log's side of witnessing: whom to ask for a cosignature and when, what their answers mean,
// and when a checkpoint has its quorum. A pure machine: others carry the requests; lives on the
// log's thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "ledger/policy.h"
#include "ledger/tiles.h"
#include "ledger/witness.h"
#include "protocol/base/clock.h"

namespace coshard::ledger {

/// A body for POST <url>/add-checkpoint.
struct WitnessRequest {
  std::size_t witness = 0;  ///< place in the policy
  std::string body;
};

/// What came back; status 0: nothing did, and `body` says why.
struct WitnessReply {
  std::size_t witness = 0;
  int status = 0;
  std::string body;
};

class WitnessDesk {
 public:
  /// kInvalidArgument when the quorum cannot be met by the witnesses that have an URL, or the
  /// policy lists logs and not this one.
  static Result<WitnessDesk> open(Policy policy, const NoteKey& log);

  /// A newly signed checkpoint; what is missing of the one before is given up.
  void submit(const Checkpoint& checkpoint, std::string note);

  /// What to send now: to everybody who has not cosigned, is not asked already, and is not being
  /// left alone for a while after a failure. `hashes` holds the submitted checkpoint's leaves.
  std::vector<WitnessRequest> due(TimePoint now, const LevelHashes& hashes);

  /// The note with all cosignatures so far, when this answer is a new one and the quorum is met.
  /// kCorruption: the witness remembers more, or another history, than this log has: an old copy
  /// was restored, and nothing may be signed any more (reference ledger.md T3).
  Result<std::optional<std::string>> take(const WitnessReply& reply, TimePoint now);

  /// Whether the submitted checkpoint has its quorum; true when none was submitted.
  bool is_met() const;
  /// Who has not answered the submitted checkpoint, and why, in one line; empty: nobody.
  std::string complaint() const;
  const Policy& policy() const { return policy_; }

 private:
  struct Seat {
    std::uint64_t known_size = 0;  ///< of this log, as the witness told
    bool in_flight = false;
    std::uint64_t asked_old = 0, asked_size = 0;
    bool cosigned = false;
    TimePoint not_before{};
    Duration pause{};
    std::uint32_t conflicts = 0;  ///< in a row
    std::string trouble;
  };
  explicit WitnessDesk(Policy policy) : policy_(std::move(policy)) {
    seats_.resize(policy_.witnesses().size());
  }
  void postpone(Seat& seat, TimePoint now, std::string trouble);
  Result<void> take_conflict(const WitnessReply& reply, TimePoint now);
  tl::unexpected<Error> other_history(std::size_t witness, const std::string& what) const;

  Policy policy_;
  std::vector<Seat> seats_;
  std::optional<Checkpoint> checkpoint_;
  std::string note_;
  std::string lines_;
};

}  // namespace coshard::ledger
