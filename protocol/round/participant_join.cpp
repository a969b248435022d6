// The node's machine while it joins a round under way: gets its stage's state from the replicas,
// replays what came meanwhile (catch_up.h), shows the digest after every step, and works from the
// step on that the coordinator names. See participant.h.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <utility>

#include "protocol/base/check.h"
#include "protocol/round/participant.h"
#include "protocol/round/participant_impl.h"

namespace coshard::round {

/// Runs after every event while joining.
void Participant::Impl::catch_up() {
  const auto present = [this](const NodeId& node) { return find_member(node) != nullptr; };
  if (catch_up_->is_stuck(now_, limits::kCatchUpPatience, present))
    return give_up_joining("averages of step " + std::to_string(catch_up_->applied().next().value) +
                               " did not come; the state has to be copied anew",
                           true);
  fetch_state();
  sort_out(catch_up_->advance());
  if (catch_up_->is_loaded() && may_work_after(catch_up_->applied())) become_member();
}

/// The next step is open, and this node is a member that works on it.
bool Participant::Impl::may_work_after(StepId step) const {
  const Member* self = table_ ? find_member(config_.self) : nullptr;
  return self != nullptr && !self->joining && opened_early_ && opened_early_->step == step.next();
}

// ---- what comes ---------------------------------------------------------------------------------

void Participant::Impl::note_chunk(const Member& from, const GradientChunk& chunk) {
  if (from.stage != welcome_->stage || chunk.stage != welcome_->stage)
    return fault(from.node, "sends a chunk without being a replica of this stage");
  const Arrival arrival = catch_up_->contribution_arrived(from.node, chunk);
  if (!judge(arrival, from.node, "a gradient chunk that cannot be")) return;
  keeps_.push_back(KeepPayload{ChunkKey{chunk.step, chunk.attempt, chunk.chunk, from.node, false}});
}

void Participant::Impl::note_average(const Member& from, const AveragedChunk& chunk) {
  if (from.stage != welcome_->stage || chunk.stage != welcome_->stage)
    return fault(from.node, "sends an average without being a replica of this stage");
  const Arrival arrival = catch_up_->average_arrived(from.node, chunk);
  if (!judge(arrival, from.node, "an averaged chunk that cannot be")) return;
  keeps_.push_back(KeepPayload{ChunkKey{chunk.step, chunk.attempt, chunk.chunk, from.node, true}});
}

void Participant::Impl::obey(const StateOffer& message) {
  const ShardFile& file = message.file;
  if (!is_joining() || file.stage != welcome_->stage || file.step < welcome_->resume_step ||
      catch_up_->is_loaded() || (offer_ && file.step <= offer_->step)) {
    ++counters_.repeated;
    return;
  }
  offer_ = file;
}

/// Once the offer and the replicas are known. A newer offer waits until the copy under way is done,
/// or given up because nobody has that state any more.
void Participant::Impl::fetch_state() {
  if (fetching_ || !offer_ || !table_) return;
  fetching_ = offer_;
  copying_since_ = now_;
  network(FetchState{*offer_, replicas(stage())});
}

void Participant::Impl::handle(const StateFetched& event) {
  copying_since_.reset();
  progress_.reset();
  if (restoring_) return restored(event);
  if (!is_joining() || !fetching_ || fetching_->step != event.step) return;
  const bool newer = offer_->step > event.step;
  if (!event.error.empty()) {
    if (!newer) return give_up_joining(event.error, true);
    fetching_.reset();
    return;
  }
  Welcome seat = *welcome_;
  seat.resume_step = event.step;
  seat.resume_file_hash = fetching_->file_hash;  // a newer offer may have come meanwhile
  engine(Begin{seat});
}

/// Parameters and two moments, three numbers for each of the gradient's: a third of the state is
/// what comes every step.
void Participant::Impl::handle(const StateProgress& event) {
  if (copying_since_) progress_ = event;
  if (!is_joining() || event.elapsed < limits::kLinkMeasureMin || !first_commit_) return;
  const auto steps = last_commit_->first.value - first_commit_->first.value;
  if (steps < 2 || event.bytes == event.bytes_total) return;
  const std::uint64_t gradient = event.bytes_total / 3;
  const Duration step =
      (last_commit_->second - first_commit_->second) / static_cast<Duration::rep>(steps);
  const auto link = check_link(event.bytes + steps * gradient, event.elapsed, gradient, step);
  if (!link) give_up_joining(link.error().message, false);
}

void Participant::Impl::join_loaded(const StageReady& event) {
  COSHARD_CHECK_OP(stage(), <, event.shape.stages);
  shape_ = event.shape;
  schedule_ = event.schedule;
  chunks_ = event.chunks;
  sort_out(catch_up_->loaded(fetching_->step, event.chunks));
}

void Participant::Impl::join_applied(const UpdateApplied& event) {
  sort_out(catch_up_->update_applied(event.step));
  update_report_ = UpdateReport{event.step, welcome_->stage, event.digest};
  reported_applied_at_ = now_;
  tell(config_.coordinator, *update_report_);
}

// ---- in, or out ---------------------------------------------------------------------------------

void Participant::Impl::use_joiners_table(const MembershipTable& table) {
  use_table(table);
  const Member* self = find_member(config_.self);
  if (self == nullptr || self->joining) return;
  if (!catch_up_->is_loaded())
    return give_up_joining("the coordinator lets in a node that holds nothing", true);
}

/// Else it is closed again without who is gone, or the table that names who is new was lost on its
/// way here and is said again.
bool Participant::Impl::names_the_present(const StageClosed& closed) const {
  return !closed.holders.empty() || std::ranges::all_of(closed.reducers, [this](const auto& node) {
    return find_member(node) != nullptr;
  });
}

/// Once the update of before is applied, which may come while the others work on their next step
/// already. What came early for that step is told once more, now to the machine that works on it.
void Participant::Impl::become_member() {
  const StepId last = catch_up_->applied();
  CatchUp::Early early = catch_up_->take_early(last.next());
  catch_up_.reset();
  committed_ = applied_ = last;
  phase_ = ParticipantPhase::kTraining;
  take_seat();
  tell_holdings();
  obey(*std::exchange(opened_early_, std::nullopt));
  if (early.closed && names_the_present(*early.closed)) obey(*early.closed);
  if (early.contributions.empty() && early.averages.empty()) return;
  OpenStep& step = *find_step(last.next());
  Attempt newest{};
  for (const auto& [attempt, chunks] : early.contributions) newest = std::max(newest, attempt);
  for (const auto& [attempt, chunks] : early.averages) newest = std::max(newest, attempt);
  if (early.closed) newest = std::max(newest, early.closed->attempt);
  if (newest > step.averaging.attempt()) begin_attempt(step, last.next(), newest);
  for (const auto& [from, chunk] : early.contributions[newest])
    (void)step.averaging.contribution_arrived(from, chunk);
  for (const auto& [chunk, average] : early.averages[newest])
    (void)step.averaging.average_arrived(average.first, chunk, average.second);
}

void Participant::Impl::give_up_joining(std::string reason, bool again) {
  tell(config_.coordinator, LeaveNotice{reason});
  finish(EndReason::kNodeLost, std::move(reason), !again, again);
}

}  // namespace coshard::round
