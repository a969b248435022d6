// The coordinator's machine: how a round ends, what is said again, and what it shows to people. See
// coordinator.h.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <utility>

#include "protocol/base/check.h"
#include "protocol/round/coordinator.h"
#include "protocol/round/coordinator_impl.h"

namespace coshard::round {

/// Drops the open step and tells everybody. `save`: the state after the last commit is wanted on
/// disk, which makes sense where it is newer than what is there and every stage has a survivor.
void Coordinator::Impl::end_round(EndReason reason, std::string text, bool save) {
  COSHARD_CHECK(!end_);
  const StepId saved = saved_ ? saved_->step : resumable_step();
  const bool newer = last_step_ > saved && !settlement_.expects_checkpoint(last_step_);
  const bool checkpoint = save && newer && members_.weakest() > 0;
  if (checkpoint) settlement_.expect_checkpoint(last_step_);
  if (save && newer && !checkpoint)
    text +=
        "; a stage is without a node, the round can go on from step " + std::to_string(saved.value);
  settlement_.end_epoch();
  book_.reset();
  survey_.reset();
  orders_.clear();
  end_ = RoundEnd{reason, last_step_, checkpoint, std::move(text), false};
  if (checkpoint) asked_to_save_.emplace(last_step_, now_);
  persist(RoundEnding{*end_});
  phase_ = CoordinatorPhase::kEnding;
  ending_since_ = now_;
  end_deadline_ = now_ + limits::kSettleTimeout;
  repeat_at_ = now_;
  send_all(*end_);
  send_joiners(*end_);
  note("the round ends: " + end_->text);
}

/// Nothing is left to do but to save the last state. Until it is, the round has not ended: a stage
/// that is lost now can still be brought back.
void Coordinator::Impl::finish() {
  if (!finishing_since_) finishing_since_ = now_;
  take_checkpoints();  // whose last report may just have come
  const bool late = now_ - *finishing_since_ >= limits::kSettleTimeout;
  if ((saved_ || !settlement_.checkpoints_in(members_.by_stage())) && !late) return;
  end_round(
      EndReason::kFinished,
      last_step_.value >= config_.steps ? "all steps are done" : "finished by the coordinator",
      true);
}

/// Ends when digests and checkpoints are in, the only copy of a shard has a second one, and the
/// ledger has settled the last epoch, or when waiting for them has lasted limits::kSettleTimeout.
void Coordinator::Impl::advance_ending() {
  const StageMembers& members = members_.by_stage();
  const bool late = now_ >= end_deadline_;
  if (return_) return;  // who lives may have reports for us
  const bool reported = settlement_.digests_in(members) && settlement_.checkpoints_in(members);
  if ((!reported || saved_) && !late) return;
  const auto before = unsettled_epoch_;
  take_epochs(true);
  if (unsettled_epoch_ != before && late) end_deadline_ = now_ + limits::kSettleTimeout;
  if (unsettled_epoch_ && now_ < end_deadline_) return;
  finish_round();
}

void Coordinator::Impl::finish_round() {
  RoundEnded ended{end_->reason, end_->text, last_step_, resumable_step()};
  if (ended.reason == EndReason::kFinished && ended.resumable_step < last_step_) {
    ended.reason = EndReason::kInternal;
    ended.text += "; but the state after step " + std::to_string(last_step_.value) +
                  " could not be saved, the round can go on from step " +
                  std::to_string(ended.resumable_step.value);
  }
  persist(ended);
  end_->settled = true;
  send_all(*end_);
  phase_ = CoordinatorPhase::kEnded;
  act(RoundFinished{ended.reason, ended.text, ended.last_step, ended.resumable_step});
}

/// Nothing is lost: a person decides whether to go on, or to stop and change what is wrong.
void Coordinator::Impl::pause_for_skips() {
  pause_wanted_ = true;
  pause_why_ = std::to_string(skipped_in_a_row_) + " updates in a row were skipped";
  if (!last_refusal_.empty()) pause_why_ += " (last: " + last_refusal_ + ")";
  note("the round pauses: " + pause_why_ +
       "; a lower learning rate needs a new round, to try again: coshard round resume");
}

// ---- what is said again -------------------------------------------------------------------------

/// The coordinator repeats its last word to whoever has not answered it; a node answers a repeated
/// word by repeating its answer. So no single message matters.
void Coordinator::Impl::repeat_unanswered() {
  repeat_at_ = now_;
  for (const auto& node : members_.nodes()) repeat_to(*members_.find(node));
  for (const auto& node : members_.joiners()) repeat_to_joiner(node);
  for (const auto& [stage, keeping] : keeping_) ask_to_keep(stage);
}

void Coordinator::Impl::repeat_to(const Member& member) {
  const NodeId& node = member.node;
  if (phase_ == CoordinatorPhase::kAdmitting) return;
  if (last_commit_ && (!settlement_.has_digest(last_step_, node) || settlement_.awaits(node)))
    send(node, *last_commit_);
  if (phase_ == CoordinatorPhase::kEnding) {
    if (owes_reports(node)) send(node, *end_);
    return;
  }
  const Peer& peer = peers_.at(node);
  if (phase_ == CoordinatorPhase::kLoading && !peer.loaded) {
    send(node, members_.table());
    return_shard(member);
  }
  if (phase_ != CoordinatorPhase::kTraining || !book_) return;
  if (peer.heard_epoch < members_.epoch() && !survey_) send(node, members_.table());
  if (rebuilding_) return;
  if (const auto orders = orders_.find(node); orders != orders_.end()) send(node, orders->second);
  answer_pull(node);
  const StepId heard = peer.heard_step;
  const bool never_pulled = member.stage.value == 0 && peer.pull_step != book_->step();
  if (heard < book_->step() || never_pulled) send(node, StepOpen{book_->step(), members_.epoch()});
  const StageClosed* closed = book_->closed(member.stage);
  const bool owes_average = closed != nullptr && !book_->has_averaged(member.stage, node);
  if (owes_average && !book_->in_doubt(member.stage)) send(node, *closed);
}

bool Coordinator::Impl::owes_reports(const NodeId& node) const {
  return !settlement_.has_digest(last_step_, node) || !settlement_.has_checkpoint(last_step_, node);
}

// ---- small things -------------------------------------------------------------------------------

void Coordinator::Impl::send_all(const Message& message) {
  for (const auto& node : members_.nodes()) send(node, message);
}

void Coordinator::Impl::send_joiners(const Message& message) {
  for (const auto& node : members_.joiners()) send(node, message);
}

void Coordinator::Impl::fault(const NodeId& peer, std::string reason) {
  ++counters_.faults;
  act(PeerFault{peer, std::move(reason)});
}

/// Counts what became of an entry; true when it stands in the book now for the first time.
bool Coordinator::Impl::judge(Entry entry, const NodeId& from, const char* what) {
  if (entry == Entry::kRepeated) ++counters_.repeated;
  if (entry == Entry::kStale) ++counters_.stale;
  if (entry == Entry::kFalse || entry == Entry::kConflict) fault(from, what);
  return entry == Entry::kEntered;
}

Hash Coordinator::Impl::resume_hash(StageIndex stage) const {
  if (resume_step_.value == 0) return {};
  return checkpoint_->stages.at(stage.value).file_hash;
}

std::string Coordinator::Impl::name(const Member& member) const {
  return "node " + member.node.short_hex() + " (stage " + std::to_string(member.stage.value) +
         ", replica " + std::to_string(member.replica.value) + ")";
}

std::string Coordinator::Impl::waiting_for() const {
  switch (phase_) {
    case CoordinatorPhase::kAdmitting:
      if (return_)
        return std::to_string(return_->expected.size()) + " members to say that they have lived on";
      if (fall_back_) return waiting_for_stages();
      return std::to_string(nodes_wanted() - members_.nodes().size()) + " more nodes";
    case CoordinatorPhase::kLoading:
      return "nodes to load their stages";
    case CoordinatorPhase::kTraining:
      if (!book_) return "the last checkpoint";
      if (survey_)
        return "nodes to say what they hold of step " + std::to_string(book_->step().value);
      for (std::uint32_t stage = 0; stage < config_.shape.stages; ++stage)
        if (book_->phase(StageIndex(stage)) == StagePhase::kAveraging)
          return "stage " + std::to_string(stage) + " to average step " +
                 std::to_string(book_->step().value);
      return "microbatches of step " + std::to_string(book_->step().value);
    case CoordinatorPhase::kPaused:
      return pause_why_.empty() ? "resume" : "resume: " + pause_why_;
    case CoordinatorPhase::kEnding:
      return unsettled_epoch_ ? "the ledger" : "digests and checkpoints";
    case CoordinatorPhase::kEnded:
      return "";
  }
  COSHARD_UNREACHABLE();
}

CoordinatorStatus Coordinator::Impl::status() const {
  CoordinatorStatus status;
  status.phase = phase_;
  status.generation = generation_;
  status.epoch = members_.epoch();
  status.last_step = return_ ? journal_.last_step : last_step_;
  status.newest_step = newest_step_;
  status.resumable_step = resumable_step();
  if (book_) {
    status.units_done = book_->units_done();
    status.units_total = config_.shape.stages * config_.shape.microbatches;
  }
  for (const auto& node : members_.nodes()) {
    const Peer& peer = peers_.at(node);
    status.nodes.push_back({*members_.find(node), peer.device, peer.software, peer.heartbeat,
                            book_ ? book_->units_done_by(node) : 0});
  }
  for (const auto& node : members_.joiners()) {
    const Peer& peer = peers_.at(node);
    status.nodes.push_back(
        {*members_.find_joiner(node), peer.device, peer.software, peer.heartbeat, 0});
  }
  status.nodes_joined = nodes_joined_;
  status.nodes_lost = nodes_lost_;
  status.microbatches_repaired = microbatches_repaired_;
  status.waiting_for = waiting_for();
  status.waits = waits();
  return status;
}

}  // namespace coshard::round
