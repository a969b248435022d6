// The coordinator's machine: who is lost, and who goes (design 3.3): who is silent, who cannot work
// with another, who sent what no honest node sends, who asks to leave. A loss ends an incarnation
// (only the coordinator fences) and an epoch; what follows is coordinator_repair.cpp. See
// coordinator.h.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <chrono>
#include <tuple>

#include "protocol/round/coordinator.h"
#include "protocol/round/coordinator_impl.h"

namespace coshard::round {

/// `why`: a sentence that names the node, for everybody.
void Coordinator::Impl::lose(NodeId node, const std::string& why, bool anew) {
  const Member lost = *members_.find(node);
  const StageIndex stage = lost.stage;
  const std::string told = "this node is no member any more: " + why;
  const bool asks = anew || peers_.at(node).asked_again;
  send(node, Refused{asks ? ErrorCode::kAborted : ErrorCode::kPermissionDenied, told});
  persist(NodeGone{node});
  const bool expected = leaving_.contains(node) || phase_ >= CoordinatorPhase::kEnding;
  act(MemberGone{lost, why, expected});
  members_.remove(node);
  peers_.erase(node);
  leaving_.erase(node);
  std::erase_if(complaints_, [&](const Complaint& complaint) {
    return complaint.from == node || complaint.about == node;
  });
  if (!expected) ++nodes_lost_;
  note(why);
  if (!running()) return;
  if (members_.replicas(stage).empty()) return fall_back(why);
  if (book_) book_->lose(stage, node);
  survey();
}

bool Coordinator::Impl::is_silent(const NodeId& node) const {
  return now_ - peers_.at(node).heard_at >= 2 * limits::kHeartbeatInterval;
}

/// Of two members that cannot work with each other one goes: who is silent here too; else whom its
/// stage can spare; else who was silent here when the complaint came, as a node is that was frozen;
/// else who is at odds with more of the others, as a node is whose own line is bad, whoever
/// complained first; else the one complained about.
const Member& Coordinator::Impl::who_goes(const Member& from, const Member& about) const {
  const auto reasons = [&](const Member& member) {
    const bool silent = is_silent(member.node) ||
                        peers_.at(member.node).asked_again;  // a new process: the old one is gone
    bool was_silent = false;
    const std::size_t replicas = members_.replicas(member.stage).size();
    std::set<NodeId> at_odds;
    for (const Complaint& complaint : complaints_) {
      if (complaint.from == member.node) at_odds.insert(complaint.about);
      if (complaint.about == member.node) at_odds.insert(complaint.from);
      was_silent |= complaint.about == member.node && complaint.silent_here;
    }
    return std::tuple(silent, replicas > 1, was_silent, at_odds.size(), replicas);
  };
  return reasons(from) > reasons(about) ? from : about;
}

void Coordinator::Impl::judge_complaints() {
  const auto judged = std::find_if(
      complaints_.begin(), complaints_.end(),
      [&](const Complaint& complaint) { return now_ - complaint.since >= limits::kSuspicionMin; });
  if (judged == complaints_.end()) return;
  const Complaint complaint = *judged;
  const Member* from = members_.find(complaint.from);
  const Member* about = members_.find(complaint.about);
  if (!running() || from == nullptr || about == nullptr) {
    complaints_.erase(judged);
    return;
  }
  lose(who_goes(*from, *about).node,
       name(*from) + " cannot work with " + name(*about) + ": " + complaint.reason);
}

/// Whom its stage can spare is not waited for until the transport gives it up: to wait costs every
/// node's time, to err costs one node the way back.
void Coordinator::Impl::judge_silence() {
  if (!running()) return;
  for (const auto& node : members_.nodes()) {
    const auto& late = peers_.at(node).late_since;
    if (!late || now_ - *late < 2 * limits::kHeartbeatInterval) continue;
    const Member member = *members_.find(node);
    if (!is_spare(member)) continue;
    const auto silence =
        std::chrono::duration_cast<std::chrono::milliseconds>(now_ - peers_.at(node).heard_at);
    return lose(node,
                name(member) + " was lost: silent for " + std::to_string(silence.count()) + " ms");
  }
}

void Coordinator::Impl::hear(const Member& from, const PeerComplaint& message) {
  if (const Member* joiner = members_.find_joiner(message.peer))
    return lose_joiner(
        message.peer, name(*joiner) + " joins no more: " + name(from) + " says: " + message.reason);
  const Member* about = members_.find(message.peer);
  if (about == nullptr || !running()) {
    ++counters_.stale;
    return;
  }
  note(name(from) + " complains about " + name(*about) + ": " + message.reason);
  const auto same = [&](const Complaint& complaint) {
    return complaint.from == from.node && complaint.about == message.peer;
  };
  if (std::none_of(complaints_.begin(), complaints_.end(), same))
    complaints_.push_back({from.node, message.peer, message.reason, now_, is_silent(message.peer)});
}

bool Coordinator::Impl::is_spare(const Member& member) const {
  return members_.replicas(member.stage).size() > 1;
}

/// What a neighbour sent and no honest one sends is between the two of them. What is not finite is
/// done again elsewhere, once everybody has said what it holds; a sum that took it up is of no use,
/// and its node begins anew where its stage can spare it.
void Coordinator::Impl::hear(const Member& from, const UnitRefused& message) {
  if (phase_ != CoordinatorPhase::kTraining || !is_open(message.unit.step)) {
    ++counters_.stale;
    return;
  }
  if (message.unit.stage != from.stage) return fault(from.node, "refuses another stage's unit");
  const Member* sender = members_.find(message.sender);
  const bool input = message.fault <= UnitFault::kInput;
  const std::string what =
      name(from) + " refused microbatch " + std::to_string(message.unit.microbatch.value) +
      (!input || sender == nullptr ? "" : " from " + name(*sender)) + ": " + message.reason;
  if (input && sender != nullptr && sender->node != from.node) {
    if (is_spare(from) || is_spare(*sender))
      return hear(from, PeerComplaint{message.sender, message.unit.step, message.reason});
    return end_round(EndReason::kInternal, what, true);
  }
  if (message.fault == UnitFault::kSpoilsSum && is_spare(from)) return lose(from.node, what);
  if (survey_ || survey_again_at_) return;  // said again, unless they make it known
  note(what);
  last_refusal_ = what;
  if (is_spare(from)) survey_again_at_ = now_ + limits::kSurveyInterval;
}

void Coordinator::Impl::hear(const Member& from, const LeaveNotice& message) {
  if (leaving_.contains(from.node)) return;  // said again
  note(name(from) + " leaves: " + message.reason);
  if (phase_ == CoordinatorPhase::kAdmitting) {
    send(from.node, Refused{ErrorCode::kPermissionDenied, name(from) + " has left"});
    persist(NodeGone{from.node});
    members_.remove(from.node);
    peers_.erase(from.node);
    return;
  }
  if (!running() || (!book_ && all_steps_done())) return;  // it ends anyway
  // It lives: where nobody could take its place, what it holds can still be saved.
  if (!is_spare(from))
    return end_round(EndReason::kNodeLost, name(from) + " leaves: " + message.reason, true);
  leaving_.emplace(from.node, now_);
}

/// Between two steps nothing of a node's has to be done again. Meanwhile it may have become the
/// last of its stage: then the round ends while its state can still be saved.
void Coordinator::Impl::take_leave() {
  if (!running() || leaving_.empty()) return;
  const auto [node, since] = *leaving_.begin();
  if (book_ && now_ - since < limits::kLeaveTimeout) return;
  const Member member = *members_.find(node);
  if (!is_spare(member))
    return end_round(EndReason::kNodeLost, name(member) + " leaves, the last of its stage", true);
  lose(node, name(member) + " has left");
}

}  // namespace coshard::round
