// The node's machine: what it hears. What it then does: participant_work.cpp. See participant.h.
// SPDX-License-Identifier: Apache-2.0
#include "protocol/round/participant.h"

#include <algorithm>
#include <utility>

#include "protocol/base/check.h"
#include "protocol/round/participant_impl.h"

namespace coshard::round {

// ---- the machine as its shell sees it -----------------------------------------------------------

Participant::Participant(ParticipantConfig config)
    : impl_(std::make_unique<Impl>(std::move(config))) {}
Participant::~Participant() = default;
Participant::Participant(Participant&&) noexcept = default;
Participant& Participant::operator=(Participant&&) noexcept = default;
ParticipantActions Participant::start(TimePoint now) { return impl_->start(now); }
ParticipantActions Participant::on(const ParticipantEvent& event, TimePoint now) {
  return impl_->on(event, now);
}
ParticipantPhase Participant::phase() const { return impl_->phase(); }
Heartbeat Participant::heartbeat() const { return impl_->heartbeat(); }
const ParticipantCounters& Participant::counters() const { return impl_->counters(); }
std::optional<Welcome> Participant::seat() const { return impl_->seat(); }
std::vector<Wait> Participant::waits() const { return impl_->waits(); }
std::optional<Duration> Participant::coordinator_silence(TimePoint now) const {
  return impl_->coordinator_silence(now);
}

Participant::Impl::Impl(ParticipantConfig config) : config_(std::move(config)) {
  COSHARD_CHECK_OP(config_.engine_depth, >, 0U);
}

ParticipantActions Participant::Impl::start(TimePoint now) {
  now_ = now;
  ask();
  return take_actions();
}

ParticipantActions Participant::Impl::on(const ParticipantEvent& event, TimePoint now) {
  now_ = now;
  if (phase_ == ParticipantPhase::kEnded) return {};
  std::visit([this](const auto& what) { handle(what); }, event);
  pump();
  return take_actions();
}

// ---- events -------------------------------------------------------------------------------------

void Participant::Impl::handle(const Received& event) {
  if (event.from == config_.coordinator) {
    heard_at_ = now_;
    return std::visit([this](const auto& message) { obey(message); }, event.message);
  }
  const Member* member = find_member(event.from);
  if (member != nullptr && (ready() || is_joining()))
    return std::visit([&](const auto& message) { hear(*member, message); }, event.message);
  // A neighbour may be ready before us: its grant need not wait for its repetition.
  const auto* grant = std::get_if<SlotGrant>(&event.message);
  if (grant != nullptr && member != nullptr && !seated_) return keep_for_later(*member, *grant);
  ++counters_.stranger;
}

void Participant::Impl::handle(const PeerLost& event) {
  if (find_member(event.node) == nullptr || phase_ != ParticipantPhase::kTraining) return;
  tell(config_.coordinator, PeerComplaint{event.node, committed_.next(), event.reason});
}

void Participant::Impl::handle(const Tick&) {
  if (is_joining() && update_report_ && now_ - reported_applied_at_ >= limits::kRepeatInterval) {
    reported_applied_at_ = now_;
    tell(config_.coordinator, *update_report_);
  }
  ask_again();
  if (seated_ && phase_ == ParticipantPhase::kTraining &&
      now_ - granted_at_ >= limits::kRepeatInterval)
    grant_slots();
  if (leaving_since_ && !end_) go_on_leaving();
}

void Participant::Impl::handle(const EpochSettled& event) {
  if (settling_epoch_ && event.epoch >= *settling_epoch_) settling_epoch_.reset();
}

void Participant::Impl::handle(const StageReady& event) {
  if (is_joining()) return join_loaded(event);
  COSHARD_CHECK(phase_ == ParticipantPhase::kLoading || phase_ == ParticipantPhase::kEnding);
  COSHARD_CHECK_OP(stage(), <, event.shape.stages);
  if (phase_ != ParticipantPhase::kLoading) return;
  phase_ = ParticipantPhase::kTraining;
  shape_ = event.shape;
  schedule_ = event.schedule;
  chunks_ = event.chunks;
  loaded_digest_ = event.digest;
}

void Participant::Impl::handle(const ComputeDone& event) {
  const auto issued = std::find(computing_.begin(), computing_.end(), event.work);
  if (issued == computing_.end()) return;  // of a step that was dropped meanwhile
  computing_.erase(issued);
  measure(event.work.op);
  const Unit& unit = event.work.unit;
  OpenStep& step = steps_.at(unit.step);
  const Flight* flight = step.pipeline.find(unit);
  if (flight->relieved) return;
  if (!event.error.empty()) return refuse(step, event);
  const auto outgoing = step.pipeline.computed(event.work, event.tokens, event.loss_sum);
  if (flight->progress == UnitProgress::kDone && flight->redo == Redo::kCount) {
    step.unacknowledged.insert(unit.microbatch);
    step.unreported = true;
  }
  send_out(outgoing);
}

/// Where an order wanted it, the coordinator has to know: there is another way to what is missing.
void Participant::Impl::handle(const OutputEvicted& event) {
  const auto found = steps_.find(event.key.unit.step);
  if (found == steps_.end() || event.key.unit.stage != welcome_->stage) return;
  found->second.pipeline.evicted(event.key.unit, event.key.direction);
  if (event.wanted) tell_holdings(true);
}

void Participant::Impl::handle(const ChunkReduced& event) {
  const auto found = steps_.find(event.step);
  if (found == steps_.end() || found->second.averaging.attempt() != event.attempt) return;
  sort_out(found->second.averaging.reduced(event.chunk, event.squared_norm));
}

void Participant::Impl::handle(const AverageSet& event) {
  if (is_joining()) return sort_out(catch_up_->average_set(event));
  const auto found = steps_.find(event.step);
  if (found == steps_.end() || found->second.averaging.attempt() != event.attempt) return;
  OpenStep& step = found->second;
  step.report = AverageReport{event.step, welcome_->stage, event.attempt, event.average_hash,
                              step.averaging.squared_norms()};
  step.reported_average_at = now_;
  average_times_.add(now_ - step.closed_at);
  tell(config_.coordinator, *step.report);
}

void Participant::Impl::handle(const UpdateApplied& event) {
  if (is_joining()) return join_applied(event);
  COSHARD_CHECK(updating_ && commit_ && commit_->scalars.step == event.step);
  updating_ = false;
  applied_ = event.step;
  const Commit commit = *commit_;
  commit_.reset();
  update_report_ = UpdateReport{event.step, welcome_->stage, event.digest};
  tell(config_.coordinator, *update_report_);
  if (commit.checkpoint) save(event.step);
  open_epoch_ = commit.ledger_epoch;
  if (commit.ends_ledger_epoch) {
    settling_epoch_ = std::exchange(open_epoch_, std::nullopt);
    network(SettleEpoch{*settling_epoch_, welcome_->stage});
  }
}

void Participant::Impl::handle(const CheckpointSaved& event) {
  COSHARD_CHECK(saving_ == event.step);
  saving_.reset();
  if (to_save_) save(*std::exchange(to_save_, std::nullopt));
  checkpoint_report_ =
      CheckpointReport{event.step, welcome_->stage, event.file_hash, event.bytes, event.error};
  tell(config_.coordinator, *checkpoint_report_);
}

void Participant::Impl::handle(const LeaveRequested& event) {
  if (end_ || leaving_since_) return;
  leaving_since_ = now_;
  leave_notice_ = {event.reason};
  if (phase_ == ParticipantPhase::kJoining || is_joining()) {
    tell(config_.coordinator, leave_notice_);
    return finish(EndReason::kStopped, event.reason);
  }
  go_on_leaving();
}

// ---- the coordinator's words --------------------------------------------------------------------

void Participant::Impl::obey(const Welcome& message) {
  if (phase_ != ParticipantPhase::kJoining) {
    ++counters_.repeated;
    return;
  }
  welcome_ = message;
  seated_at_ = now_;
  committed_ = applied_ = message.resume_step;
  if (message.joins) {
    phase_ = ParticipantPhase::kCatchingUp;
    catch_up_.emplace(message.resume_step);
    return;
  }
  phase_ = ParticipantPhase::kLoading;
  if (!message.restores) engine(Begin{message});
}

void Participant::Impl::obey(const Refused& message) {
  if (end_) return finish(end_->reason, end_->text);
  const bool was_in = phase_ != ParticipantPhase::kJoining;
  const bool goes_back = message.code == ErrorCode::kAborted;
  if (goes_back && !was_in) return;  // said to the process before this one
  drop_steps_after(committed_);
  // Who cannot save would be sent away again at the next checkpoint.
  const bool can_save = !checkpoint_report_ || checkpoint_report_->error.empty();
  const bool again = was_in && !leaving_since_ && can_save;
  finish(EndReason::kStopped, message.reason, !leaving_since_, again, goes_back);
}

void Participant::Impl::obey(const MembershipTable& message) {
  if (!welcome_) {
    ++counters_.stale;
    return;
  }
  // The word that ended the incarnation of before was lost.
  const auto self = std::ranges::find(message.members, config_.self, &Member::node);
  if (self != message.members.end() && self->incarnation > welcome_->incarnation)
    return obey(Refused{ErrorCode::kAborted, "this node was given another seat meanwhile"});
  if (table_ && message.epoch <= table_->epoch) {
    ++counters_.repeated;
    tell_holdings();
    return repeat_reports();
  }
  if (is_joining()) return use_joiners_table(message);
  change_members(message);
  tell_holdings();
}

void Participant::Impl::obey(const StepOpen& message) {
  if (!ready()) return;  // said again until we answer
  if (is_joining()) return void(opened_early_ = message);
  OpenStep* step = find_step(message.step);
  if (step == nullptr) return;
  if (step->opened) {
    ++counters_.repeated;
    repeat_reports();
    step->pull_answered = false;  // whoever says it again does not know what we can take
  }
  if (!step->opened) step->opened = message.epoch;
}

void Participant::Impl::obey(const MicrobatchGrant& message) {
  OpenStep* step = ready() ? find_step(message.step) : nullptr;
  if (step == nullptr) return;
  if (message.request == step->pull_request) step->pull_answered = true;
  for (const auto& granted : message.microbatches)
    if (step->pipeline.granted(granted.microbatch, granted.attempt) == Arrival::kRefused)
      fault(config_.coordinator, "a grant that cannot be");
}

void Participant::Impl::obey(const UnitAck& message) {
  const auto found = steps_.find(message.step);
  if (found == steps_.end()) {
    ++counters_.stale;
    return;
  }
  for (const auto microbatch : message.microbatches) found->second.unacknowledged.erase(microbatch);
}

void Participant::Impl::obey(const StageClosed& message) {
  if (message.contributions.empty() || message.reducers.empty())
    return fault(config_.coordinator, "closes a book without contributions or reducers");
  if (is_joining()) return sort_out(catch_up_->closed(message));
  OpenStep* step = ready() ? find_step(message.step) : nullptr;
  if (step == nullptr) return;
  if (message.stage != welcome_->stage)
    return fault(config_.coordinator, "closes another stage's book here");
  // A neighbour's chunk may have told of a newer attempt before the coordinator's word on an older.
  const bool outdated = message.attempt < step->averaging.attempt();
  if (!outdated && !message.holders.empty()) {  // of an attempt that may be known already
    if (message.attempt > step->averaging.attempt())
      begin_attempt(*step, message.step, message.attempt);
    keep(*step, message);
    if (step->report) tell(config_.coordinator, *step->report);
    return;
  }
  if (outdated || (step->closed_attempt && message.attempt <= *step->closed_attempt)) {
    ++counters_.repeated;
    if (step->report) tell(config_.coordinator, *step->report);
    return;
  }
  begin_attempt(*step, message.step, message.attempt);
  keep(*step, message);
}

void Participant::Impl::keep(OpenStep& step, const StageClosed& closed) {
  step.closed_attempt = closed.attempt;
  step.closed = closed;
  step.closed_at = now_;
}

void Participant::Impl::obey(const Commit& message) {
  const StepId step = message.scalars.step;
  if (is_joining()) {
    if (!last_commit_ || step > last_commit_->first) last_commit_.emplace(step, now_);
    if (!first_commit_) first_commit_ = last_commit_;
    const auto noted = catch_up_->committed(message, now_);
    return noted ? void() : give_up_joining(noted.error().message, true);
  }
  if (!welcome_ || step <= committed_) {
    ++counters_.repeated;
    return repeat_reports();
  }
  // The coordinator waits for everybody's digest of each step: this was said to whoever had the
  // seat before, in steps that were given up.
  if (phase_ == ParticipantPhase::kLoading || step != committed_.next()) {
    ++counters_.stale;
    return;
  }
  const auto found = steps_.find(step);
  if (found == steps_.end() || !found->second.report)
    return leave("the round is at step " + std::to_string(step.value) +
                 ", this node's state is that after step " + std::to_string(applied_.value));
  commit_times_.add(now_ - found->second.reported_average_at);
  COSHARD_CHECK(!commit_);  // the coordinator waits for the digest of the step before
  committed_ = step;
  commit_ = message;
  routed_before_ = found->second.routed;
  router_.rest(now_);
  steps_.erase(found);
  // What still passes through for a repair is of no use any more.
  std::erase_if(computing_, [&](const Work& work) { return work.unit.step <= step; });
  network(Release{step});
}

void Participant::Impl::obey(const RoundEnd& message) {
  if (phase_ == ParticipantPhase::kJoining) {  // said to whoever had this seat before
    ++counters_.stale;
    return;
  }
  released_ |= message.settled;
  if (end_) {
    ++counters_.repeated;
    return repeat_reports();
  }
  if (phase_ == ParticipantPhase::kJoining) return;  // said to the process of before
  if (is_joining()) return finish(message.reason, message.text);
  end_ = message;
  phase_ = ParticipantPhase::kEnding;
  ending_since_ = now_;
  drop_steps_after(message.last_step);
}

// ---- other members' words -----------------------------------------------------------------------

/// Until this node takes part.
void Participant::Impl::keep_for_later(const Member& from, const SlotGrant& grant) {
  const bool meant = welcome_ && grant.to == welcome_->incarnation;
  if (meant && early_slots_.size() < limits::kReplicasMax)
    early_slots_.emplace_back(from.node, grant.slots_total);
}

void Participant::Impl::hear(const Member& from, const SlotGrant& message) {
  if (from.stage.value != stage() + 1) return fault(from.node, "grants slots without being next");
  if (is_joining()) return keep_for_later(from, message);
  if (message.to != welcome_->incarnation) {
    ++counters_.stale;
    return;
  }
  router_.grant(from.node, message.slots_total);
  if (message.unit_us > 0) router_.says(from.node, static_cast<double>(message.unit_us) * 1e-6);
}

void Participant::Impl::hear(const Member& from, const ForwardTensor& message) {
  if (from.stage.value + 1 != stage() || message.unit.stage != from.stage)
    return fault(from.node, "sends a forward tensor that is not for this stage");
  OpenStep* step = find_step(message.unit.step);
  if (step == nullptr) return;
  const Arrival arrival = step->pipeline.judge_forward(from.node, message.unit, message.ordered);
  if (!judge(arrival, from.node, "a forward tensor that cannot be")) return;
  if (!message.ordered && !slots_.accept(from.node))
    return fault(from.node, "sends more than it was granted");
  step->pipeline.forward_arrived(from.node, message.unit, message.ordered);
  keeps_.push_back(KeepPayload{TensorKey{message.unit, Direction::kForward}});
}

void Participant::Impl::hear(const Member& from, const BackwardTensor& message) {
  if (from.stage.value != stage() + 1 || message.unit.stage != from.stage)
    return fault(from.node, "sends a gradient that is not for this stage");
  router_.grant(from.node, message.slots_total);
  OpenStep* step = find_step(message.unit.step);
  if (step == nullptr) return;
  const Arrival arrival = step->pipeline.backward_arrived(from.node, message.unit);
  if (!judge(arrival, from.node, "a gradient that cannot be")) return;
  note_gradient(
      *step, {message.unit.step, message.unit.microbatch, welcome_->stage, message.unit.attempt});
  const Flight* flight = step->pipeline.find(message.unit);
  if (flight != nullptr && flight->routed && flight->to.node == from.node)
    router_.returned(from.node, now_);
  keeps_.push_back(KeepPayload{TensorKey{message.unit, Direction::kBackward}});
}

void Participant::Impl::hear(const Member& from, const GradientChunk& message) {
  if (is_joining()) return note_chunk(from, message);
  OpenStep* step = averaging_step(from, message.step, message.stage, message.attempt);
  if (step == nullptr) return;
  const Arrival arrival = step->averaging.contribution_arrived(from.node, message.chunk);
  if (!judge(arrival, from.node, "a gradient chunk that cannot be")) return;
  keeps_.push_back(
      KeepPayload{ChunkKey{message.step, message.attempt, message.chunk, from.node, false}});
  sort_out(step->averaging.advance());
}

void Participant::Impl::hear(const Member& from, const AveragedChunk& message) {
  if (is_joining()) return note_average(from, message);
  OpenStep* step = averaging_step(from, message.step, message.stage, message.attempt);
  if (step == nullptr) return;
  const Arrival arrival =
      step->averaging.average_arrived(from.node, message.chunk, message.squared_norm);
  if (!judge(arrival, from.node, "an averaged chunk that cannot be")) return;
  keeps_.push_back(
      KeepPayload{ChunkKey{message.step, message.attempt, message.chunk, from.node, true}});
  sort_out(step->averaging.advance());
}

/// Every chunk that is here, whoever reduced it.
void Participant::Impl::hear(const Member& from, const AverageAsk& message) {
  const auto found = steps_.find(message.step);
  const bool has = found != steps_.end() && found->second.report.has_value() &&
                   found->second.averaging.attempt() == message.attempt;
  if (from.stage != welcome_->stage || message.stage != welcome_->stage)
    return fault(from.node, "asks for an average without being a replica of this stage");
  if (!has) {
    ++counters_.stale;
    return;
  }
  const Averaging& averaging = found->second.averaging;
  for (const ChunkIndex chunk : message.chunks)
    if (chunk.value < averaging.chunks())
      network(SendAverage{{from.node},
                          message.step,
                          message.attempt,
                          chunk,
                          averaging.squared_norms()[chunk.value]});
}

}  // namespace coshard::round
