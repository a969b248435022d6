// What peers say to each other, as plain values: the vocabulary that protocol/wire encodes,
// protocol/round decides about and node/ carries. Who says what to whom, and when:
// protocol/README.md. Value types, any thread. A message never holds tensor bytes: those travel as
// payload frames beside it (protocol/wire/envelope.h).
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "protocol/base/commit_scalars.h"
#include "protocol/base/error.h"
#include "protocol/base/ids.h"
#include "protocol/base/messages_keeper.h"
#include "protocol/base/messages_repair.h"
#include "protocol/base/tensor_blob.h"

namespace coshard {

// ---- node -> coordinator

/// A stage checkpoint that the node has on its own disk and can resume from.
struct HeldCheckpoint {
  StageIndex stage;
  StepId step;
  Hash file_hash{};
  bool operator==(const HeldCheckpoint&) const = default;
};

/// The seat that who asks holds already, and what it knows. Incarnation 0: no seat.
struct SeatClaim {
  Incarnation incarnation;
  StepId committed;      ///< the last commit that it has heard
  bool working = false;  ///< it knows of the step after it: that it is open, or units of it
  bool operator==(const SeatClaim&) const = default;
};

/// "Let me in", or with `seat`: "know me again"; repeated until answered. Payload 0 is the
/// certificate; with a seat, proof of the newest commit and generation may follow, as signed.
struct JoinRequest {
  std::string endpoint;  ///< where other nodes reach this one, for example "tcp://10.0.0.7:4601"
  std::string software;  ///< version string, for people
  std::string device;    ///< "cpu", "cuda: NVIDIA H100"
  std::uint64_t memory_bytes = 0;      ///< that a stage may take; 0: unknown
  std::uint64_t flops_per_second = 0;  ///< measured at start; 0: unknown
  std::vector<HeldCheckpoint> checkpoints;
  SeatClaim seat{};
  bool card = false;  ///< computes on a card, whose own memory that is; else on the processor
  bool operator==(const JoinRequest&) const = default;
};

/// What a node is doing, for people (`coshard round watch`).
enum class NodeActivity : std::uint8_t {
  kIdle = 0,
  kComputing = 1,
  kAveraging = 2,
  kUpdating = 3,
  kSaving = 4
};

/// Alive; every limits::kHeartbeatInterval, to the coordinator and to every peer that the node
/// exchanges tensors with.
struct Heartbeat {
  StepId applied_step;  ///< last step whose update this node has applied
  NodeActivity activity = NodeActivity::kIdle;
  std::uint32_t outstanding = 0;        ///< microbatches accepted and not yet finished
  std::uint64_t tokens_per_second = 0;  ///< of this stage, recent
  std::uint64_t boundary_bytes_sent =
      0;  ///< payload bytes of boundary tensors since the start of this incarnation
  std::uint64_t boundary_tokens = 0;  ///< tokens that those bytes carried
  std::uint64_t unit_us = 0;          ///< that a unit takes its engine; 0: not known
  bool operator==(const Heartbeat&) const = default;
};

/// A stage-0 replica can take `slots` microbatches of `step` in all, counted from the step's start:
/// cumulative, so a lost or repeated pull does no harm. `request` grows with each new pull; the
/// coordinator ignores older ones.
struct MicrobatchPull {
  StepId step;
  std::uint32_t slots = 0;
  std::uint64_t request = 0;
  bool operator==(const MicrobatchPull&) const = default;
};

/// One finished unit: forward and backward done and the gradient accumulated.
struct UnitDone {
  MicrobatchIndex microbatch;
  Attempt attempt;
  std::uint64_t tokens = 0;
  double loss_sum = 0;  ///< sum of the token losses; last stage only, 0 elsewhere
  bool operator==(const UnitDone&) const = default;
};

/// All units of this step that the sender has accumulated and that are not acknowledged yet.
/// Repeated until they are.
struct UnitReport {
  StepId step;
  StageIndex stage;
  std::vector<UnitDone> units;
  bool operator==(const UnitReport&) const = default;
};

/// The sender holds the complete average of its stage. Squared norms are per chunk, in chunk order.
struct AverageReport {
  StepId step;
  StageIndex stage;
  Attempt attempt;
  Hash average_hash{};  ///< SHA-256 over the chunk hashes in chunk order
  std::vector<double> squared_norms;
  bool operator==(const AverageReport&) const = default;
};

/// The update of `step` is applied.
struct UpdateReport {
  StepId step;
  StageIndex stage;
  Fingerprint digest{};
  bool operator==(const UpdateReport&) const = default;
};

/// The stage's state after `step` is durable on the sender's disk.
struct CheckpointReport {
  StepId step;
  StageIndex stage;
  Hash file_hash{};
  std::uint64_t bytes = 0;
  std::string error;  ///< empty, or why it could not be written
  bool operator==(const CheckpointReport&) const = default;
};

/// The node's signed work batch of one ledger epoch; the signed bytes travel as payload 0.
struct WorkBatchSubmission {
  LedgerEpoch epoch;
  StageIndex stage;
  bool operator==(const WorkBatchSubmission&) const = default;
};

/// `peer` does not answer or breaks the protocol. Evidence, never a verdict.
struct PeerComplaint {
  NodeId peer;
  StepId step;
  std::string reason;
  bool operator==(const PeerComplaint&) const = default;
};

/// The node is about to stop (SIGTERM).
struct LeaveNotice {
  std::string reason;
  bool operator==(const LeaveNotice&) const = default;
};

// ---- coordinator -> node

/// "You are in." Payload 0: the round file; payload 1: the ledger's genesis entry.
struct Welcome {
  StageIndex stage;
  ReplicaIndex replica;
  Incarnation incarnation;
  MembershipEpoch epoch;
  StepId resume_step;       ///< 0: initial weights; else the checkpoint to load
  Hash resume_file_hash{};  ///< hash of this stage's file of that checkpoint
  /// Where the public log is served ("http://HOST:PORT"); empty: nowhere. A hint for people: what
  /// is read there is verified like any log.
  std::string ledger_url{};
  /// The round is under way: step `resume_step` is still open, and the state after it comes from
  /// those who have it once a StateOffer says so.
  bool joins = false;
  /// The file of `resume_step` is sealed, and comes from its keeper once a ShardReturn says so.
  bool restores = false;
  bool operator==(const Welcome&) const = default;
};

/// "You are not in", or "you are not in any more" (fenced: an ended incarnation).
struct Refused {
  ErrorCode code = ErrorCode::kPermissionDenied;
  std::string reason;
  bool operator==(const Refused&) const = default;
};

struct Member {
  NodeId node;
  StageIndex stage;
  ReplicaIndex replica;
  Incarnation incarnation;
  std::string endpoint;
  Bytes certificate;     ///< crypto::NodeCertificate, as its fixed bytes
  bool joining = false;  ///< copies its stage's state and does no work yet
  bool operator==(const Member&) const = default;
};

/// Who holds which stage from now on. Nodes dial and admit exactly these.
struct MembershipTable {
  MembershipEpoch epoch;
  std::vector<Member> members;
  bool operator==(const MembershipTable&) const = default;
};

/// Step `step` is open to the members of `epoch`.
struct StepOpen {
  StepId step;
  MembershipEpoch epoch;
  bool operator==(const StepOpen&) const = default;
};

struct GrantedMicrobatch {
  MicrobatchIndex microbatch;
  Attempt attempt;
  bool operator==(const GrantedMicrobatch&) const = default;
};

/// Answer to a pull: these are yours, all of this step so far, in ascending order.
struct MicrobatchGrant {
  StepId step;
  std::uint64_t request = 0;
  std::vector<GrantedMicrobatch> microbatches;
  bool operator==(const MicrobatchGrant&) const = default;
};

/// The coordinator has these units; the sender of the report may forget about them.
struct UnitAck {
  StepId step;
  StageIndex stage;
  std::vector<MicrobatchIndex> microbatches;
  bool operator==(const UnitAck&) const = default;
};

/// Microbatches in `node`'s sum that count.
struct Contribution {
  NodeId node;
  std::vector<MicrobatchIndex> microbatches;
  bool operator==(const Contribution&) const = default;
};

/// The stage's book of this step is closed: average, over exactly these contributions, `tokens` in
/// all.
struct StageClosed {
  StepId step;
  StageIndex stage;
  Attempt attempt;
  std::uint64_t tokens = 0;
  std::vector<Contribution> contributions;  ///< in replica order; the order of the sum
  std::vector<NodeId> reducers;   ///< chunk c is reduced by reducers[c % reducers.size()]; who must
                                  ///< end with the average
  std::vector<NodeId> joiners{};  ///< to whom reducers send the average as well
  /// Not empty: a reducer or contributor is gone, and these have every chunk of this attempt's
  /// average. Whoever lacks some asks them (AverageAsk).
  std::vector<NodeId> holders{};
  bool operator==(const StageClosed&) const = default;
};

/// To one that joins: its stage's state after a step is saved, and replicas of the stage hand it
/// out (StateAsk). Every average of a later step comes by itself.
struct StateOffer {
  ShardFile file;
  bool operator==(const StateOffer&) const = default;
};

/// Apply the update. Written to the journal before it is said. `checkpoint`: save the state after
/// it.
struct Commit {
  CommitScalars scalars;
  bool checkpoint = false;
  bool ends_ledger_epoch = false;
  LedgerEpoch ledger_epoch;
  bool operator==(const Commit&) const = default;
};

enum class EndReason : std::uint8_t {
  kFinished = 0,
  kStopped = 1,
  kNodeLost = 2,
  kNotFinite = 3,
  kInternal = 4
};

/// The round is over. The open step, if any, is dropped; with `checkpoint`, save the state after
/// `last_step`.
struct RoundEnd {
  EndReason reason = EndReason::kFinished;
  StepId last_step;
  bool checkpoint = false;
  std::string text;
  bool settled = false;  ///< all that nodes had to report is written down: they may go
  bool operator==(const RoundEnd&) const = default;
};

/// Somebody who holds no stage and may read the state of all of them: an export of an open round.
struct Reader {
  NodeId node;
  Incarnation incarnation;
  Bytes certificate;  ///< crypto::NodeCertificate, as its fixed bytes
  bool operator==(const Reader&) const = default;
};

/// Who may read now; all of them, so that a lost or repeated list does no harm. Repeated with every
/// heartbeat while it names somebody: a reader that no list has named for limits::kReaderLease is
/// let in no longer.
struct ReaderList {
  std::vector<Reader> readers;
  bool operator==(const ReaderList&) const = default;
};

// ---- node <-> node

/// The sender takes up to `slots_total` forward tensors of the receiver, counted from the start of
/// both incarnations (so a lost or repeated grant does no harm).
struct SlotGrant {
  std::uint64_t slots_total = 0;
  std::uint64_t unit_us = 0;  ///< its engine's time per unit; 0: unknown
  Incarnation to;             ///< of the receiver: a later one counts from zero
  bool operator==(const SlotGrant&) const = default;
};

/// Describes payload 0 of a tensor message; checked before memory is allocated.
struct TensorHeader {
  DType dtype = DType::kF32;
  BoundaryEncoding encoding = BoundaryEncoding::kNone;
  Shape shape;
  bool operator==(const TensorHeader&) const = default;
};

/// Output of stage `unit.stage`, going to a replica of the next stage; `unit.attempt` is that of
/// the receiver's unit. Payload 0: the encoded tensor.
struct ForwardTensor {
  Unit unit;
  TensorHeader tensor;
  bool ordered = false;  ///< by the coordinator, for a repair: takes no slot
  bool operator==(const ForwardTensor&) const = default;
};

/// Gradient of the output of stage `unit.stage - 1`, coming back from stage `unit.stage`;
/// `unit.attempt` is that of the receiver's unit. Payload 0: the encoded tensor.
struct BackwardTensor {
  Unit unit;
  TensorHeader tensor;
  std::uint64_t slots_total = 0;  ///< a SlotGrant that rides along
  bool operator==(const BackwardTensor&) const = default;
};

/// The sender's own sum over one chunk, going to the chunk's reducer. Payload 0: fp32 values.
struct GradientChunk {
  StepId step;
  StageIndex stage;
  Attempt attempt;
  ChunkIndex chunk;
  bool operator==(const GradientChunk&) const = default;
};

/// The average of one chunk, from its reducer, or from one that was named as a holder. Payload 0:
/// fp32 values. The signature covers hash and norm: two envelopes with different hashes for one
/// chunk are evidence against the reducer.
struct AveragedChunk {
  StepId step;
  StageIndex stage;
  Attempt attempt;
  ChunkIndex chunk;
  double squared_norm = 0;
  bool operator==(const AveragedChunk&) const = default;
};

/// "Send me these chunks of the average, whoever reduced them." Again until they are there.
struct AverageAsk {
  StepId step;
  StageIndex stage;
  Attempt attempt;
  std::vector<ChunkIndex> chunks;  ///< ascending, at most limits::kAveragingWindow
  bool operator==(const AverageAsk&) const = default;
};

/// Receipts of tensors that the sender sent to the receiver, signed by the sender. Payload 0:
/// ledger::SignedWindow bytes.
struct ReceiptWindow {
  std::uint64_t window = 0;  ///< per sender and receiver, from 0
  bool operator==(const ReceiptWindow&) const = default;
};

/// The same window with the receiver's countersignature. Payload 0: the countersigned bytes.
struct ReceiptCountersigned {
  std::uint64_t window = 0;
  std::string refusal;  ///< empty, or why the receiver does not countersign
  bool operator==(const ReceiptCountersigned&) const = default;
};

/// "Send me `bytes` bytes of your stage's saved state from `offset` on." Idempotent: asked again
/// until answered, of any replica of the stage, since all of them saved the same bytes.
struct StateAsk {
  StepId step;  ///< the state after this step
  StageIndex stage;
  std::uint64_t offset = 0;
  std::uint64_t bytes = 0;
  bool operator==(const StateAsk&) const = default;
};

/// Payload 0: the bytes of the state after `step`, from `offset` on. The envelope's signature
/// covers their SHA-256; the whole state is checked against the hash in the coordinator's
/// checkpoint record.
struct StatePiece {
  StepId step;
  StageIndex stage;
  std::uint64_t offset = 0;
  std::uint64_t bytes_total = 0;  ///< of the whole state
  bool operator==(const StatePiece&) const = default;
};

/// The answer to a StateAsk that gets no piece.
struct StateRefused {
  StepId step;
  StageIndex stage;
  std::uint64_t offset = 0;
  ErrorCode code = ErrorCode::kPermissionDenied;
  std::string reason;
  bool operator==(const StateRefused&) const = default;
};

using Message =
    std::variant<JoinRequest, Heartbeat, MicrobatchPull, UnitReport, UnitRefused, AverageReport,
                 UpdateReport, CheckpointReport, WorkBatchSubmission, PeerComplaint, LeaveNotice,
                 Welcome, Refused, MembershipTable, StepOpen, MicrobatchGrant, UnitAck, StageClosed,
                 Commit, RoundEnd, SlotGrant, ForwardTensor, BackwardTensor, GradientChunk,
                 AveragedChunk, ReceiptWindow, ReceiptCountersigned, ReaderList, StateAsk,
                 StatePiece, StateRefused, Holdings, RepairTaken, RepairOrders, StateOffer,
                 AverageAsk, SealOrder, KeepOrder, ShardSealed, ShardReturn>;

}  // namespace coshard
