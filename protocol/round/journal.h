// What the coordinator writes down before it speaks, and how a round is taken up again from it.
// The shell stores records in order and durably (node/coordinator/journal); here they are plain
// values. Owner: whoever owns the coordinator machine.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "protocol/base/messages.h"

namespace coshard::round {

/// A coordinator opened this journal. The generation grows by one each time.
struct RoundOpened {
  Generation generation;
  bool operator==(const RoundOpened&) const = default;
};

/// `node` was let in. Its stage sticks to it for ever; the incarnation is new each time.
struct NodeAssigned {
  NodeId node;
  StageIndex stage;
  ReplicaIndex replica;
  Incarnation incarnation;
  bool operator==(const NodeAssigned&) const = default;
};

/// Who did a unit that counts.
struct UnitRecord {
  StageIndex stage;
  MicrobatchIndex microbatch;
  Attempt attempt;
  NodeId node;
  bool operator==(const UnitRecord&) const = default;
};

/// A committed step: the journal's record, the source of EpochClose and of a line of metrics.
struct StepRecord {
  CommitScalars scalars;  ///< scalars.step names the step
  LedgerEpoch ledger_epoch;
  bool ends_ledger_epoch = false;
  bool checkpoint = false;
  double loss_sum = 0;  ///< of all target tokens; loss of the step = loss_sum / tokens
  std::uint64_t tokens = 0;
  double grad_norm = 0;  ///< before clipping; not finite when the update was skipped for it
  double seconds = 0;    ///< from StepOpen to Commit
  std::vector<UnitRecord> units;  ///< stage by stage, microbatches ascending

  StepId step() const { return scalars.step; }
  double loss() const { return tokens == 0 ? 0 : loss_sum / static_cast<double>(tokens); }
  bool operator==(const StepRecord&) const = default;
};

/// The shell was handed EpochFinished of this epoch.
struct EpochClosed {
  LedgerEpoch epoch;
  bool operator==(const EpochClosed&) const = default;
};

struct StageCheckpoint {
  Hash file_hash{};
  std::uint64_t bytes = 0;
  bool operator==(const StageCheckpoint&) const = default;
};

/// Every stage has the state after `step` on at least one disk. Before any step: the round begins
/// with it.
struct CheckpointRecord {
  StepId step;
  std::vector<StageCheckpoint> stages;
  bool operator==(const CheckpointRecord&) const = default;
};

/// Steps after `to_step` are to be done again, in ledger epochs from `next_epoch` on.
struct RolledBack {
  StepId to_step;
  LedgerEpoch next_epoch;
  bool operator==(const RolledBack&) const = default;
};

/// The round ended. After kFinished it never opens again; after anything else it may be resumed.
struct RoundEnded {
  EndReason reason = EndReason::kFinished;
  std::string text;
  StepId last_step;
  StepId resumable_step;
  bool operator==(const RoundEnded&) const = default;
};

/// `node` is no member any more: what it did and is not committed does not count.
struct NodeGone {
  NodeId node;
  bool operator==(const NodeGone&) const = default;
};

/// All members of the stages agreed on these digests of a committed step, by stage.
struct DigestsAgreed {
  StepId step;
  std::vector<Fingerprint> digests;
  bool operator==(const DigestsAgreed&) const = default;
};

/// The end of the round was decided; nodes hear of it, and RoundEnded follows when they have saved.
struct RoundEnding {
  RoundEnd end;
  bool operator==(const RoundEnding&) const = default;
};

/// `keeper` has it.
struct ShardKept {
  ShardFile sealed;
  NodeId keeper;
  bool operator==(const ShardKept&) const = default;
};

using JournalRecord =
    std::variant<RoundOpened, NodeAssigned, StepRecord, EpochClosed, CheckpointRecord, RolledBack,
                 RoundEnded, NodeGone, DigestsAgreed, RoundEnding, ShardKept>;

/// A rollback of which the ledger may not know yet, and what it has to know before.
struct GivenUp {
  std::vector<StepRecord> unclosed;  ///< steps of epochs without EpochClosed, ascending
  std::map<StepId, std::vector<Fingerprint>> digests;  ///< agreed ones, of these
  std::optional<CheckpointRecord> checkpoint;          ///< that was gone back to
  RolledBack back;
};

/// Where a round stands according to its journal.
struct JournalState {
  Generation generation;                       ///< of the last opening; 0: never opened
  std::map<NodeId, NodeAssigned> seats;        ///< the latest per node
  StepId beginning;                            ///< the round goes on from another's; else 0
  StepId last_step;                            ///< last committed step that was not rolled back
  StepId newest_step;                          ///< the last that was ever committed
  std::optional<CheckpointRecord> checkpoint;  ///< the last complete one
  LedgerEpoch next_epoch;                      ///< the first that no committed step belongs to
  std::vector<StepRecord> unclosed;            ///< steps of epochs without EpochClosed, ascending
  std::vector<GivenUp> given_up;               ///< until an epoch after it is closed
  std::map<StepId, std::vector<Fingerprint>> digests;  ///< agreed ones, of unclosed steps
  std::uint32_t skipped_in_a_row = 0;
  std::optional<RoundEnded> ended;    ///< since the last opening
  std::set<NodeId> members;           ///< who held a seat when the last coordinator stopped
  std::size_t most_members = 0;       ///< that ever held one at the same time
  std::optional<StepRecord> last;     ///< the record of last_step, where it was not rolled back to
  std::optional<StepId> unsaved;      ///< the newest step whose state was to be saved and is not
  std::optional<RoundEnding> ending;  ///< decided, and not done
  std::map<std::pair<StageIndex, StepId>, ShardKept> kept;  ///< of the checkpoint or newer

  /// Where training goes on: the step of the last complete checkpoint, or 0.
  StepId resume_step() const { return checkpoint ? checkpoint->step : StepId(0); }
};

/// Folds the records, oldest first.
JournalState replay(const std::vector<JournalRecord>& history);

}  // namespace coshard::round
