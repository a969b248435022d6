// What is still owed after a commit: digests of parameters, checkpoints on disks, ledger epochs to
// close. Training does not wait for it, but the next commit waits for the digests of the one
// before.
// Owner: the coordinator.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "protocol/round/journal.h"
#include "protocol/round/membership.h"
#include "protocol/round/step.h"

namespace coshard::round {

/// One step as EpochClose wants it. A digest is missing when nobody lived to report it.
struct SettledStep {
  StepRecord record;
  std::vector<std::optional<Fingerprint>> digests;  ///< by stage
};

class Settlement {
 public:
  explicit Settlement(std::uint32_t stages) : stages_(stages) {}

  void committed(const StepRecord& record);
  /// `node` works from step `first` on: it owes that step's digest and the one before, whose update
  /// it may lack when it comes in, and no checkpoint of an earlier one.
  void joined(const NodeId& node, StepId first) { first_step_[node] = first; }
  /// What the stage's replicas hold after `step`, one of the last two; nothing before one of them
  /// has said so.
  std::optional<Fingerprint> digest_of(StepId step, StageIndex stage) const;
  /// The digests of a committed step, by stage, as all its members had agreed on them before the
  /// coordinator came back: nobody has to report them again.
  void agreed(StepId step, const std::vector<Fingerprint>& digests);
  /// The digests of `step`, once every one of `members` has reported its own and each stage has
  /// one.
  std::optional<std::vector<Fingerprint>> agreement(StepId step, const StageMembers& members) const;
  /// A digest of a step that is owed one. kConflict: replicas of a stage disagree.
  Entry digest(const NodeId& node, const UpdateReport& report);
  bool has_digest(StepId step, const NodeId& node) const;
  /// Every one of `members` has reported the digest of every committed step.
  bool digests_in(const StageMembers& members) const;

  /// The state after `step` is to be saved by all.
  void expect_checkpoint(StepId step);
  bool expects_checkpoint(StepId step) const { return checkpoints_.contains(step); }
  /// kConflict: two files of one stage differ.
  Entry checkpoint(const NodeId& node, const CheckpointReport& report);
  bool has_checkpoint(StepId step, const NodeId& node) const;
  /// The newest checkpoint to which each of `members` has answered and of which each stage has a
  /// file; it and older ones are not expected any more.
  std::optional<CheckpointRecord> take_checkpoint(const StageMembers& members);
  /// A report of `node` about a checkpoint is owed.
  bool awaits(const NodeId& node) const;
  /// Nothing is expected of any of `members`.
  bool checkpoints_in(const StageMembers& members) const;

  /// The oldest epoch that has ended and whose digests are all in (or `now_or_never`); its steps
  /// are handed over and forgotten.
  std::vector<SettledStep> take_epoch(const StageMembers& members, bool now_or_never);
  /// No more steps: the open epoch ends with the last committed one.
  void end_epoch();
  /// Two nodes that disagree, as found by the last kConflict.
  const std::string& conflict() const { return conflict_; }

 private:
  struct Owed {
    StepRecord record;
    bool ends_epoch = false;
    std::vector<std::map<NodeId, Fingerprint>> digests;  ///< by stage
    std::vector<Fingerprint> agreed{};                   ///< by stage; empty: not known
  };
  struct Saving {
    std::vector<std::map<NodeId, CheckpointReport>> reports;  ///< by stage
  };
  const Owed* find(StepId step) const;
  bool digests_in(const Owed& owed, const StageMembers& members) const;
  bool works_on(StepId step, const NodeId& node) const;
  bool answered(StepId step, const Saving& saving, const StageMembers& members) const;

  std::uint32_t stages_;
  std::deque<Owed> steps_;
  std::map<StepId, Saving> checkpoints_;
  std::map<NodeId, StepId> first_step_;                               ///< of those who joined later
  std::map<StepId, std::vector<std::optional<Fingerprint>>> recent_;  ///< digests, by stage
  std::string conflict_;
};

}  // namespace coshard::round
