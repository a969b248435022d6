// The coordinator's machine: how what a lost node had done is done again (design 3.3). Everybody
// left hears the new table and says what it holds of the open step; when all have, one pure
// function says what to do again, and each node gets its part as orders. Nothing that a healthy
// node does meanwhile is void: orders only bring units that nobody live has. See coordinator.h.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "protocol/base/check.h"
#include "protocol/round/coordinator.h"
#include "protocol/round/coordinator_impl.h"
#include "protocol/round/repair.h"

namespace coshard::round {

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
