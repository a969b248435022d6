// One box of a simulated round: the shell around a real Participant. Its engine does nothing but
// take the time that the work costs, its store holds nothing: what a unit computes is of no
// interest here, only when. Home: the simulation's one thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <string>

#include "protocol/round/participant.h"
#include "protocol/sim/line.h"
#include "protocol/sim/scenario.h"

namespace coshard::sim {

using CopyOver = std::function<round::ParticipantEvent(std::string error)>;

/// What a box needs of the world around it.
class BoxWorld {
 public:
  virtual ~BoxWorld() = default;
  virtual TimePoint now() const = 0;
  /// `event` comes to box `box` at `at`.
  virtual void post(std::uint32_t box, TimePoint at, round::ParticipantEvent event) = 0;
  /// `message` of box `from`, with `bytes` of payload, goes out.
  virtual void send(std::uint32_t from, const NodeId& to, Message message, std::uint64_t bytes) = 0;
  /// Box `box` copies a file from these others; `over` is what it hears of it: with an empty
  /// string, or why it came to nothing.
  virtual void copy(std::uint32_t box, const round::FetchState& wanted, CopyOver over) = 0;
};

class Box {
 public:
  Box(std::uint32_t index, std::uint64_t birth, const NodeId& id, const NodeId& coordinator,
      double flops_per_second, const Scenario& scenario, BoxWorld& world);

  void start();
  void handle(const round::ParticipantEvent& event);
  /// At `at` it is gone; what had not left its line by then is lost.
  void lose(TimePoint at) { lost_at_ = at; }

  const std::uint32_t index;
  const std::uint64_t birth;  ///< tells the programs that ran here one after the other apart
  const NodeId id;
  const double flops_per_second;
  Line uplink, downlink;

  bool alive() const { return !lost_at_ && !ended_; }
  bool had_sent(TimePoint left) const { return !lost_at_ || left <= *lost_at_; }
  /// Its machine has ended, and the box is still there.
  bool ended() const { return !lost_at_ && ended_; }
  bool refused() const { return ended_ && ended_->refused && !ended_->again; }
  /// What it did beyond doing every unit once, for repairs.
  double flops_redone() const { return flops_redone_; }
  std::uint64_t faults() const { return faults_; }
  const round::Participant& machine() const { return machine_; }
  Heartbeat heartbeat() const;

 private:
  void execute(const round::ParticipantActions& actions);
  void execute(const round::SendMessage& action);
  void execute(const round::Begin& action);
  void execute(const round::FetchState& action);
  void execute(const round::Compute& action);
  void execute(const round::SendTensor& action);
  void execute(const round::SendChunk& action);
  void execute(const round::ReduceChunk& action);
  void execute(const round::SendAverage& action);
  void execute(const round::SetAverage& action);
  void execute(const round::ApplyUpdate& action);
  void execute(const round::SaveCheckpoint& action);
  void execute(const round::SettleEpoch& action);
  void execute(const round::SealShard& action);
  void execute(const round::KeepShard& action);
  void execute(const round::RestoreShard&) {}
  void execute(const round::PeerFault& action);
  void execute(const round::Ended& action) { ended_ = action; }
  // There are no bytes to keep or to drop, and no connections to make.
  void execute(const round::UseTable&) {}
  void execute(const round::KeepPayload&) {}
  void execute(const round::DropUnit&) {}
  void execute(const round::DropChunks&) {}
  void execute(const round::DropStep&) {}
  void execute(const round::Release&) {}

  /// The engine is through with this after `takes` seconds and all that it was given before.
  void engine(double takes, round::ParticipantEvent done);
  double seconds_of(const round::Work& work) const;
  Duration disk_time() const;  ///< of a checkpoint
  const StageCost& cost() const { return scenario_.stages.at(stage_); }
  std::uint64_t chunk_bytes(ChunkIndex chunk) const { return cost().chunk_bytes.at(chunk.value); }

  const Scenario& scenario_;
  BoxWorld& world_;
  round::Participant machine_;
  std::uint32_t stage_ = 0;
  TimePoint engine_free_at_{};
  std::deque<round::ParticipantEvent> at_once_;  ///< what takes no time, in its turn
  std::optional<TimePoint> lost_at_;
  std::optional<round::Ended> ended_;
  double flops_redone_ = 0;
  std::uint64_t faults_ = 0;
};

}  // namespace coshard::sim
