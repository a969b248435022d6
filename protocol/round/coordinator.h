// The coordinator's machine: admits nodes, opens steps, keeps their books, commits, ends the round.
// It decides; it never sees a tensor, a socket, a clock or a file: events and time come in, actions
// go out, to be executed by the shell in order. States and messages: protocol/README.md, "round".
// Home: cs-net of the coordinator (or the simulation's one thread).
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "protocol/base/clock.h"
#include "protocol/base/limits.h"
#include "protocol/round/events.h"
#include "protocol/round/journal.h"
#include "protocol/round/lr_schedule.h"
#include "protocol/round/membership.h"
#include "protocol/round/settlement.h"
#include "protocol/round/wait.h"
#include "protocol/round/work.h"

namespace coshard::round {

struct CoordinatorConfig {
  RoundShape shape;
  std::uint64_t steps = 1;
  OptimizerConfig optimizer;
  std::uint64_t ledger_epoch_steps = limits::kLedgerEpochSteps;
  std::uint32_t replicas_max = 0;  ///< seats of each stage, for who comes later; at least `shape`'s
  std::uint64_t checkpoint_epochs =
      1;  ///< a checkpoint every so many ledger epochs, and at the end
  std::uint64_t fingerprint_secret = 0;  ///< keys of the parameter digests are drawn from it
  /// Keys under which shards are sealed, each for one stage and step. Secret; null: all zero.
  std::function<SealKey(StageIndex, StepId)> seal_key;
  std::vector<NodeId> allowed;   ///< node keys that may join; empty: anybody
  std::vector<StageNeed> needs;  ///< memory by stage; empty: nobody is asked
  std::uint32_t skips_max = 3;   ///< so many skipped updates in a row pause the round
  /// The journal was brought here: the coordinator that wrote it may live on elsewhere, so that
  /// nobody may be given up who has not been heard: he may obey the other one.
  bool journal_is_copy = false;
  bool roll_back = false;  ///< go on after the last complete checkpoint, whoever lives
  /// How long a round that has lost a stage waits for somebody who holds it; then it ends. Zero: it
  /// ends at once.
  Duration stage_patience = limits::kStagePatience;
  /// How long, after the last admission, a round that is taken up again waits for those who held
  /// its seats; then it goes on with fewer, and where nobody holds a stage any node may get what is
  /// kept of it.
  Duration admission_patience = limits::kAdmissionTimeout;
  /// Replicas move between stages, once that has been best for so long. Nothing: a seat sticks.
  std::optional<Duration> move_patience;
  Generation generation_min;  ///< the next one is the journal's, or this where it is newer
};

enum class ControlVerb : std::uint8_t {
  kPause = 0,   ///< no new step after the open one
  kResume = 1,  ///< go on
  kFinish = 2,  ///< the open step is the last one; the round is finished for ever
  kStop = 3,    ///< drop the open step, save, end; may be resumed
};
struct Control {
  ControlVerb verb = ControlVerb::kPause;
};

using CoordinatorEvent = std::variant<Received, PeerLost, PeerLate, Tick, Control, EpochSettled>;

/// Send to one node. With a Welcome the shell sends the round file (payload 0) and the ledger's
/// genesis entry (payload 1).
struct Send {
  NodeId to;
  Message message;
};

/// Write to the journal; the shell goes on to the next action only when it is durable.
struct Persist {
  JournalRecord record;
};

/// A step is committed (journaled already): for metrics, progress and the ledger.
struct StepCommitted {
  StepRecord record;
};

/// A ledger epoch is over and its digests are in: the shell appends EpochClose and admits the work
/// batches, then says EpochSettled. May come twice for one epoch around a crash: idempotent by
/// number. Epochs are numbered in the order in which they close; one that a stop cut short is not
/// continued after the resume, the next number is taken.
struct EpochFinished {
  LedgerEpoch epoch;
  StepId first_step;
  StepId last_step;
  std::vector<SettledStep> steps;
};

/// Every stage's state after `record.step` is durable (journaled already).
struct CheckpointComplete {
  CheckpointRecord record;
};

/// The last action of a round: the shell lets go out what was sent, then closes. `resumable_step`:
/// the last complete checkpoint's.
struct RoundFinished {
  EndReason reason = EndReason::kFinished;
  std::string text;
  StepId last_step;
  StepId resumable_step;
};

/// `member` has lived on while the coordinator was away: it speaks under its incarnation again.
struct MemberBack {
  Member member;
};

/// `member` is none any more, `why` in a sentence. What it still owes nobody waits for. `expected`:
/// it had asked to leave, or the round is ending.
struct MemberGone {
  Member member;
  std::string why;
  bool expected = false;
};

/// A line for the log and for whoever watches: admissions, losses, complaints.
struct Note {
  std::string text;
};

/// RolledBack is handed out when steps that were committed are given up, and again after a restart
/// while the ledger may not have heard of it.
using CoordinatorAction =
    std::variant<Send, Persist, StepCommitted, EpochFinished, CheckpointComplete, RolledBack,
                 RoundFinished, MemberGone, Note, PeerFault, MemberBack>;
using CoordinatorActions = std::vector<CoordinatorAction>;

enum class CoordinatorPhase : std::uint8_t {
  kAdmitting = 0,  ///< waiting for enough nodes
  kLoading = 1,    ///< everybody is in; waiting until all hold the state to go on from
  kTraining = 2,   ///< a step is open
  kPaused = 3,     ///< between steps, until Control::kResume
  kEnding = 4,     ///< RoundEnd is said; waiting for digests, checkpoints, the ledger
  kEnded = 5,
};

/// For people (`coshard round status`), not for decisions.
struct NodeStatus {
  Member member;
  std::string device;
  std::string software;
  Heartbeat heartbeat;  ///< the last one
  std::uint32_t units_this_step = 0;
};
struct CoordinatorStatus {
  CoordinatorPhase phase = CoordinatorPhase::kAdmitting;
  Generation generation;
  MembershipEpoch epoch;
  StepId last_step;       ///< committed
  StepId newest_step;     ///< the last that was ever committed, given up or not
  StepId resumable_step;  ///< of the last complete checkpoint
  std::uint32_t units_done = 0, units_total = 0;  ///< of the open step, over all stages
  std::uint64_t nodes_lost = 0;                   ///< since this coordinator started
  std::uint64_t microbatches_repaired = 0;        ///< ordered to be done again, likewise
  std::uint64_t nodes_joined = 0;                 ///< became members while the round ran
  std::vector<NodeStatus> nodes;                  ///< by stage, then replica; joiners last
  std::string waiting_for;                        ///< one sentence
  std::vector<Wait> waits;                        ///< each by itself, the most urgent first
};

/// Messages that were ignored, by cause.
struct CoordinatorCounters {
  std::uint64_t stale = 0;     ///< of a step, attempt or phase that is over (or not yet)
  std::uint64_t repeated = 0;  ///< said before
  std::uint64_t stranger = 0;  ///< from somebody who is no member
  std::uint64_t faults = 0;    ///< against the protocol
};

class Coordinator {
 public:
  /// A new round (empty history) or one taken up again: where its members live on, in the step that
  /// was open; else after the last complete checkpoint. Checks the configuration (ours: the round
  /// file was validated before).
  Coordinator(CoordinatorConfig config, const std::vector<JournalRecord>& history);
  ~Coordinator();
  Coordinator(Coordinator&&) noexcept;
  Coordinator& operator=(Coordinator&&) noexcept;

  /// Once, before the first event.
  CoordinatorActions start(TimePoint now);
  CoordinatorActions on(const CoordinatorEvent& event, TimePoint now);

  CoordinatorPhase phase() const;
  CoordinatorStatus status() const;
  const CoordinatorCounters& counters() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace coshard::round
