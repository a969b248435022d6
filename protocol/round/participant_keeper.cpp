// The node's machine: sealed shards. It seals its own where nobody else has it, keeps that of a
// neighbouring stage, which it cannot read, and takes the place of a lost node with what was kept
// of its shard. See participant.h.
// SPDX-License-Identifier: Apache-2.0
#include "protocol/round/participant.h"
#include "protocol/round/participant_impl.h"

namespace coshard::round {

/// Said again: answered again once there is an answer.
bool Participant::Impl::handles_already(StepId step, StageIndex stage) {
  const auto answer = shards_handled_.find(stage);
  const bool answered = answer != shards_handled_.end() && answer->second.sealed.step >= step;
  if (answered) tell(config_.coordinator, answer->second);
  if (answered || shards_in_hand_.contains(stage)) {
    ++counters_.repeated;
    return true;
  }
  shards_in_hand_[stage] = step;
  return false;
}

void Participant::Impl::obey(const SealOrder& message) {
  if (!ready() || message.stage != welcome_->stage) {
    ++counters_.stale;
    return;
  }
  if (!handles_already(message.step, message.stage)) network(SealShard{message});
}

void Participant::Impl::obey(const KeepOrder& message) {
  if (!ready() || message.sealed.stage == welcome_->stage) {
    ++counters_.stale;
    return;
  }
  if (!handles_already(message.sealed.step, message.sealed.stage)) network(KeepShard{message});
}

void Participant::Impl::handle(const ShardHandled& event) {
  const StageIndex stage = event.answer.sealed.stage;
  shards_in_hand_.erase(stage);
  if (event.answer.error.empty()) shards_handled_[stage] = event.answer;
  tell(config_.coordinator, event.answer);
}

/// Once the keeper is known by the table; said again until the stage is loaded.
void Participant::Impl::obey(const ShardReturn& message) {
  const bool wanted = phase_ == ParticipantPhase::kLoading && welcome_->restores && table_ &&
                      message.sealed.stage == welcome_->stage &&
                      message.sealed.step == welcome_->resume_step;
  if (!wanted || restoring_) {
    ++counters_.repeated;
    return;
  }
  restoring_ = message;
  copying_since_ = now_;
  network(RestoreShard{message});
}

/// Who cannot bring the shard back says so, and is sent away: somebody else may have it.
void Participant::Impl::restored(const StateFetched& event) {
  if (phase_ != ParticipantPhase::kLoading || event.step != restoring_->sealed.step) return;
  if (event.error.empty()) return engine(Begin{*welcome_});
  tell(config_.coordinator, ShardSealed{restoring_->sealed, event.error});
}

}  // namespace coshard::round
