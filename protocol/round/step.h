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
#include "protocol/round/repair.h"
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
  /// Microbatches that nobody was granted.
  std::uint32_t ungranted() const;
  /// Of stage 0: given to a node, and those of them that are not done.
  struct Load {
    std::uint32_t given = 0, open = 0;
  };
  std::map<NodeId, Load> loads() const;
  /// `node` says that it accumulated a unit of `stage`.
  Entry done(StageIndex stage, const NodeId& node, const UnitDone& unit);
  /// Every microbatch of `stage` is done.
  bool complete(StageIndex stage) const;
  /// Closes a complete stage: its replicas, in replica order, average over its contributors.
  const StageClosed& close(StageIndex stage, std::vector<NodeId> replicas,
                           std::vector<NodeId> joiners);
  /// `node` of `stage` is fenced: its units reopen, unless the stage is averaging: then it depends
  /// on settle().
  void lose(StageIndex stage, const NodeId& node);
  /// Of a closed stage that has lost a replica since: with `holders`, who say that they have the
  /// whole average, or with reports of such, nothing reopens, and closed() names them. Without any
  /// the averaging is void, and the units of all who are gone reopen.
  void settle(StageIndex stage, const std::vector<NodeId>& holders);
  /// `node` says that it holds the average of a closed stage.
  Entry averaged(const NodeId& node, const AverageReport& report);
  /// What cannot be, or not together with what others hold.
  struct Misfit {
    NodeId node;
    std::string what;
  };
  /// An empty book becomes what its members hold of the step, by node: the coordinator that kept
  /// the one before is gone. Of no use where somebody does not fit in.
  std::optional<Misfit> recall(const std::map<NodeId, Holdings>& held);
  /// Units get new holders: they do them, and nobody else; a microbatch that is granted anew goes
  /// to whoever pulls next.
  void repair(const RepairPlan& plan);

  StepId step() const { return step_; }
  TimePoint opened() const { return opened_; }
  StagePhase phase(StageIndex stage) const;
  /// The word that closed the stage; nothing while it works.
  const StageClosed* closed(StageIndex stage) const;
  /// Closed, and what becomes of it depends on settle().
  bool in_doubt(StageIndex stage) const { return page(stage).in_doubt; }
  bool has_averaged(StageIndex stage, const NodeId& node) const;
  bool all_averaged() const;
  /// Whether the unit is in a sum that counts.
  bool is_done(StageIndex stage, MicrobatchIndex microbatch) const;
  /// Who is expected to do the unit, or did it; at stage 0 who was granted the microbatch.
  std::optional<NodeId> holder(StageIndex stage, MicrobatchIndex microbatch) const;
  /// The highest attempt of any of this microbatch's units.
  Attempt attempt(MicrobatchIndex microbatch) const { return attempts_.at(microbatch.value); }
  /// What repairs of this step have ordered so far.
  const OrderedUnits& ordered() const { return ordered_; }
  std::uint32_t units_done() const;
  std::uint32_t units_done_by(const NodeId& node) const;

  /// Of complete books. Losses add in ascending microbatch order, in double; not finite where any
  /// unit of any stage was not.
  double loss_sum() const;
  std::uint64_t tokens(StageIndex stage) const;
  /// By stage, in chunk order.
  std::vector<std::vector<double>> squared_norms() const;
  std::vector<UnitRecord> units() const;

 private:
  struct Unit {
    std::optional<NodeId> assigned;  ///< granted or ordered to this node: nobody else may do it
    bool ordered = false;            ///< by a repair, not granted
    std::optional<NodeId> node;      ///< who did it
    UnitDone done;
  };
  struct Page {
    std::vector<Unit> units;
    std::uint32_t done = 0;
    Attempt averaging;  ///< of the next close
    std::optional<StageClosed> closed;
    std::vector<NodeId> replicas;  ///< who must end with the average
    bool in_doubt = false;         ///< one of them was lost since
    std::map<NodeId, AverageReport> averages;
  };
  std::optional<Misfit> recall(const NodeId& node, const Holdings& held, const HeldUnit& unit);
  const Page& page(StageIndex stage) const { return pages_.at(stage.value); }

  StepId step_;
  RoundShape shape_;
  TimePoint opened_;
  std::vector<Page> pages_;
  std::vector<Attempt> attempts_;  ///< by microbatch
  OrderedUnits ordered_;
  bool spoilt_ = false;  ///< a unit was not finite, and zeros took its place
};

}  // namespace coshard::round
