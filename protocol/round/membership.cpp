// Membership: see membership.h.
// SPDX-License-Identifier: Apache-2.0
#include "protocol/round/membership.h"

#include <algorithm>
#include <ranges>
#include <string>
#include <utility>

#include "protocol/base/check.h"
#include "protocol/base/quantity.h"

namespace coshard::round {

Membership::Membership(const RoundShape& shape, std::uint32_t replicas_max,
                       std::vector<NodeId> allowed, std::map<NodeId, NodeAssigned> seats,
                       std::optional<CheckpointRecord> resume, MembershipEpoch before,
                       std::vector<StageNeed> needs)
    : shape_(shape),
      replicas_max_(replicas_max),
      allowed_(std::move(allowed)),
      needs_(std::move(needs)),
      seats_(std::move(seats)),
      resume_(std::move(resume)),
      epoch_(before),
      by_stage_(shape.stages) {
  COSHARD_CHECK(needs_.empty() || needs_.size() == shape_.stages);
}

Result<NodeAssigned> Membership::admit(const NodeId& node, const JoinRequest& request,
                                       Bytes certificate, bool trained) {
  COSHARD_CHECK(find(node) == nullptr);
  if (!allowed_.empty() && std::find(allowed_.begin(), allowed_.end(), node) == allowed_.end())
    return fail(ErrorCode::kPermissionDenied, "this round admits listed node keys only");
  const auto seat = seats_.find(node);
  const bool returns = seat != seats_.end();
  // A seat sticks: a node that was let in once never gets another trained stage (design 3.4).
  const bool moves = returns && !trained && !free_replica(seat->second.stage, ReplicaIndex(0));
  std::optional<StageIndex> stage;
  if (!returns || moves)
    stage = weakest_stage_for(request, false);
  else if (may_hold(request, seat->second.stage))
    stage = seat->second.stage;
  const auto fits_there = [&](std::uint32_t s) { return fits(request, StageIndex(s)); };
  const bool fits_somewhere = std::ranges::any_of(std::views::iota(0U, shape_.stages), fits_there);
  if (!stage && resume_ && (returns || fits_somewhere) &&
      members_.size() < std::size_t{shape_.stages} * replicas_max_)
    return fail(ErrorCode::kFailedPrecondition,
                "the round goes on from the checkpoint of step " +
                    std::to_string(resume_->step.value) + ", of which this node holds " +
                    (returns ? what_is_held(request, seat->second.stage) : "no file"));
  const auto wanted = returns ? seat->second.replica : ReplicaIndex(0);
  const auto replica = stage ? free_replica(*stage, wanted) : std::nullopt;
  if (!replica) return tl::unexpected(no_seat_for(request));
  return this->seat(node, request, std::move(certificate), *stage, *replica, false);
}

Result<NodeAssigned> Membership::admit_joiner(const NodeId& node, const JoinRequest& request,
                                              Bytes certificate) {
  COSHARD_CHECK(sitting(node) == nullptr);
  if (!allowed_.empty() && std::find(allowed_.begin(), allowed_.end(), node) == allowed_.end())
    return fail(ErrorCode::kPermissionDenied, "this round admits listed node keys only");
  const auto old = seats_.find(node);
  const bool returns = old != seats_.end();
  const auto stage = returns ? std::optional(old->second.stage) : weakest_stage_for(request, true);
  const auto wanted = returns ? old->second.replica : ReplicaIndex(0);
  const auto replica = stage ? free_replica(*stage, wanted) : std::nullopt;
  if (!replica && !returns) return tl::unexpected(no_seat_for(request));
  if (!replica)
    return fail(ErrorCode::kResourceExhausted,
                "the round is full: stage " + std::to_string(stage->value) +
                    ", where this node sat, has " + std::to_string(replicas_max_) +
                    " replicas again, and a seat sticks to its stage");
  return seat(node, request, std::move(certificate), *stage, *replica, true);
}

Result<NodeAssigned> Membership::admit_restorer(const NodeId& node, const JoinRequest& request,
                                                Bytes certificate, StageIndex stage) {
  COSHARD_CHECK(sitting(node) == nullptr);
  const bool listed =
      allowed_.empty() || std::find(allowed_.begin(), allowed_.end(), node) != allowed_.end();
  const auto old = seats_.find(node);
  if (!listed || (old != seats_.end() && old->second.stage != stage))
    return fail(ErrorCode::kPermissionDenied,
                "this node may not hold stage " + std::to_string(stage.value));
  const auto replica = free_replica(stage, ReplicaIndex(0));
  if (!replica) return fail(ErrorCode::kResourceExhausted, "the stage is full");
  if (!fits(request, stage))
    return fail(ErrorCode::kResourceExhausted,
                "too little memory: stage " + std::to_string(stage.value) + " needs " +
                    bytes_text(need_of(request, stage)) + ", this node has " +
                    bytes_text(request.memory_bytes));
  return seat(node, request, std::move(certificate), stage, *replica, false);
}

NodeAssigned Membership::seat(const NodeId& node, const JoinRequest& request, Bytes certificate,
                              StageIndex stage, ReplicaIndex replica, bool joins) {
  const auto old = seats_.find(node);
  const NodeAssigned assigned{
      node, stage, replica, old == seats_.end() ? Incarnation(1) : old->second.incarnation.next()};
  seats_[node] = assigned;
  admitted_.insert(node);
  speeds_[node] = request.flops_per_second;
  members_[{stage, replica}] = Member{
      node, stage, replica, assigned.incarnation, request.endpoint, std::move(certificate), joins};
  changed();
  return assigned;
}

const Member& Membership::restore(const NodeId& node, const JoinRequest& request,
                                  Bytes certificate) {
  const NodeAssigned& seat = seats_.at(node);
  Member& member = members_[{seat.stage, seat.replica}];
  COSHARD_CHECK(member.node == NodeId{});
  member = {
      node, seat.stage, seat.replica, seat.incarnation, request.endpoint, std::move(certificate)};
  speeds_[node] = request.flops_per_second;
  admitted_.insert(node);
  changed();
  return member;
}

const NodeAssigned* Membership::seat(const NodeId& node) const {
  const auto seat = seats_.find(node);
  return seat == seats_.end() ? nullptr : &seat->second;
}

std::vector<NodeAssigned> Membership::seats_of(StageIndex stage) const {
  std::vector<NodeAssigned> seats;
  for (const auto& [node, seat] : seats_)
    if (seat.stage == stage) seats.push_back(seat);
  return seats;
}

void Membership::start_over(std::optional<CheckpointRecord> resume) {
  resume_ = std::move(resume);
  members_.clear();
  changed();
}

void Membership::reseat(const NodeId& node, StageIndex stage) {
  COSHARD_CHECK(sitting(node) == nullptr);
  seats_.at(node).stage = stage;
}

void Membership::promote(const NodeId& node) {
  const Member* joiner = find_joiner(node);
  COSHARD_CHECK(joiner != nullptr);
  members_.at({joiner->stage, joiner->replica}).joining = false;
  changed();
}

void Membership::remove(const NodeId& node) {
  const Member* member = sitting(node);
  COSHARD_CHECK(member != nullptr);
  const bool joined = !member->joining;
  members_.erase({member->stage, member->replica});
  if (joined) changed();
}

const Member* Membership::sitting(const NodeId& node) const {
  const auto seat = seats_.find(node);
  if (seat == seats_.end()) return nullptr;
  const auto found = members_.find({seat->second.stage, seat->second.replica});
  return found == members_.end() || found->second.node != node ? nullptr : &found->second;
}

const Member* Membership::find(const NodeId& node) const {
  const Member* member = sitting(node);
  return member != nullptr && !member->joining ? member : nullptr;
}

const Member* Membership::find_joiner(const NodeId& node) const {
  const Member* member = sitting(node);
  return member != nullptr && member->joining ? member : nullptr;
}

std::vector<NodeId> Membership::joiners() const {
  std::vector<NodeId> nodes;
  for (const auto& [place, member] : members_)
    if (member.joining) nodes.push_back(member.node);
  return nodes;
}

MembershipTable Membership::table() const {
  MembershipTable table{epoch_, {}};
  for (const auto& [place, member] : members_) table.members.push_back(member);
  return table;
}

std::vector<NodeId> Membership::nodes() const {
  std::vector<NodeId> nodes;
  for (const auto& [place, member] : members_)
    if (!member.joining) nodes.push_back(member.node);
  return nodes;
}

void Membership::changed() {
  epoch_ = epoch_.next();
  by_stage_.assign(shape_.stages, {});
  for (const auto& [place, member] : members_)
    if (!member.joining) by_stage_[place.first.value].push_back(member.node);
}

std::uint32_t Membership::weakest() const {
  std::size_t fewest = replicas_max_;
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

/// Seats of joiners count: two at once go to two stages. Of equals the first.
std::optional<StageIndex> Membership::weakest_stage_for(const JoinRequest& request,
                                                        bool joins) const {
  std::optional<StageIndex> best;
  const auto strength = [this](StageIndex stage) {
    return std::pair(seats_taken(stage), speed_of(stage));
  };
  for (std::uint32_t s = 0; s < shape_.stages; ++s) {
    const StageIndex stage(s);
    if (seats_taken(stage) >= replicas_max_ || !fits(request, stage)) continue;
    if (!joins && !may_hold(request, stage)) continue;
    if (!best || strength(stage) < strength(*best)) best = stage;
  }
  return best;
}

std::size_t Membership::seats_taken(StageIndex stage) const {
  return static_cast<std::size_t>(
      std::ranges::count_if(members_, [&](const auto& seat) { return seat.first.first == stage; }));
}

/// FLOPs per second of all who sit there.
std::uint64_t Membership::speed_of(StageIndex stage) const {
  std::uint64_t sum = 0;
  for (const auto& [place, member] : members_)
    if (place.first == stage) sum += speeds_.at(member.node);
  return sum;
}

std::uint64_t Membership::need_of(const JoinRequest& request, StageIndex stage) const {
  if (needs_.empty()) return 0;
  const StageNeed& need = needs_[stage.value];
  return request.card ? need.card : need.processor;
}

bool Membership::fits(const JoinRequest& request, StageIndex stage) const {
  return request.memory_bytes == 0 || need_of(request, stage) <= request.memory_bytes;
}

/// Every seat is taken, or those that are not need more memory than there is.
Error Membership::no_seat_for(const JoinRequest& request) const {
  std::optional<StageIndex> least;
  std::string room;
  for (std::uint32_t s = 0; s < shape_.stages; ++s) {
    const StageIndex stage(s);
    const bool is_free = seats_taken(stage) < replicas_max_;
    if (fits(request, stage)) room += (room.empty() ? " " : ", ") + std::to_string(s);
    if (is_free && (!least || need_of(request, stage) < need_of(request, *least))) least = stage;
  }
  if (!least || fits(request, *least))
    return {ErrorCode::kResourceExhausted, "the round is full: " + std::to_string(shape_.stages) +
                                               " stages of " + std::to_string(replicas_max_) +
                                               " replicas are taken"};
  return {
      ErrorCode::kResourceExhausted,
      "too little memory: stage " + std::to_string(least->value) +
          ", the smallest with a seat free, needs " + bytes_text(need_of(request, *least)) +
          ", this node has " + bytes_text(request.memory_bytes) +
          (room.empty() ? "" : "; of what it could hold (stage" + room + ") every seat is taken") +
          "; use a larger device or a higher --memory; the coordinator can use more stages, "
          "fewer microbatch_sequences or recomputation"};
}

/// `wanted` when it is free, else the lowest free one.
std::optional<ReplicaIndex> Membership::free_replica(StageIndex stage, ReplicaIndex wanted) const {
  if (wanted.value < replicas_max_ && !members_.contains({stage, wanted})) return wanted;
  for (std::uint32_t replica = 0; replica < replicas_max_; ++replica)
    if (!members_.contains({stage, ReplicaIndex(replica)})) return ReplicaIndex(replica);
  return std::nullopt;
}

}  // namespace coshard::round
