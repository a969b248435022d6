// The coordinator's machine: what it waits for, until when, and what it does then. For people; what
// it decides is decided elsewhere, by the same times. See wait.h.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "protocol/base/check.h"
#include "protocol/round/coordinator.h"
#include "protocol/round/coordinator_impl.h"

namespace coshard::round {

std::vector<Wait> Coordinator::Impl::waits() const {
  std::vector<Wait> waits;
  const auto add = [&](std::string what, TimePoint since, TimePoint deadline, std::string then) {
    waits.push_back({std::move(what), since, deadline, std::move(then)});
  };
  if (return_)
    add(std::to_string(return_->expected.size()) + " members to say that they have lived on",
        return_->since, return_->since + limits::kReturnTimeout,
        "they are given up where every stage has one");
  if (end_)
    add("digests, checkpoints and the ledger", ending_since_, end_deadline_,
        "the round ends without them");
  const bool goes_on = has_begun() && members_.weakest() > 0;
  if (phase_ == CoordinatorPhase::kAdmitting && !return_ && !fall_back_ && goes_on)
    add(waiting_for() + " to come back", admitted_at_, admitted_at_ + config_.admission_patience,
        "the round goes on without them");
  for (const auto& [place, shard] : kept_)
    if (phase_ == CoordinatorPhase::kAdmitting && !return_ && may_restore({}, shard))
      add("a node that holds stage " + std::to_string(shard.sealed.stage.value) + " after step " +
              std::to_string(shard.sealed.step.value),
          admitted_at_, fall_back_ ? admitted_at_ : admitted_at_ + config_.admission_patience,
          "any node may take its seat: node " + shard.keeper.short_hex() + " keeps its shard");
  if (!running()) return most_urgent(std::move(waits));
  if (survey_)
    add(std::to_string(members_.nodes().size() - survey_->size()) +
            " members to say what they hold of step " + std::to_string(book_->step().value),
        surveyed_at_, next_question(), "they are asked again");
  for (const auto& node : members_.nodes()) {
    const Member& member = *members_.find(node);
    if (phase_ == CoordinatorPhase::kLoading && !peers_.at(node).loaded)
      add(name(member) + " to load its stage", loading_since_,
          loading_since_ + loading_time(member),
          can_do_without(member) ? "the round begins without it" : "nobody can take its place");
  }
  for (const auto& [stage, keeping] : keeping_)
    if (saved_ && keeping.step == saved_->step && !keeping.failed)
      add("node " + keeping.keeper.short_hex() + " to keep the shard of stage " +
              std::to_string(stage.value) + " after step " + std::to_string(keeping.step.value),
          keeping.since, keeping.until, "the checkpoint counts without that");
  for (const auto& node : members_.nodes())
    if (const auto& late = peers_.at(node).late_since) {
      const bool spared = is_spare(*members_.find(node));
      add("a word of " + name(*members_.find(node)), peers_.at(node).heard_at,
          spared ? *late + 2 * limits::kHeartbeatInterval
                 : peers_.at(node).heard_at + limits::kSilenceMax,
          "it counts as lost");
    }
  for (const Complaint& complaint : complaints_) {
    const Member* from = members_.find(complaint.from);
    const Member* about = members_.find(complaint.about);
    if (from == nullptr || about == nullptr) continue;
    add(name(*from) + " to work with " + name(*about), complaint.since,
        complaint.since + limits::kSuspicionMin, "one of them is given up");
  }
  for (const auto& [node, since] : leaving_)
    if (book_ && members_.find(node) != nullptr)
      add("the end of the step, for " + name(*members_.find(node)) + " to leave", since,
          since + limits::kLeaveTimeout, "its units are done again");
  if (finishing_since_)
    add("the checkpoint of step " + std::to_string(last_step_.value), *finishing_since_,
        *finishing_since_ + limits::kSettleTimeout, "the round ends without it");
  if (book_) add_step_waits(waits);
  return most_urgent(std::move(waits));
}

/// To the first of those who have not said what they hold.
TimePoint Coordinator::Impl::next_question() const {
  TimePoint first = TimePoint::max();
  for (const auto& node : members_.nodes())
    if (!survey_->contains(node)) first = std::min(first, peers_.at(node).survey.due());
  return first;
}

/// Of the open step: by stage what is missing, and at stage 0, where it is known, from whom.
void Coordinator::Impl::add_step_waits(std::vector<Wait>& waits) const {
  const std::string step = " of step " + std::to_string(book_->step().value);
  if (relief_at_ && book_->units_done() > 0)
    waits.push_back({"the units" + step + ", " + std::to_string(book_->units_done()) + " are done",
                     book_->opened(), *relief_at_, "others take over what slow nodes hold"});
  const auto loads = book_->loads();
  for (const auto& node : members_.replicas(StageIndex(0))) {
    const Pace& pace = peers_.at(node).pace;
    const auto load = loads.find(node);
    if (load == loads.end() || load->second.open == 0 || !pace.seconds()) continue;
    const double due = load->second.open * *pace.seconds();
    waits.push_back(
        {std::to_string(load->second.open) + " microbatches" + step + " from " +
             name(*members_.find(node)),
         pace.since(),
         pace.since() + std::chrono::duration_cast<Duration>(std::chrono::duration<double>(due)),
         "others are preferred to it"});
  }
  for (std::uint32_t s = 0; s < config_.shape.stages; ++s) {
    const StageIndex stage(s);
    const auto closed = closed_at_.find(stage);
    if (book_->phase(stage) != StagePhase::kAveraging || closed == closed_at_.end()) continue;
    const auto times = averaging_times_.find(stage);
    const Duration expected = times == averaging_times_.end()
                                  ? Duration(limits::kSilenceMax)
                                  : times->second.expected(limits::kSilenceMax);
    waits.push_back({"the average" + step + " from stage " + std::to_string(s), closed->second,
                     closed->second + expected, "the stage is said again what it averages"});
  }
}

/// `stage` begins, or is through with, an average.
void Coordinator::Impl::note_averaging(StageIndex stage) {
  if (book_->phase(stage) == StagePhase::kAveraging) {
    closed_at_[stage] = now_;
    return;
  }
  const auto closed = closed_at_.find(stage);
  if (closed == closed_at_.end()) return;
  averaging_times_[stage].add(now_ - closed->second);
  closed_at_.erase(closed);
}

}  // namespace coshard::round
