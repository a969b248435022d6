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
    request.seat = {welcome_->incarnation, committed_, open != steps_.end() && open->second.opened};
  }
  tell(config_.coordinator, std::move(request));
}

void Participant::Impl::ask_again() {
  const bool joining = phase_ == ParticipantPhase::kJoining;
  const auto silence = coordinator_silence(now_);
  if ((joining || (silence && !is_joining())) && now_ - asked_at_ >= limits::kRepeatInterval) ask();
  // Who holds no state yet has nothing to wait with: it starts over.
  const Duration patience = is_joining() ? limits::kSilenceMax : config_.coordinator_patience;
  if (joining || !silence || *silence < patience) return;
  drop_steps_after(committed_);
  finish(EndReason::kNodeLost,
         "the coordinator was silent for " +
             std::to_string(std::chrono::duration_cast<std::chrono::seconds>(*silence).count()) +
             " s",
         is_joining(), is_joining());
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
