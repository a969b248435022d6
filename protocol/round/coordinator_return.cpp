// The coordinator's machine: how it comes back from its journal. Nodes outlive it: they keep their
// stages, finish what they have and ask, until somebody answers, whether they still have their
// seats. Where every stage has such a member the open step goes on: the last commit is said again,
// everybody says what it holds, and the step's book is written from that. Where a stage has none,
// the round goes on after the last complete checkpoint. See coordinator.h.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <utility>

#include "protocol/round/coordinator.h"
#include "protocol/round/coordinator_impl.h"

namespace coshard::round {

/// An end that was decided is not decided again: who lives hears of it once more.
void Coordinator::Impl::begin_return() {
  hand_over_given_up();
  if (config_.roll_back)
    for (const auto& node : journal_.members) persist(NodeGone{node});
  if (config_.roll_back || journal_.ended || journal_.members.empty()) return roll_back();
  return_.emplace(Return{now_, journal_.members, false, false, {}});
  // The ledger may have stopped before it recorded the checkpoint that the journal has.
  if (checkpoint_) act(CheckpointComplete{*checkpoint_});
  if (!journal_.ending) return;
  recall_books();
  end_ = journal_.ending->end;
  settlement_.end_epoch();
  if (end_->checkpoint && resumable_step() < end_->last_step)
    settlement_.expect_checkpoint(end_->last_step);
  phase_ = CoordinatorPhase::kEnding;
  ending_since_ = now_;
  end_deadline_ = now_ + limits::kSettleTimeout;
}

/// A node says that it has a seat.
void Coordinator::Impl::claim(const Received& event, const JoinRequest& request) {
  const NodeId& node = event.from;
  const SeatClaim& claimed = request.seat;
  if (const Member* member = members_.find(node);
      member != nullptr && member->incarnation == claimed.incarnation) {
    ++counters_.repeated;
    return repeat_to(*member);
  }
  const NodeAssigned* seat = members_.seat(node);
  const bool expected =
      return_ && return_->expected.contains(node) && seat->incarnation == claimed.incarnation;
  const StepId last = journal_.last_step;
  const bool in_step = claimed.committed == last || claimed.committed.next() == last;
  if (!expected || !in_step) {
    std::string why = "this node is no member any more";
    if (expected) {
      why = "this node's state is that after step " + std::to_string(claimed.committed.value) +
            ", the round is at step " + std::to_string(last.value);
      note("node " + node.short_hex() + " cannot go on: " + why);
      return_->expected.erase(node);
      persist(NodeGone{node});
    }
    return send(node, Refused{ErrorCode::kPermissionDenied, std::move(why)});
  }
  return_->expected.erase(node);
  return_->working |= claimed.working || claimed.committed > resume_step_;
  const Member& member = members_.restore(node, request, event.certificate);
  Peer& peer = peers_[node] = Peer{};
  peer.device = request.device;
  peer.software = request.software;
  peer.heard_at = now_;
  act(MemberBack{member});
  note(name(member) + " has lived on");
  if (end_) send(node, *end_);
}

/// A member that asks like a stranger was started anew: what it held is gone.
void Coordinator::Impl::come_anew(const Received& event) {
  const NodeId& node = event.from;
  return_->newcomers = true;
  if (members_.seat(node) != nullptr) return_->seated[node] = event;
  if (const Member* member = members_.find(node))
    return lose(node, name(*member) + " was started anew", true);
  if (return_->expected.erase(node) > 0) persist(NodeGone{node});
}

/// Goes on when everybody was heard, or had time enough; gives up where that is of no use.
void Coordinator::Impl::await_return() {
  const bool late = now_ - return_->since >= limits::kReturnTimeout && !config_.journal_is_copy;
  const bool heard = return_->expected.empty() || late;
  if (phase_ == CoordinatorPhase::kEnding) {
    if (!heard && now_ < end_deadline_) return;
    give_up_missing();
    return return_.reset();
  }
  // Else who has lived on is as good as one who has just loaded the beginning.
  const bool begun = return_->working || journal_.last_step > journal_.beginning;
  if (!begun && heard) {
    give_up_missing();
    hand_over(journal_.unclosed, journal_.digests);
    end_return();  // who lives stays admitted, and others may come
  } else if (begun && heard && members_.weakest() > 0) {
    go_on();
  } else if (begun && (nobody_can_hold_a_stage() || (late && return_->newcomers))) {
    give_up_return();
  }
}

bool Coordinator::Impl::nobody_can_hold_a_stage() const {
  std::vector<bool> held(config_.shape.stages);
  for (const auto& node : return_->expected) held.at(members_.seat(node)->stage.value) = true;
  for (std::uint32_t stage = 0; stage < held.size(); ++stage)
    if (!held[stage] && members_.replicas(StageIndex(stage)).empty()) return true;
  return false;
}

/// The coordinator of before may live on, and `member` may obey it until it has answered us:
/// nothing goes on without it.
void Coordinator::Impl::wait_again(Member member) {
  note(name(member) + " is waited for again");
  members_.remove(member.node);
  peers_.erase(member.node);
  if (!return_) return_.emplace(Return{now_, {}, true, false, {}});
  return_->expected.insert(member.node);
  if (phase_ != CoordinatorPhase::kTraining) return;
  phase_ = CoordinatorPhase::kAdmitting;
  finishing_since_.reset();
  rebuilding_.reset();
  book_.reset();
  survey_.reset();
  orders_.clear();
}

void Coordinator::Impl::give_up_missing() {
  for (const auto& node : return_->expected) {
    const NodeAssigned& seat = *members_.seat(node);
    const Member gone{node, seat.stage, seat.replica, seat.incarnation, {}, {}, false};
    persist(NodeGone{node});
    const std::string why = name(gone) + " has not come back";
    act(MemberGone{gone, why, false});
    note(why);
    ++nodes_lost_;
  }
  return_->expected.clear();
}

/// Seats are free from now on: first for those who had one.
void Coordinator::Impl::end_return() {
  const auto seated = std::exchange(return_->seated, {});
  return_.reset();
  admitted_at_ = now_;
  for (const auto& [node, event] : seated) join(event, std::get<JoinRequest>(event.message));
}

/// What the journal knows of the steps that were committed, and what is still owed of them.
void Coordinator::Impl::recall_books() {
  settlement_ = Settlement(config_.shape.stages);
  last_step_ = journal_.last_step;
  skipped_in_a_row_ = journal_.skipped_in_a_row;
  if (const auto& last = journal_.last) {
    epoch_ = last->ends_ledger_epoch ? last->ledger_epoch.next() : last->ledger_epoch;
    last_commit_ =
        Commit{last->scalars, last->checkpoint, last->ends_ledger_epoch, last->ledger_epoch};
  }
  for (StepRecord record : journal_.unclosed) {
    record.checkpoint = false;  // the newest of those that are not complete is asked for, below
    settlement_.committed(record);
  }
  for (const auto& [step, digests] : journal_.digests) settlement_.agreed(step, digests);
  if (journal_.unsaved) settlement_.expect_checkpoint(*journal_.unsaved);
}

/// Every stage has a member with its state: nothing is lost but the book of the open step.
void Coordinator::Impl::go_on() {
  give_up_missing();
  rebuilding_ = return_->since;
  return_.reset();
  recall_books();
  for (auto& [node, peer] : peers_) peer.loaded.emplace();
  phase_ = CoordinatorPhase::kTraining;
  note("the round goes on after step " + std::to_string(last_step_.value) + " with " +
       std::to_string(peers_.size()) + " nodes that have lived on");
  if (last_commit_) send_all(*last_commit_);
  if (journal_.last)
    after_commit(*journal_.last);
  else
    open_step(last_step_.next());
}

/// What members hold is ahead of what their stages can go on from.
void Coordinator::Impl::give_up_return() {
  give_up_missing();
  for (const auto& node : members_.nodes())
    lose(node, "the round goes back to step " + std::to_string(resume_step_.value) +
                   ": no node of some stage has lived on");
  roll_back();
  end_return();
}

/// Goes on after the last complete checkpoint. Steps that were committed since, in epochs that the
/// last coordinator did not close, count, although their digests are lost.
void Coordinator::Impl::roll_back() {
  hand_over(journal_.unclosed, journal_.digests);
  if (checkpoint_) act(CheckpointComplete{*checkpoint_});
  if (journal_.last_step > resume_step_) go_back(epoch_);
  if (resume_step_.value < config_.steps) return;
  end_ = RoundEnd{EndReason::kFinished, last_step_, false, "all steps are done", false};
  finish_round();
}

/// Everybody has said what it holds of the open step. False: somebody does not fit in, and is out.
bool Coordinator::Impl::rebuild_step() {
  if (const auto misfit = book_->recall(*survey_)) {
    const std::string why = name(*members_.find(misfit->node)) + " " + misfit->what;
    book_.emplace(book_->step(), config_.shape, book_->opened());
    lose(misfit->node, why);
    return false;
  }
  rebuilding_.reset();
  note("step " + std::to_string(book_->step().value) + " goes on with " +
       std::to_string(book_->units_done()) + " units done");
  send_all(StepOpen{book_->step(), members_.epoch()});
  return true;
}

}  // namespace coshard::round
