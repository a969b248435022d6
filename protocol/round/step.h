// The coordinator's book of one step: who was granted what, which units are done (each exactly
// once), which stages are closed, which averages are there. Owner: the coordinator.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "protocol/base/clock.h"
#include "protocol/base/messages.h"
#include "protocol/round/journal.h"
#include "protocol/round/work.h"

namespace coshard::round {

/// What became of an entry that a node wanted to make in the book.
enum class Entry : std::uint8_t {
  kEntered = 0,
  kRepeated = 1,  ///< it stands there already, the same
  kStale = 2,     ///< of another attempt, or the page is closed
  kFalse = 3,     ///< cannot be: out of range, never granted, false token count
  kConflict = 4,  ///< contradicts what another node said: one of them is wrong
};

/// Where one stage of the step is.
enum class StagePhase : std::uint8_t {
  kWorking = 0,    ///< units are missing
  kAveraging = 1,  ///< closed: every microbatch is done exactly once; replicas average
  kAveraged = 2,   ///< every replica holds the same average
};

class StepBook {
 public:
  StepBook(StepId step, const RoundShape& shape, TimePoint opened);

  /// Stage 0: tops `node` up to `slots_total` microbatches of this step while any are free, lowest
  /// first; returns all that are its own, ascending.
  std::vector<GrantedMicrobatch> grant(const NodeId& node, std::uint32_t slots_total);
  /// `node` says that it accumulated a unit of `stage`.
  Entry done(StageIndex stage, const NodeId& node, const UnitDone& unit);
  /// Every microbatch of `stage` is done.
  bool complete(StageIndex stage) const;
  /// Closes a complete stage: its replicas, in replica order, average over its contributors.
  const StageClosed& close(StageIndex stage, std::vector<NodeId> replicas);
  /// `node` says that it holds the average of a closed stage.
  Entry averaged(const NodeId& node, const AverageReport& report);

  StepId step() const { return step_; }
  TimePoint opened() const { return opened_; }
  StagePhase phase(StageIndex stage) const;
  /// The word that closed the stage; nothing while it works.
  const StageClosed* closed(StageIndex stage) const;
  bool has_averaged(StageIndex stage, const NodeId& node) const;
  bool all_averaged() const;
  std::uint32_t units_done() const;
  std::uint32_t units_done_by(const NodeId& node) const;

  /// Of complete books. Losses add in ascending microbatch order, in double.
  double loss_sum() const;
  std::uint64_t tokens(StageIndex stage) const;
  /// By stage, in chunk order.
  std::vector<std::vector<double>> squared_norms() const;
  std::vector<UnitRecord> units() const;

 private:
  struct Unit {
    Attempt attempt;
    std::optional<NodeId> node;  ///< who did it
    UnitDone done;
  };
  struct Page {
    std::vector<Unit> units;
    std::uint32_t done = 0;
    std::optional<StageClosed> closed;
    std::map<NodeId, AverageReport> averages;
  };
  const Page& page(StageIndex stage) const { return pages_.at(stage.value); }

  StepId step_;
  RoundShape shape_;
  TimePoint opened_;
  std::vector<Page> pages_;
  std::vector<std::optional<NodeId>> granted_;  ///< by microbatch
};

}  // namespace coshard::round
