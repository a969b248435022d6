// What the node's machine hears (from its shell: engine, transport, operator) and what it asks the
// shell to do. Values only. Actions are executed in the order in which they come; those for the
// engine stand before those for the network, so that the engine never idles behind a socket.
// Any thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "protocol/base/clock.h"
#include "protocol/round/events.h"
#include "protocol/round/work.h"

namespace coshard::round {

/// A boundary tensor, named by the unit that made it: inputs carry the neighbour's stage and our
/// own unit's attempt, outputs our own stage.
struct TensorKey {
  Unit unit;
  Direction direction = Direction::kForward;
  auto operator<=>(const TensorKey&) const = default;
};

// ---- events -------------------------------------------------------------------------------------

/// Answer to Begin: the engine holds the stage in the state after Welcome::resume_step.
struct StageReady {
  RoundShape shape;
  Schedule schedule = Schedule::kOneForwardOneBackward;
  std::uint32_t chunks = 0;  ///< averaging chunks of this stage
  Fingerprint digest{};      ///< of the loaded parameters, under a key of zeros
};

/// Answer to Begin: it cannot (no such checkpoint, too little memory). The node leaves.
struct StageFailed {
  std::string reason;
};

/// Answer to Compute. `error` empty: the result is in the shell's hands under the unit's key (and
/// the gradient is accumulated, where `work.op` is not kForward). A blank unit says a loss that is
/// not finite.
struct ComputeDone {
  Work work;
  std::uint64_t tokens = 0;             ///< target tokens of the microbatch
  double loss_sum = 0;                  ///< last stage only
  std::string error;                    ///< why there is no result
  UnitFault fault = UnitFault::kInput;  ///< where there is none
};

/// An output that was kept in case a neighbour dies had to make room, or is gone although an action
/// wanted it sent (`wanted`).
struct OutputEvicted {
  TensorKey key;
  bool wanted = false;
};

/// Answer to ReduceChunk. The shell keeps the averaged bytes and their hash.
struct ChunkReduced {
  StepId step;
  Attempt attempt;
  ChunkIndex chunk;
  double squared_norm = 0;
};

/// Answer to SetAverage. `average_hash`: SHA-256 over the chunk hashes in chunk order.
struct AverageSet {
  StepId step;
  Attempt attempt;
  Hash average_hash{};
};

/// Answer to ApplyUpdate.
struct UpdateApplied {
  StepId step;
  Fingerprint digest{};
};

/// Answer to SaveCheckpoint. `error` empty: durable.
struct CheckpointSaved {
  StepId step;
  Hash file_hash{};
  std::uint64_t bytes = 0;
  std::string error;
};

/// Pieces of the state that FetchState asked for have come: so many bytes of `bytes_total` since it
/// was asked for.
struct StateProgress {
  std::uint64_t bytes = 0;
  std::uint64_t bytes_total = 0;
  Duration elapsed{};
};

/// Answer to FetchState. `error` empty: its file lies where Begin looks for it.
struct StateFetched {
  StepId step;
  std::string error;
};

/// Answer to SealShard and KeepShard.
struct ShardHandled {
  ShardSealed answer;
};

/// The engine or the device failed for good. The node leaves.
struct EngineFailed {
  std::string reason;
};

/// The operator asks the node to stop (SIGTERM).
struct LeaveRequested {
  std::string reason;
};

/// There is a new connection with the coordinator: what was said on the one before may be lost, and
/// who listens now may know nothing of us.
struct CoordinatorDialled {};

using ParticipantEvent =
    std::variant<Received, PeerLost, Tick, EpochSettled, StageReady, StageFailed, ComputeDone,
                 OutputEvicted, ChunkReduced, AverageSet, UpdateApplied, CheckpointSaved,
                 StateProgress, StateFetched, ShardHandled, EngineFailed, LeaveRequested,
                 CoordinatorDialled>;

// ---- actions ------------------------------------------------------------------------------------

/// A chunk that came from `from`: its contribution, or the average that it reduced.
struct ChunkKey {
  StepId step;
  Attempt attempt;
  ChunkIndex chunk;
  NodeId from;
  bool averaged = false;
  auto operator<=>(const ChunkKey&) const = default;
};
using PayloadKey = std::variant<TensorKey, ChunkKey>;

/// Control message without payload (the shell attaches the certificate to a JoinRequest).
struct SendMessage {
  NodeId to;
  Message message;
};

/// Welcome: build the engine for `welcome.stage` from the round file, load the state, answer
/// StageReady or StageFailed.
struct Begin {
  Welcome welcome;
};

/// Copy the state of the own stage from these nodes, in pieces, checked against the file's hash;
/// answer StateFetched, and StateProgress meanwhile.
struct FetchState {
  ShardFile file;
  std::vector<NodeId> holders;
};

/// Seal the own stage's saved shard into a file beside it; answer ShardHandled.
struct SealShard {
  SealOrder order;
};

/// Copy a neighbouring stage's sealed shard in pieces, checked against its hash, and forget those
/// of that stage before the last one; answer ShardHandled.
struct KeepShard {
  KeepOrder order;
};

/// The same with the own stage's, and open it to where Begin looks for it; answer StateFetched.
struct RestoreShard {
  ShardReturn shard;
};

/// Dial and admit exactly these members from now on.
struct UseTable {
  MembershipTable table;
};

/// Keep payload 0 of the message that is being handled under `key`. A payload for which this is not
/// asked is dropped.
struct KeepPayload {
  PayloadKey key;
};

/// Run on the engine, in the order of these actions. Inputs: every forward of stage > 0
/// take {unit with stage - 1, kForward}; kBackward takes {unit with stage + 1, kBackward}. Results:
/// {unit, kForward}, or {unit, kBackward} where stage > 0.
struct Compute {
  Work work;
};

/// Send {unit, direction} as ForwardTensor or BackwardTensor; keep the bytes until Release. May
/// come again for the same tensor: when it was evicted meanwhile, answer OutputEvicted, wanted.
struct SendTensor {
  NodeId to;
  Unit unit;
  Direction direction = Direction::kForward;
  std::uint64_t slots_total = 0;  ///< rides along where direction is kBackward
  Attempt to_attempt{};           ///< of the receiver's unit: what the message says
  bool ordered = false;           ///< for a repair; what the message says where kForward
};

/// Take chunk `chunk` of the own gradient sum (left untouched) and send it as GradientChunk.
struct SendChunk {
  NodeId to;
  StepId step;
  Attempt attempt;
  ChunkIndex chunk;
};

/// average = (sum of the contributors' chunks in this order) / tokens. The own sum, where self is
/// among the contributors, comes from the engine; the others' are kept payloads, to be dropped
/// after. No contributor at all cannot happen.
struct ReduceChunk {
  StepId step;
  Attempt attempt;
  ChunkIndex chunk;
  std::vector<NodeId> contributors;
  std::uint64_t tokens = 0;
};

/// Send the averaged chunk to each of these as AveragedChunk.
struct SendAverage {
  std::vector<NodeId> to;
  StepId step;
  Attempt attempt;
  ChunkIndex chunk;
  double squared_norm = 0;
};

/// Every averaged chunk is here, reduced or kept: put them together for the update and hash them.
struct SetAverage {
  StepId step;
  Attempt attempt;
};

/// The unit is given back: forget what its forward kept for its backward, if anything.
struct DropUnit {
  Unit unit;
};

/// Forget contributions and averages of an attempt that came to nothing.
struct DropChunks {
  StepId step;
  Attempt attempt;
};

/// Update parameters with the average that was set (unless scalars.skip), clear the gradient sum,
/// compute the digest under scalars.fingerprint_key.
struct ApplyUpdate {
  CommitScalars scalars;
};

/// Copy the state after `step`, in the order of these actions, and save the copy while the engine
/// goes on. One at a time.
struct SaveCheckpoint {
  StepId step;
};

/// Forget every sum, stash, payload and average of `step`, which will not commit; engine work of it
/// that is still queued may be skipped, its answers are ignored. Parameters stay.
struct DropStep {
  StepId step;
};

/// `step` is committed: let go of what was kept for it (tensors sent and received, chunks).
struct Release {
  StepId step;
};

/// Exchange the last receipts of this ledger epoch, make and submit the work batch; then
/// EpochSettled.
struct SettleEpoch {
  LedgerEpoch epoch;
  StageIndex stage;
};

/// The last action: the shell closes in order. `refused` where the coordinator did not let us in.
/// `again`: fenced, or left behind while joining; the node may ask to be let in as a new
/// incarnation.
struct Ended {
  EndReason reason = EndReason::kFinished;
  std::string text;
  bool refused = false;
  bool again = false;
  bool at_once = false;  ///< it lacks nothing: the round goes back to a checkpoint, and waits
};

using ParticipantAction =
    std::variant<SendMessage, Begin, FetchState, UseTable, KeepPayload, Compute, SendTensor,
                 SendChunk, ReduceChunk, SendAverage, SetAverage, DropUnit, DropChunks, ApplyUpdate,
                 SaveCheckpoint, DropStep, Release, SettleEpoch, PeerFault, Ended, SealShard,
                 KeepShard, RestoreShard>;
using ParticipantActions = std::vector<ParticipantAction>;

}  // namespace coshard::round
