// Whether a replica had better work in another stage: every microbatch goes through all stages, so
// the weakest one sets the pace. Pure decisions with hysteresis, since a move costs the copy of a
// stage's state and nodes come and go by themselves. Owner: the coordinator.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "protocol/base/clock.h"
#include "protocol/base/ids.h"

namespace coshard::round {

/// Replicas of one stage: the units that each could do per second; 0: not known.
using StageRates = std::vector<double>;

struct Move {
  StageIndex from;
  std::uint32_t replica = 0;  ///< which of StageRates
  StageIndex to;
  bool operator==(const Move&) const = default;
};

/// The move after which the weakest stage is strongest, where that is at least a quarter more than
/// now and the stage that gives keeps somebody. Rates that are not known count as the mean of the
/// known ones. A stage's units differ (embedding, head), so that a replica's rate elsewhere is
/// taken as the mean of the stage that it comes to, scaled by how it compares with its own.
std::optional<Move> best_move(const std::vector<StageRates>& stages);

/// Unless its round says otherwise, a move has to be the best for so long.
inline constexpr Duration kMovePatience = std::chrono::minutes(1);

/// Lets a move happen when it has been the best for limits::kMoveAfterSteps in a row and for
/// `patience`, and limits::kMovePauseSteps or more after the one before.
class Hysteresis {
 public:
  explicit Hysteresis(Duration patience) : patience_(patience) {}
  /// A step is over; `best`: the best move. True: do it now.
  bool step(const std::optional<Move>& best, TimePoint now);

 private:
  Duration patience_;
  std::optional<Move> wanted_;
  TimePoint wanted_since_{};
  std::uint32_t wanted_for_ = 0;  ///< steps
  std::uint32_t rest_ = 0;        ///< steps until the next move
};

}  // namespace coshard::round
