// The node's machine: joins, holds one stage, moves microbatches through it, averages with the
// stage's other replicas, applies what the coordinator commits. Events and time come in, actions go
// out, to be executed by the shell in order. It never touches a tensor: the shell holds bytes under
// the keys named here. States and messages: protocol/README.md, "round".
// Home: cs-net of the node (or the simulation's one thread).
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "protocol/base/clock.h"
#include "protocol/base/limits.h"
#include "protocol/round/participant_events.h"
#include "protocol/round/wait.h"

namespace coshard::round {

struct ParticipantConfig {
  NodeId self;
  NodeId coordinator;
  JoinRequest join;                ///< sent until answered; the shell attaches the certificate
  std::uint32_t engine_depth = 2;  ///< Compute actions that may be unanswered at once, >= 1
  std::uint32_t in_flight_extra = limits::kInFlightExtra;
  Duration coordinator_patience = limits::kCoordinatorPatience;  ///< then silence is an end
};

enum class ParticipantPhase : std::uint8_t {
  kJoining = 0,   ///< asking to be let in
  kLoading = 1,   ///< let in; the engine is being built
  kTraining = 2,  ///< holds its stage
  kEnding = 3,    ///< RoundEnd came; saving, reporting, settling
  kEnded = 4,
  kCatchingUp = 5,  ///< let in while the round runs; copies and replays until it is where all are
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
  /// How long the coordinator has been silent, where that is longer than it should be.
  std::optional<Duration> coordinator_silence(TimePoint now) const;
  /// What it waits for, the most urgent first; for people.
  std::vector<Wait> waits() const;
  /// Where this node sits, once it was let in.
  std::optional<Welcome> seat() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace coshard::round
