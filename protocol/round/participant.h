// The node's machine: joins, holds one stage, moves microbatches through it, averages with the
// stage's other replicas, applies what the coordinator commits. Events and time come in, actions go
// out, to be executed by the shell in order. It never touches a tensor: the shell holds bytes under
// the keys named here. States and messages: protocol/README.md, "round".
// Home: cs-net of the node (or the simulation's one thread). SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "protocol/base/clock.h"
#include "protocol/base/limits.h"
#include "protocol/round/events.h"
#include "protocol/round/work.h"

namespace coshard::round {

struct ParticipantConfig {
  NodeId self;
  NodeId coordinator;
  JoinRequest join;                ///< sent until answered; the shell attaches the certificate
  std::uint32_t engine_depth = 2;  ///< Compute actions that may be unanswered at once, >= 1
  std::uint32_t in_flight_extra = limits::kInFlightExtra;
};

// ---- events -------------------------------------------------------------------------------------

/// Answer to Begin: the engine holds the stage in the state after Welcome::resume_step.
struct StageReady {
  RoundShape shape;
  Schedule schedule = Schedule::kOneForwardOneBackward;
  std::uint32_t chunks = 0;  ///< averaging chunks of this stage
};

/// Answer to Begin: it cannot (no such checkpoint, too little memory). The node leaves.
struct StageFailed {
  std::string reason;
};

/// Answer to Compute. `error` empty: the result is in the shell's hands under the unit's key (and
/// the gradient is accumulated, where `work.op` is not kForward). Not finite is no error: the
/// commit skips the update.
struct ComputeDone {
  Work work;
  std::uint64_t tokens = 0;  ///< target tokens of the microbatch
  double loss_sum = 0;       ///< last stage only
  std::string error;         ///< why the input was refused (false shape, not decodable)
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

/// The engine or the device failed for good. The node leaves.
struct EngineFailed {
  std::string reason;
};

/// The operator asks the node to stop (SIGTERM).
struct LeaveRequested {
  std::string reason;
};

using ParticipantEvent = std::variant<Received, PeerLost, Tick, EpochSettled, StageReady,
                                      StageFailed, ComputeDone, ChunkReduced, AverageSet,
                                      UpdateApplied, CheckpointSaved, EngineFailed, LeaveRequested>;

// ---- actions ------------------------------------------------------------------------------------

/// A boundary tensor, named by the unit that made it: inputs carry the neighbour's stage, outputs
/// our own.
struct TensorKey {
  Unit unit;
  Direction direction = Direction::kForward;
  auto operator<=>(const TensorKey&) const = default;
};

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

/// Dial and admit exactly these members from now on.
struct UseTable {
  MembershipTable table;
};

/// Keep payload 0 of the message that is being handled under `key`. A payload for which this is not
/// asked is dropped.
struct KeepPayload {
  PayloadKey key;
};

/// Run on the engine, in the order of these actions. Inputs: kForward and kForwardLoss of stage > 0
/// take {unit with stage - 1, kForward}; kBackward takes {unit with stage + 1, kBackward}. Results:
/// {unit, kForward}, or {unit, kBackward} where stage > 0.
struct Compute {
  Work work;
};

/// Send {unit, direction} as ForwardTensor or BackwardTensor; keep the bytes until Release.
struct SendTensor {
  NodeId to;
  Unit unit;
  Direction direction = Direction::kForward;
  std::uint64_t slots_total = 0;  ///< rides along where direction is kBackward
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

/// Update parameters with the average that was set (unless scalars.skip), clear the gradient sum,
/// compute the digest under scalars.fingerprint_key.
struct ApplyUpdate {
  CommitScalars scalars;
};

/// Save the state after `step`. No ApplyUpdate comes before the answer.
struct SaveCheckpoint {
  StepId step;
};

/// Forget every sum, stash, payload and average of `step`, which will not commit. Parameters stay.
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
struct Ended {
  EndReason reason = EndReason::kFinished;
  std::string text;
  bool refused = false;
};

using ParticipantAction =
    std::variant<SendMessage, Begin, UseTable, KeepPayload, Compute, SendTensor, SendChunk,
                 ReduceChunk, SendAverage, SetAverage, ApplyUpdate, SaveCheckpoint, DropStep,
                 Release, SettleEpoch, PeerFault, Ended>;
using ParticipantActions = std::vector<ParticipantAction>;

enum class ParticipantPhase : std::uint8_t {
  kJoining = 0,   ///< asking to be let in
  kLoading = 1,   ///< let in; the engine is being built
  kTraining = 2,  ///< holds its stage
  kEnding = 3,    ///< RoundEnd came; saving, reporting, settling
  kEnded = 4,
};

/// Messages that were ignored, by cause.
struct ParticipantCounters {
  std::uint64_t stale = 0;
  std::uint64_t repeated = 0;
  std::uint64_t stranger = 0;
  std::uint64_t faults = 0;
};

class Participant {
 public:
  explicit Participant(ParticipantConfig config);
  ~Participant();
  Participant(Participant&&) noexcept;
  Participant& operator=(Participant&&) noexcept;

  /// Once, before the first event: asks to be let in.
  ParticipantActions start(TimePoint now);
  ParticipantActions on(const ParticipantEvent& event, TimePoint now);

  ParticipantPhase phase() const;
  /// What the shell puts into its next heartbeat; rates and bytes are the shell's to add.
  Heartbeat heartbeat() const;
  const ParticipantCounters& counters() const;
  /// Where this node sits, once it was let in.
  std::optional<Welcome> seat() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace coshard::round
