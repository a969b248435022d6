// A node that joins while the round runs. It notes every average and every commit that comes after
// the state that it is going to get, replays them on that state, and then is where everybody is:
// nobody makes a frozen copy and nobody stops. Replayed is exact: the update is the same arithmetic
// on the same bytes as at the stage's other replicas. Pure; owner: the participant.
//
//   waiting for the state ──loaded()──> idle ──a whole step is noted──> setting ──> applying ──┐
//                                         ^────────────────────────────────────────────────────┘
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "protocol/base/messages.h"
#include "protocol/round/participant_events.h"
#include "protocol/round/pipeline.h"

namespace coshard::round {

class CatchUp {
 public:
  /// `from`: the step whose state was promised; what is noted begins after it.
  explicit CatchUp(StepId from) : heard_(from) {}

  /// The coordinator's words about the own stage. An error: a step before it was missed, and what
  /// is noted cannot be replayed.
  ParticipantActions closed(const StageClosed& message);
  Result<void> committed(const Commit& message, TimePoint now);
  /// kAccepted: keep the payload, under the key of this chunk.
  Arrival average_arrived(const NodeId& from, const AveragedChunk& chunk);
  /// A replica that knows already that this node works from the next step on.
  Arrival contribution_arrived(const NodeId& from, const GradientChunk& chunk);

  /// The engine holds the state after `step`, of `chunks` averaging chunks; what is noted of it and
  /// before is of no use.
  ParticipantActions loaded(StepId step, std::uint32_t chunks);
  bool is_loaded() const { return applied_.has_value(); }
  /// The next thing to do, if any: SetAverage.
  ParticipantActions advance();
  ParticipantActions average_set(const AverageSet& event);
  ParticipantActions update_applied(StepId step);

  /// The state that the engine holds; after loaded().
  StepId applied() const { return *applied_; }
  /// The last commit heard.
  StepId heard() const { return heard_; }
  /// A committed step that has not been whole for `patience`, or of which something is missing from
  /// a reducer that is not `present`: its averages will not come any more.
  bool is_stuck(TimePoint now, Duration patience,
                const std::function<bool(const NodeId&)>& present) const;

  /// Lets go of everything that is noted.
  ParticipantActions drop();

  /// What came early of the step that this node works on first.
  struct Early {
    std::optional<StageClosed> closed;
    std::map<Attempt, std::vector<std::pair<NodeId, ChunkIndex>>> contributions;
    std::map<Attempt, std::map<ChunkIndex, std::pair<NodeId, double>>> averages;
  };
  Early take_early(StepId step);

 private:
  enum class Doing : std::uint8_t { kNothing, kSetting, kApplying };
  struct Noted {
    std::optional<Commit> commit;
    TimePoint committed_at{};
    Early early;
  };
  /// Nothing for steps that are applied, or too far ahead to be true.
  Noted* find(StepId step);
  bool is_here(const Noted& noted, ChunkIndex chunk) const;
  bool is_whole(const Noted& noted) const;

  StepId heard_;
  std::optional<StepId> applied_;
  std::uint32_t chunks_ = 0;
  Doing doing_ = Doing::kNothing;
  std::map<StepId, Noted> noted_;
};

/// Whether a link that brought `bytes` in `elapsed` can keep up with a stage whose averaged
/// gradient of `gradient_bytes` comes every `step`: it needs twice as much, half for what comes and
/// half to catch up (design 3.3). kResourceExhausted with both figures otherwise.
Result<void> check_link(std::uint64_t bytes, Duration elapsed, std::uint64_t gradient_bytes,
                        Duration step);

}  // namespace coshard::round
