// The node's machine: what it waits for, until when, and what comes then. For people. See wait.h.
// SPDX-License-Identifier: Apache-2.0
#include "protocol/round/participant.h"
#include "protocol/round/participant_impl.h"

namespace coshard::round {

std::vector<Wait> Participant::Impl::waits() const {
  std::vector<Wait> waits;
  if (phase_ == ParticipantPhase::kJoining)
    waits.push_back({"the coordinator's answer", asked_at_, asked_at_ + limits::kRepeatInterval,
                     "it is asked again"});
  if (coordinator_silence(now_))
    waits.push_back({"the coordinator to come back", heard_at_,
                     heard_at_ + config_.coordinator_patience, "the round is given up"});
  if (copying_since_)
    waits.push_back(copy_wait());
  else if (phase_ == ParticipantPhase::kLoading)
    waits.push_back({"the engine to load the stage", seated_at_, heard_at_ + limits::kSilenceMax,
                     "the coordinator is asked whether the seat is kept"});
  if (leaving_since_ && !end_)
    waits.push_back({"the coordinator to let this node go", *leaving_since_,
                     *leaving_since_ + kLeavePatience, "it goes without an answer"});
  if (phase_ == ParticipantPhase::kEnding)
    waits.push_back({"the last commit, the state and the ledger", ending_since_,
                     ending_since_ + 2 * limits::kSettleTimeout, "the node ends without them"});
  if (const auto open = steps_.find(committed_.next()); open != steps_.end())
    add_step_waits(waits, open->second);
  return most_urgent(std::move(waits));
}

/// What is still to come comes as fast as what has come.
Wait Participant::Impl::copy_wait() const {
  Rate line;
  if (progress_) line.add(progress_->bytes, progress_->elapsed);
  const std::uint64_t bytes = progress_ ? progress_->bytes_total : 0;
  return {"the state of the stage from those who have it", *copying_since_,
          *copying_since_ + line.expected(bytes, limits::kLoadTimeout),
          "it is loaded as soon as it is here"};
}

/// As long as it took before; before the first time, as long as a silent node is waited for.
Duration Participant::Impl::expected(const Times& times) const {
  return times.expected(limits::kSilenceMax);
}

void Participant::Impl::add_step_waits(std::vector<Wait>& waits, const OpenStep& step) const {
  const std::string of_step = " of step " + std::to_string(committed_.next().value);
  for (const auto& [unit, sent] : step.awaited) {
    const Member* peer = find_member(sent.to);
    if (peer == nullptr) continue;
    const auto times = gradient_times_.find(sent.to);
    const Duration due = expected(times == gradient_times_.end() ? Times() : times->second);
    waits.push_back({"the gradient of microbatch " + std::to_string(unit.microbatch.value) +
                         of_step + " from stage " + std::to_string(peer->stage.value) +
                         ", replica " + std::to_string(peer->replica.value),
                     sent.at, sent.at + due, "other replicas are preferred to it"});
  }
  if (!step.pull_answered)
    waits.push_back({"microbatches" + of_step, step.pulled_at,
                     step.pulled_at + limits::kRepeatInterval, "they are asked for again"});
  if (step.report)
    waits.push_back({"the commit" + of_step, step.reported_average_at,
                     step.reported_average_at + expected(commit_times_),
                     "the average is reported again when the coordinator asks"});
  else if (step.closed)
    waits.push_back({"the average" + of_step, step.closed_at,
                     step.closed_at + expected(average_times_),
                     "the coordinator says again who averages"});
  if (step.blocked_since)
    waits.push_back({"a slot of stage " + std::to_string(stage() + 1), *step.blocked_since,
                     *step.blocked_since + limits::kRepeatInterval, "slots are granted again"});
}

/// An output went to a hop that was chosen here.
void Participant::Impl::await_gradient(OpenStep& step, const Unit& unit, const NodeId& to) {
  step.awaited[unit] = {to, now_};
}

/// The gradient of our unit `unit` came.
void Participant::Impl::note_gradient(OpenStep& step, const Unit& unit) {
  const auto sent = step.awaited.find(unit);
  if (sent == step.awaited.end()) return;
  gradient_times_[sent->second.to].add(now_ - sent->second.at);
  step.awaited.erase(sent);
}

}  // namespace coshard::round
