// The coordinator's machine: who is lost, and how what it had done is done again (design 3.3). A
// loss ends an incarnation (only the coordinator fences) and an epoch: everybody left hears the new
// table and says what it holds of the open step; when all have, one pure function says what to do
// again, and each node gets its part as orders. Nothing that a healthy node does meanwhile is void:
// orders only bring units that nobody live has. See coordinator.h.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "protocol/base/check.h"
#include "protocol/round/coordinator.h"
#include "protocol/round/coordinator_impl.h"
#include "protocol/round/repair.h"

namespace coshard::round {

/// `why`: a sentence that names the node, for everybody.
void Coordinator::Impl::lose(NodeId node, const std::string& why, bool anew) {
  const Member lost = *members_.find(node);
  const StageIndex stage = lost.stage;
  const std::string told = "this node is no member any more: " + why;
  if (!anew && !peers_.at(node).asked_again)  // else whoever hears it is new, and asks to be let in
    send(node, Refused{ErrorCode::kPermissionDenied, told});
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

/// Everybody hears who is there, and says what it holds: of the open step, or of the next one.
void Coordinator::Impl::survey() {
  send_all(members_.table());
  send_joiners(members_.table());
  orders_.clear();
  survey_wanted_ = !book_;
  survey_again_at_.reset();
  if (book_) survey_.emplace();
  surveyed_at_ = now_;
  for (auto& [node, peer] : peers_) peer.survey.ask(now_);
}

/// An answer that is late by the times of its node may be lost.
void Coordinator::Impl::ask_the_late() {
  if (!survey_) return;
  for (const auto& node : members_.nodes()) {
    Inquiry& inquiry = peers_.at(node).survey;
    if (survey_->contains(node) || now_ < inquiry.due()) continue;
    inquiry.ask_again(now_);
    send(node, members_.table());
  }
}

void Coordinator::Impl::hear(const Member& from, const Holdings& message) {
  peers_.at(from.node).heard_epoch = message.epoch;
  if (phase_ != CoordinatorPhase::kTraining || !book_ || book_->step() != message.step ||
      message.epoch != members_.epoch() || message.stage != from.stage) {
    ++counters_.stale;
    return;
  }
  const bool is_spoilt = std::ranges::any_of(
      message.units, [](const HeldUnit& unit) { return unit.fault == UnitFault::kSpoilsSum; });
  // The word of it may be lost, or have gone to another coordinator.
  if (is_spoilt && is_spare(from))
    return lose(from.node, name(from) + " holds a sum that is spoilt: a unit of it is not finite");
  if (survey_) {
    if (!survey_->contains(from.node)) peers_.at(from.node).survey.answered(now_);
    (*survey_)[from.node] = message;
    if (survey_->size() == members_.nodes().size()) plan_repair();
    return;
  }
  if (!message.lacks) {
    ++counters_.repeated;
    return;
  }
  if (!survey_again_at_) survey_again_at_ = now_ + limits::kSurveyInterval;  // nobody may hurry us
}

void Coordinator::Impl::hear(const Member& from, const RepairTaken& message) {
  const auto orders = orders_.find(from.node);
  const bool known = orders != orders_.end() && orders->second.epoch == message.epoch;
  if (known)
    orders_.erase(orders);
  else
    ++counters_.repeated;
}

/// Answers that came too far apart to be understood together, or something kept that is gone after
/// all: once the orders under way are taken, everybody is asked again.
void Coordinator::Impl::survey_again() {
  if (!survey_again_at_ || now_ < *survey_again_at_ || !book_ || !orders_.empty()) return;
  members_.renew();
  survey();
}

/// Where a replica was lost while its stage was averaging: what one live node has in full the
/// others fetch from it.
void Coordinator::Impl::settle_averages() {
  for (std::uint32_t s = 0; s < config_.shape.stages; ++s) {
    const StageIndex stage(s);
    const StageClosed* closed = book_->closed(stage);
    if (closed == nullptr) continue;
    std::vector<NodeId> holders;
    for (const auto& node : members_.replicas(stage)) {
      const Holdings& held = survey_->at(node);
      if (held.averaged && held.averaging == closed->attempt) holders.push_back(node);
    }
    book_->settle(stage, holders);
    closed = book_->closed(stage);
    if (closed == nullptr || closed->holders.empty()) continue;
    bool fetched = false;
    for (const auto& node : members_.replicas(stage)) {
      if (book_->has_averaged(stage, node)) continue;
      fetched |= std::find(holders.begin(), holders.end(), node) == holders.end();
      send(node, *closed);
    }
    if (fetched)
      note("stage " + std::to_string(s) + " fetches the average of step " +
           std::to_string(closed->step.value) + " from " + std::to_string(closed->holders.size()) +
           " of its nodes");
  }
}

void Coordinator::Impl::plan_repair() {
  if (rebuilding_ && !rebuild_step()) return;
  settle_averages();
  const RoundShape& shape = config_.shape;
  StepFacts facts;
  facts.step = book_->step();
  facts.stages = shape.stages;
  facts.microbatches = shape.microbatches;
  facts.ordered = book_->ordered();
  for (const auto& node : members_.nodes()) {
    const Holdings& held = survey_->at(node);
    const double rate = held.unit_us > 0 ? 1e6 / static_cast<double>(held.unit_us) : 0;
    facts.live.push_back(
        {node, members_.find(node)->stage, &held, rate, peers_.at(node).heartbeat.outstanding});
  }
  for (std::uint32_t s = 0; s < shape.stages; ++s) {
    auto& row = facts.book.emplace_back();
    for (std::uint32_t m = 0; m < shape.microbatches; ++m)
      row.push_back({book_->is_done(StageIndex(s), MicrobatchIndex(m)),
                     book_->holder(StageIndex(s), MicrobatchIndex(m))});
  }
  for (std::uint32_t m = 0; m < shape.microbatches; ++m) {
    facts.granted.push_back(book_->holder(StageIndex(0), MicrobatchIndex(m)));
    facts.attempts.push_back(book_->attempt(MicrobatchIndex(m)));
  }
  RepairPlan plan = plan_step(facts);
  book_->repair(plan);
  const bool relieves = std::exchange(relieving_, false) && add_relief(facts, plan);
  for (const auto& [node, tasks] : plan.tasks) {
    orders_[node] = RepairOrders{book_->step(), members_.epoch(), tasks};
    send(node, orders_[node]);
  }
  survey_.reset();
  survey_again_at_.reset();
  if (plan.unclear > 0) survey_again_at_ = now_ + limits::kSurveyInterval;
  if (relieves) survey_again_at_ = now_;  // when they have been told, to hear what they gave back
  std::set<MicrobatchIndex> repaired(plan.grant_anew.begin(), plan.grant_anew.end());
  for (const auto& [node, tasks] : plan.tasks)
    for (const auto& task : tasks)
      if (task.redo != Redo::kNothing) repaired.insert(task.microbatch);
  microbatches_repaired_ += repaired.size();
  if (!repaired.empty())
    note("step " + std::to_string(book_->step().value) + ": " + std::to_string(plan.units_redone) +
         " units are done again, " + std::to_string(plan.grant_anew.size()) +
         " microbatches granted anew");
  for (const auto& node : members_.replicas(StageIndex(0))) answer_pull(node);
}

}  // namespace coshard::round
