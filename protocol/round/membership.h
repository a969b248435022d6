// Who holds which stage: admission to the weakest stage first, seats that stick to an identity,
// incarnations, and the membership epoch, which grows with every change. Who joins while the round
// runs has a seat and is no member until it is promoted. Owner: the coordinator.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "protocol/base/error.h"
#include "protocol/base/messages.h"
#include "protocol/round/journal.h"
#include "protocol/round/work.h"

namespace coshard::round {

/// Members by stage, in replica order.
using StageMembers = std::vector<std::vector<NodeId>>;

/// Bytes of memory that a replica of a stage takes, by what it computes on.
struct StageNeed {
  std::uint64_t processor = 0, card = 0;
};

class Membership {
 public:
  /// `seats`: who was ever let in (journal). `resume`: the checkpoint that members start from; a
  /// node sits only where it holds its file. `replicas_max`: seats of each stage. `before`: every
  /// epoch of this object is a later one. `needs`: by stage; empty: everybody may hold every stage.
  Membership(const RoundShape& shape, std::uint32_t replicas_max, std::vector<NodeId> allowed,
             std::map<NodeId, NodeAssigned> seats, std::optional<CheckpointRecord> resume,
             MembershipEpoch before = {}, std::vector<StageNeed> needs = {});

  /// Lets `node` in and gives it a seat: its old one, or a free one of the stage with the fewest
  /// members among those that its memory holds, of several the one that is slowest in all.
  /// kPermissionDenied: not allowed; kResourceExhausted: no seat free, or too little memory for any
  /// that is; kFailedPrecondition: it lacks the checkpoint of every stage that has one. Not for
  /// members. `trained`: else stages are what their seed makes of them; whose old one is full gets
  /// another.
  Result<NodeAssigned> admit(const NodeId& node, const JoinRequest& request, Bytes certificate,
                             bool trained = true);
  /// The same for one that gets its state from the others (no file is asked for): a seat without
  /// the work.
  Result<NodeAssigned> admit_joiner(const NodeId& node, const JoinRequest& request,
                                    Bytes certificate);
  /// The same as admit() for `stage`, to one that gets the shard from its keeper.
  /// kPermissionDenied: not allowed, or its seat is in another stage; kResourceExhausted: no seat.
  Result<NodeAssigned> admit_restorer(const NodeId& node, const JoinRequest& request,
                                      Bytes certificate, StageIndex stage);
  /// A joiner is a member from now on.
  void promote(const NodeId& node);
  /// `node` sits where the journal has it, under the same incarnation: it has lived on while the
  /// coordinator was away. Not for members.
  const Member& restore(const NodeId& node, const JoinRequest& request, Bytes certificate);
  /// Everybody who ever had a seat of `stage`, in no order.
  std::vector<NodeAssigned> seats_of(StageIndex stage) const;
  /// Its seat, if it was ever let in.
  const NodeAssigned* seat(const NodeId& node) const;
  /// `node`, which is not in, sits at `stage` when it comes again: the one way for a seat not to
  /// stick.
  void reseat(const NodeId& node, StageIndex stage);
  /// Nobody is a member any more, and who comes starts from `resume`.
  void start_over(std::optional<CheckpointRecord> resume);
  /// `node` is no member any more; its seat still sticks. A joiner leaves the epoch as it is:
  /// nobody depends on it.
  void remove(const NodeId& node);
  /// The same members under a new epoch: everybody is to say again what it holds.
  void renew() { changed(); }

  const Member* find(const NodeId& node) const;
  const Member* find_joiner(const NodeId& node) const;
  std::vector<NodeId> joiners() const;
  /// Was let in since this object exists, member or not.
  bool knows(const NodeId& node) const { return admitted_.contains(node); }
  MembershipTable table() const;
  MembershipEpoch epoch() const { return epoch_; }
  /// Members by stage, then replica.
  std::vector<NodeId> nodes() const;
  const StageMembers& by_stage() const { return by_stage_; }
  const std::vector<NodeId>& replicas(StageIndex stage) const { return by_stage_.at(stage.value); }
  std::uint32_t replicas_max() const { return replicas_max_; }
  /// The fewest members of any stage.
  std::uint32_t weakest() const;

 private:
  bool may_hold(const JoinRequest& request, StageIndex stage) const;
  std::string what_is_held(const JoinRequest& request, StageIndex stage) const;
  std::optional<StageIndex> weakest_stage_for(const JoinRequest& request, bool joins) const;
  std::uint64_t need_of(const JoinRequest& request, StageIndex stage) const;
  bool fits(const JoinRequest& request, StageIndex stage) const;
  std::size_t seats_taken(StageIndex stage) const;
  std::uint64_t speed_of(StageIndex stage) const;
  Error no_seat_for(const JoinRequest& request) const;
  NodeAssigned seat(const NodeId& node, const JoinRequest& request, Bytes certificate,
                    StageIndex stage, ReplicaIndex replica, bool joins);
  const Member* sitting(const NodeId& node) const;
  /// After every change: the next epoch, and who sits where.
  void changed();
  std::optional<ReplicaIndex> free_replica(StageIndex stage, ReplicaIndex wanted) const;

  RoundShape shape_;
  std::uint32_t replicas_max_;
  std::vector<NodeId> allowed_;
  std::vector<StageNeed> needs_;
  std::map<NodeId, NodeAssigned> seats_;
  std::optional<CheckpointRecord> resume_;
  MembershipEpoch epoch_;
  std::map<std::pair<StageIndex, ReplicaIndex>, Member> members_;
  StageMembers by_stage_;
  std::set<NodeId> admitted_;
  std::map<NodeId, std::uint64_t> speeds_;  ///< FLOPs per second, as they said
};

}  // namespace coshard::round
