// Membership: see membership.h.
// SPDX-License-Identifier: Apache-2.0
#include "protocol/round/membership.h"

#include <algorithm>
#include <string>
#include <utility>

#include "protocol/base/check.h"

namespace coshard::round {

Membership::Membership(const RoundShape& shape, std::vector<NodeId> allowed,
                       std::map<NodeId, NodeAssigned> seats, std::optional<CheckpointRecord> resume)
    : shape_(shape),
      allowed_(std::move(allowed)),
      seats_(std::move(seats)),
      resume_(std::move(resume)),
      by_stage_(shape.stages) {}

Result<NodeAssigned> Membership::admit(const NodeId& node, const JoinRequest& request,
                                       Bytes certificate) {
  COSHARD_CHECK(find(node) == nullptr);
  if (!allowed_.empty() && std::find(allowed_.begin(), allowed_.end(), node) == allowed_.end())
    return fail(ErrorCode::kPermissionDenied, "this round admits listed node keys only");
  const auto seat = seats_.find(node);
  const bool returns = seat != seats_.end();
  // A seat sticks: a node that was let in once never gets another stage (design 3.4).
  std::optional<StageIndex> stage;
  if (!returns)
    stage = weakest_stage_for(request);
  else if (may_hold(request, seat->second.stage))
    stage = seat->second.stage;
  if (!stage && resume_ && members_.size() < std::size_t{shape_.stages} * shape_.replicas)
    return fail(ErrorCode::kFailedPrecondition,
                "the round goes on from the checkpoint of step " +
                    std::to_string(resume_->step.value) + ", of which this node holds " +
                    (returns ? what_is_held(request, seat->second.stage) : "no file"));
  const auto replica =
      stage ? free_replica(*stage, returns ? seat->second.replica : ReplicaIndex(0)) : std::nullopt;
  if (!replica)
    return fail(ErrorCode::kResourceExhausted,
                "the round is full: " + std::to_string(shape_.stages) + " stages of " +
                    std::to_string(shape_.replicas) + " replicas are taken");
  const Incarnation incarnation = returns ? seat->second.incarnation.next() : Incarnation(1);
  const NodeAssigned assigned{node, *stage, *replica, incarnation};
  seats_[node] = assigned;
  admitted_.insert(node);
  members_[{*stage, *replica}] =
      Member{node, *stage, *replica, incarnation, request.endpoint, std::move(certificate)};
  changed();
  return assigned;
}

void Membership::remove(const NodeId& node) {
  const Member* member = find(node);
  COSHARD_CHECK(member != nullptr);
  members_.erase({member->stage, member->replica});
  changed();
}

const Member* Membership::find(const NodeId& node) const {
  const auto seat = seats_.find(node);
  if (seat == seats_.end()) return nullptr;
  const auto found = members_.find({seat->second.stage, seat->second.replica});
  return found == members_.end() || found->second.node != node ? nullptr : &found->second;
}

MembershipTable Membership::table() const {
  MembershipTable table{epoch_, {}};
  for (const auto& [place, member] : members_) table.members.push_back(member);
  return table;
}

std::vector<NodeId> Membership::nodes() const {
  std::vector<NodeId> nodes;
  for (const auto& [place, member] : members_) nodes.push_back(member.node);
  return nodes;
}

void Membership::changed() {
  epoch_ = epoch_.next();
  by_stage_.assign(shape_.stages, {});
  for (const auto& [place, member] : members_) by_stage_[place.first.value].push_back(member.node);
}

std::uint32_t Membership::weakest() const {
  std::size_t fewest = shape_.replicas;
  for (std::uint32_t stage = 0; stage < shape_.stages; ++stage)
    fewest = std::min(fewest, replicas(StageIndex(stage)).size());
  return static_cast<std::uint32_t>(fewest);
}

/// A resumed stage needs its file: parameters are not copied between nodes here.
bool Membership::may_hold(const JoinRequest& request, StageIndex stage) const {
  if (!resume_) return true;
  const HeldCheckpoint wanted{stage, resume_->step, resume_->stages.at(stage.value).file_hash};
  const auto& held = request.checkpoints;
  return std::find(held.begin(), held.end(), wanted) != held.end();
}

/// Why `request` cannot hold its old stage again, for a person: the file is missing, or damaged.
std::string Membership::what_is_held(const JoinRequest& request, StageIndex stage) const {
  for (const HeldCheckpoint& held : request.checkpoints) {
    if (held.stage != stage || held.step != resume_->step) continue;
    return "a damaged file: expected SHA-256 " + to_hex(resume_->stages.at(stage.value).file_hash) +
           " of stage-" + std::to_string(stage.value) + ".safetensors, found " +
           to_hex(held.file_hash) + "; put back a sound copy, for example another replica's";
  }
  return "no file for its stage " + std::to_string(stage.value);
}

std::optional<StageIndex> Membership::weakest_stage_for(const JoinRequest& request) const {
  std::optional<StageIndex> best;
  std::size_t fewest = shape_.replicas;  // a stage with that many is full
  for (std::uint32_t stage = 0; stage < shape_.stages; ++stage) {
    const std::size_t members = replicas(StageIndex(stage)).size();
    if (members >= fewest || !may_hold(request, StageIndex(stage))) continue;
    best = StageIndex(stage);
    fewest = members;
  }
  return best;
}

/// `wanted` when it is free, else the lowest free one.
std::optional<ReplicaIndex> Membership::free_replica(StageIndex stage, ReplicaIndex wanted) const {
  if (wanted.value < shape_.replicas && !members_.contains({stage, wanted})) return wanted;
  for (std::uint32_t replica = 0; replica < shape_.replicas; ++replica)
    if (!members_.contains({stage, ReplicaIndex(replica)})) return ReplicaIndex(replica);
  return std::nullopt;
}

}  // namespace coshard::round
