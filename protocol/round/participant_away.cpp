// The node's machine while nobody hears it: it keeps its stage and all that it has done, goes on as
// far as it can, and asks until a coordinator answers: that of before, or one that has its journal.
// See participant.h.
// SPDX-License-Identifier: Apache-2.0
#include <utility>

#include "protocol/round/participant.h"
#include "protocol/round/participant_impl.h"

namespace coshard::round {

/// To be let in; or, with a seat, to be known again.
void Participant::Impl::ask() {
  asked_at_ = now_;
  JoinRequest request = config_.join;
  if (welcome_) {
    const auto open = steps_.find(committed_.next());
    // Units may have come from others before the word that the step is open.
    const bool working =
        open != steps_.end() && (open->second.opened || !open->second.pipeline.holdings().empty());
    request.seat = {welcome_->incarnation, committed_, working};
  }
  tell(config_.coordinator, std::move(request));
}

void Participant::Impl::ask_again() {
  const bool joining = phase_ == ParticipantPhase::kJoining;
  const auto silence = coordinator_silence(now_);
  const bool asks = joining || (silence && holds_state());
  if (asks && now_ - asked_at_ >= limits::kRepeatInterval) ask();
  // Who holds no state yet has nothing to wait with: it starts over.
  const Duration patience = holds_state() ? config_.coordinator_patience : limits::kSilenceMax;
  if (joining || !silence || *silence < patience) return;
  drop_steps_after(committed_);
  finish(EndReason::kNodeLost,
         "the coordinator was silent for " +
             std::to_string(std::chrono::duration_cast<std::chrono::seconds>(*silence).count()) +
             " s",
         !holds_state(), !holds_state());
}

/// The coordinator lets go of who leaves when its step ends, or ends the round, so that our state
/// is saved. Where nobody can answer, or does, nothing is waited for.
void Participant::Impl::go_on_leaving() {
  if (!noticed_at_ || now_ - *noticed_at_ >= limits::kRepeatInterval) {
    noticed_at_ = now_;
    tell(config_.coordinator, leave_notice_);
  }
  if (!coordinator_silence(now_) && now_ - *leaving_since_ < kLeavePatience) return;
  drop_steps_after(committed_);
  finish(EndReason::kStopped, leave_notice_.reason + ", without the coordinator's answer");
}

std::optional<Duration> Participant::Impl::coordinator_silence(TimePoint now) const {
  if (!welcome_ || now - heard_at_ < limits::kClaimSilence) return std::nullopt;
  return now - heard_at_;
}

}  // namespace coshard::round
