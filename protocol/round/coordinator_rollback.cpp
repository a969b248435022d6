// The coordinator's machine: going back to the last complete checkpoint. When a stage has nobody
// left, what the others hold of the steps since is of no use: everybody who lives is asked to load
// his shard of the checkpoint, as a new incarnation, so that nothing of the steps that are given up
// passes for one that is done again; the lost stage waits for whoever holds its shard. The ledger
// keeps the steps that are given up: their work was done, and is paid in part. See coordinator.h.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <utility>

#include "protocol/round/coordinator.h"
#include "protocol/round/coordinator_impl.h"

namespace coshard::round {

/// Nobody of some stage lives any more; `why`: a sentence that names the last one.
void Coordinator::Impl::fall_back(const std::string& why) {
  if (config_.stage_patience == Duration{0}) return end_round(EndReason::kNodeLost, why, true);
  take_checkpoints();  // who was lost may have been the last that it waited for
  if (all_steps_done() && !book_ && resumable_step() == last_step_) return;  // and nothing is lost
  saved_.reset();
  resume_step_ = resumable_step();
  fall_back_.emplace(FallBack{now_, {}, why});
  send_everybody_back(why);
  settlement_.end_epoch();
  take_epochs(true);
  if (last_commit_ && last_commit_->ledger_epoch == epoch_) epoch_ = epoch_.next();
  if (last_step_ > resume_step_) go_back(epoch_);
  settlement_ = Settlement(config_.shape.stages);
  last_step_ = resume_step_;
  last_commit_.reset();
  finishing_since_.reset();
  book_.reset();
  survey_.reset();
  survey_again_at_.reset();
  rebuilding_.reset();
  survey_wanted_ = checkpoint_wanted_ = false;
  orders_.clear();
  skipped_in_a_row_ = 0;
  phase_ = CoordinatorPhase::kAdmitting;
  admitted_at_ = now_;
  note("waiting for " + waiting_for_stages());
}

void Coordinator::Impl::send_everybody_back(const std::string& why) {
  const std::string order =
      "the round goes back to step " + std::to_string(resume_step_.value) + ": " + why;
  for (const auto& node : members_.nodes()) act(MemberGone{*members_.find(node), order, true});
  for (const auto& [node, peer] : peers_) {
    send(node, Refused{ErrorCode::kAborted, order});
    persist(NodeGone{node});
    fall_back_->survivors.insert(node);
  }
  members_.start_over(checkpoint_);
  peers_.clear();
  asking_.clear();  // who asks goes on asking
  leaving_.clear();
  complaints_.clear();
  keeping_.clear();
}

/// Steps after the checkpoint are done again, in epochs from `next_epoch` on; those before it have
/// been handed over.
void Coordinator::Impl::go_back(LedgerEpoch next_epoch) {
  const RolledBack back{resume_step_, next_epoch};
  persist(back);
  act(back);
  note("the round goes back to " +
       (resume_step_.value == 0 ? "its beginning"
                                : "the checkpoint of step " + std::to_string(resume_step_.value)) +
       ": later steps are done again");
}

/// Committed steps whose epochs were not closed, as they are: nobody can report on them any more.
void Coordinator::Impl::hand_over(const std::vector<StepRecord>& records,
                                  const std::map<StepId, std::vector<Fingerprint>>& digests) {
  settlement_ = Settlement(config_.shape.stages);
  for (const auto& record : records) settlement_.committed(record);
  for (const auto& [step, agreed] : digests) settlement_.agreed(step, agreed);
  take_epochs(true);
  settlement_.end_epoch();
  take_epochs(true);
  unsettled_epoch_.reset();
  settlement_ = Settlement(config_.shape.stages);  // nothing is owed of what came before
}

/// The journal knows of rollbacks that the ledger may have missed. It takes each once.
void Coordinator::Impl::hand_over_given_up() {
  for (const GivenUp& given : journal_.given_up) {
    hand_over(given.unclosed, given.digests);
    if (given.checkpoint) act(CheckpointComplete{*given.checkpoint});
    act(given.back);
  }
}

/// A full disk does not go away by asking its owner again: where nobody else has the stage, what
/// lives is saved, and the round ends.
void Coordinator::Impl::cannot_save(const Member& who, const std::string& error) {
  const std::string why = name(who) + " cannot save its checkpoints: " + error;
  if (!is_spare(who)) return end_round(EndReason::kNodeLost, why, true);
  lose(who.node, why);
}

// ---- waiting ------------------------------------------------------------------------------------

bool Coordinator::Impl::survivors_are_back() const {
  return now_ - fall_back_->since >= limits::kFallBackTimeout ||
         std::ranges::all_of(fall_back_->survivors,
                             [this](const NodeId& node) { return members_.find(node) != nullptr; });
}

/// Seats of those who live are not given to others; who asks goes on asking.
bool Coordinator::Impl::waits_for_survivors(const NodeId& node) const {
  return fall_back_ && members_.seat(node) == nullptr && !survivors_are_back();
}

/// One who lacks the shard cannot bring a lost stage back, or begin with one that another round
/// trained, and gets it from those who do. True: it is let in once the round goes on, or gets what
/// is kept of a stage to which nobody comes back.
bool Coordinator::Impl::keep_waiting(const Received& event, const JoinRequest& request,
                                     const Error& error) {
  const bool begins = newest_step_ > StepId(0) && newest_step_ == journal_.beginning;
  const bool restores = std::ranges::any_of(
      kept_, [&](const auto& kept) { return may_restore(event.from, kept.second); });
  if (!(fall_back_ || begins || restores) || error.code != ErrorCode::kFailedPrecondition)
    return false;
  if (!asking_.contains(event.from))
    note("node " + event.from.short_hex() + " asks to join and waits: " + error.message);
  asking_[event.from] = {request, event.certificate};
  return true;
}

/// Somebody will come, or nobody.
void Coordinator::Impl::await_stages() {
  if (!fall_back_ || now_ - fall_back_->since < config_.stage_patience) return;
  end_round(EndReason::kNodeLost, fall_back_->why + "; waited in vain for " + waiting_for_stages(),
            true);
}

std::string Coordinator::Impl::waiting_for_stages() const {
  std::string text;
  for (std::uint32_t s = 0; s < config_.shape.stages; ++s) {
    const StageIndex stage(s);
    if (!members_.replicas(stage).empty()) continue;
    const auto lives = [this](const NodeAssigned& seat) {
      return fall_back_->survivors.contains(seat.node);
    };
    auto seats = members_.seats_of(stage);
    if (std::ranges::any_of(seats, lives)) continue;  // it is on its way
    text += (text.empty() ? "a node of stage " : "; a node of stage ") + std::to_string(s);
    if (resume_step_.value == 0) continue;
    text += ": nobody who lives holds its shard of step " + std::to_string(resume_step_.value);
    for (const NodeAssigned& seat : seats)
      text += (seat == seats.front() ? "; " : ", ") + ("node " + seat.node.short_hex()) +
              " (replica " + std::to_string(seat.replica.value) + ")";
    if (!seats.empty()) text += seats.size() == 1 ? " did" : " did, one of them suffices";
    if (const ShardKept* shard = kept(stage, resume_step_))
      text += "; node " + shard->keeper.short_hex() +
              " keeps it sealed: while that lives, any node may take the seat";
  }
  return text.empty() ? "nodes to load step " + std::to_string(resume_step_.value) : text;
}

}  // namespace coshard::round
