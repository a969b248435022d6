// The node's machine: what it does with what it heard. See participant.h.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <utility>

#include "protocol/base/check.h"
#include "protocol/round/participant.h"
#include "protocol/round/participant_impl.h"

namespace coshard::round {

/// Runs after every event. Nothing here waits for anything but what the state shows, so the order
/// of events never matters for whether work goes on.
void Participant::Impl::pump() {
  if (is_joining()) catch_up();
  if (phase_ == ParticipantPhase::kEnding) return advance_ending();
  if (phase_ != ParticipantPhase::kTraining || !ready()) return;
  if (!seated_) {
    take_seat();
    // Ready: this is the state from which the round goes on.
    update_report_ = UpdateReport{applied_, welcome_->stage, loaded_digest_};
    tell(config_.coordinator, *update_report_);
  }
  apply_commit();
  OpenStep* step = active();
  if (step == nullptr) return;
  feed_engine(*step);
  send_outputs(*step);
  if (is_first()) pull(*step);
  report_units(*step);
  repeat_refusal(*step);
  average(*step);
}

/// The engine holds the stage and the members are known: neighbours are told how much they may
/// send.
void Participant::Impl::take_seat() {
  seated_ = true;
  if (!is_last())
    router_.set_peers(replicas(stage() + 1), welcome_->replica.value, replicas(stage()).size());
  for (const auto& [node, slots_total] : std::exchange(early_slots_, {}))
    if (const Member* member = find_member(node); member && member->stage.value == stage() + 1)
      router_.grant(node, slots_total);
  if (is_first()) return;
  for (const auto& node : slots_.open(replicas(stage() - 1), in_flight()))
    tell(node, slot_grant(node));
}

void Participant::Impl::grant_slots() {
  granted_at_ = now_;
  if (is_first()) return;
  for (const auto& node : replicas(stage() - 1)) tell(node, slot_grant(node));
}

/// As measured, or so far, where what the engine works on takes longer; 0 before the first.
double Participant::Impl::unit_seconds() const {
  const auto takes = [this](WorkOp op) { return op_seconds_[static_cast<std::size_t>(op)]; };
  const double unit =
      is_last() ? takes(WorkOp::kForwardLoss) : takes(WorkOp::kForward) + takes(WorkOp::kBackward);
  if (unit == 0 || computing_.empty()) return unit;
  return std::max(unit, seconds(now_ - computing_since_));
}

SlotGrant Participant::Impl::slot_grant(const NodeId& upstream) const {
  return {slots_.total(upstream), static_cast<std::uint64_t>(unit_seconds() * 1e6),
          find_member(upstream)->incarnation};
}

/// A unit of `upstream` is over here, and no gradient takes its slot back.
void Participant::Impl::finish_slot(const NodeId& upstream) {
  slots_.finish(upstream);
  tell(upstream, slot_grant(upstream));
}

/// The engine works through what it was given one after the other, and is through with the oldest.
void Participant::Impl::measure(WorkOp op) {
  constexpr double kNewestWeight = 0.2;
  double& average = op_seconds_[static_cast<std::size_t>(op)];
  const double sample = seconds(now_ - std::exchange(computing_since_, now_));
  // The first of a kind warms caches up, and nobody would give work to one that is so slow.
  if (!std::exchange(op_warm_[static_cast<std::size_t>(op)], true)) return;
  average = average == 0 ? sample : average + kNewestWeight * (sample - average);
}

void Participant::Impl::feed_engine(OpenStep& step) {
  while (computing_.size() < config_.engine_depth) {
    const auto work = step.pipeline.next();
    if (!work) return;
    if (computing_.empty()) computing_since_ = now_;
    computing_.push_back(*work);
    engine(Compute{*work});
  }
}

/// Slots always come free, so this cannot wait for ever: the last stage finishes what it takes
/// without waiting for anybody, which returns its slots; so every output of the stage before finds
/// a slot, its gradient returns, and its slots are returned in turn; and so on up to stage 0. A
/// tensor of a later step never holds a slot against an earlier one: it is made after the earlier
/// commit. How many more will come is not known here: about as many as in the step before.
void Participant::Impl::send_outputs(OpenStep& step) {
  while (const auto unit = step.pipeline.unsent()) {
    const std::uint32_t ahead = std::max(routed_before_, step.routed + 1) - step.routed;
    const auto hop = router_.choose(ahead, now_);
    if (!hop && !step.blocked_since) step.blocked_since = now_;
    if (!hop) return;
    step.blocked_since.reset();
    ++step.routed;
    router_.sent(*hop, now_);
    step.pipeline.sent(*unit, *hop);
    await_gradient(step, *unit, *hop);
    network(SendTensor{*hop, *unit, Direction::kForward, 0, unit->attempt});
  }
}

/// A gradient that goes back takes a slot along where its microbatch held one.
void Participant::Impl::send_out(const std::vector<Outgoing>& outgoing) {
  for (const auto& [unit, direction, to, ordered, returns_slot] : outgoing) {
    const std::uint64_t slots_total = returns_slot ? slots_.finish(to.node) : slots_.total(to.node);
    network(SendTensor{to.node, unit, direction,
                       direction == Direction::kBackward ? slots_total : 0, to.attempt, ordered});
  }
}

/// Stage 0 takes as much as it can hold in flight; a fast box is through sooner and takes more.
void Participant::Impl::pull(OpenStep& step) {
  if (!step.opened) return;
  const std::uint32_t slots =
      std::min(step.pipeline.done_count() + in_flight(), shape_->microbatches);
  const bool grown = slots > step.pull_slots;
  const bool unanswered = !step.pull_answered && now_ - step.pulled_at >= limits::kRepeatInterval;
  if (!grown && !unanswered) return;
  step.pull_slots = slots;
  step.pull_answered = false;
  step.pulled_at = now_;
  tell(config_.coordinator, MicrobatchPull{committed_.next(), slots, ++step.pull_request});
}

/// In batches while the engine is busy, at once when it is idle; again until acknowledged.
void Participant::Impl::report_units(OpenStep& step) {
  if (step.unacknowledged.empty()) return;
  const Duration silence = now_ - step.reported_at;
  const bool fresh =
      step.unreported && (computing_.empty() || silence >= limits::kUnitReportInterval);
  if (!fresh && silence < limits::kRepeatInterval) return;
  UnitReport report{committed_.next(), welcome_->stage, {}};
  for (const auto microbatch : step.unacknowledged) {
    const Attempt attempt = step.pipeline.done_attempt(microbatch);
    const Flight& flight =
        *step.pipeline.find(Unit{committed_.next(), microbatch, welcome_->stage, attempt});
    report.units.push_back({microbatch, attempt, flight.tokens, flight.loss_sum});
  }
  step.unreported = false;
  step.reported_at = now_;
  tell(config_.coordinator, std::move(report));
}

void Participant::Impl::average(OpenStep& step) {
  if (step.closed && !step.closed->holders.empty()) {
    ask_for_average(step);
  } else if (step.closed && step.averaging.phase() == AveragingPhase::kCollecting) {
    if (!names_the_present(*step.closed)) return;
    if (!agrees_with(step, *step.closed))
      return leave("the coordinator counts other microbatches of this node than it has done");
    sort_out(step.averaging.close(*step.closed));
  }
  if (!step.averaging.is_complete() || step.setting_average) return;
  step.setting_average = true;
  engine(SetAverage{committed_.next(), step.averaging.attempt()});
}

/// In windows, from one holder after the other until one answers.
void Participant::Impl::ask_for_average(OpenStep& step) {
  const std::vector<NodeId>& holders = step.closed->holders;
  step.averaging.fetch(*step.closed);
  const auto missing = step.averaging.missing(limits::kAveragingWindow);
  const auto is_missing = [&](ChunkIndex chunk) {
    return std::binary_search(missing.begin(), missing.end(), chunk);
  };
  const bool answered = std::none_of(step.asked.begin(), step.asked.end(), is_missing);
  if (missing.empty() || (!answered && now_ - step.asked_at < limits::kRepeatInterval)) return;
  const NodeId& holder = holders[(answered ? step.asks : ++step.asks) % holders.size()];
  step.asked = missing;
  step.asked_at = now_;
  if (holder != config_.self)
    tell(holder, AverageAsk{committed_.next(), welcome_->stage, step.averaging.attempt(), missing});
}

/// An attempt begins afresh, from untouched sums; what an earlier one gathered is of no use.
void Participant::Impl::begin_attempt(OpenStep& step, StepId id, Attempt attempt) {
  step.setting_average = false;
  step.report.reset();
  step.closed.reset();
  step.asked.clear();
  if (attempt == step.averaging.attempt()) return;
  engine(DropChunks{id, step.averaging.attempt()});
  step.averaging = Averaging(id, welcome_->stage, attempt, config_.self, chunks_);
}

/// The sum of this node holds what the book says, no more and no less, and everybody named is a
/// replica of this stage.
bool Participant::Impl::agrees_with(const OpenStep& step, const StageClosed& closed) const {
  std::vector<MicrobatchIndex> counted;
  for (const auto& contribution : closed.contributions) {
    const Member* member = find_member(contribution.node);
    if (member == nullptr || member->stage != welcome_->stage) return false;
    if (contribution.node == config_.self) counted = contribution.microbatches;
  }
  const auto is_replica = [&](const NodeId& node) {
    const Member* member = find_member(node);
    return member != nullptr && member->stage == welcome_->stage;
  };
  const auto& reducers = closed.reducers;
  return counted == step.pipeline.done() && !closed.contributions.empty() && closed.tokens > 0 &&
         std::all_of(reducers.begin(), reducers.end(), is_replica) && reduces(closed, config_.self);
}

/// One at a time: the copy that is written takes memory. The coordinator asks for no other before
/// the last is complete, but at the end of the round.
void Participant::Impl::save(StepId step) {
  if (saving_) {
    to_save_ = step;
    return;
  }
  saving_ = step;
  engine(SaveCheckpoint{step});
}

/// A state that is still to be copied is not touched.
void Participant::Impl::apply_commit() {
  if (!commit_ || updating_ || to_save_) return;
  updating_ = true;
  updating_since_ = now_;
  engine(ApplyUpdate{commit_->scalars});
}

void Participant::Impl::advance_ending() {
  apply_commit();
  const bool late = now_ - ending_since_ >= 2 * limits::kSettleTimeout;
  if (late || !ready()) return finish(end_->reason, end_->text);
  if (commit_ || saving_ || applied_ < end_->last_step) return;  // the commit is said again
  const bool saved = checkpoint_report_ && checkpoint_report_->step == end_->last_step;
  if (end_->checkpoint && !saved) return save(end_->last_step);
  if (open_epoch_) {
    settling_epoch_ = std::exchange(open_epoch_, std::nullopt);
    return network(SettleEpoch{*settling_epoch_, welcome_->stage});
  }
  // A coordinator that is away may need what we have reported once more.
  if (!settling_epoch_ && released_) finish(end_->reason, end_->text);
}

/// The coordinator has said something again: it may lack our answer.
void Participant::Impl::repeat_reports() {
  if (update_report_) tell(config_.coordinator, *update_report_);
  if (checkpoint_report_) tell(config_.coordinator, *checkpoint_report_);
}

void Participant::Impl::leave(std::string reason) {
  tell(config_.coordinator, LeaveNotice{reason});
  drop_steps_after(committed_);
  finish(EndReason::kInternal, std::move(reason));
}

void Participant::Impl::finish(EndReason reason, std::string text, bool refused, bool again,
                               bool at_once) {
  if (is_joining()) sort_out(catch_up_->drop());
  phase_ = ParticipantPhase::kEnded;
  network(Ended{reason, std::move(text), refused, again, again && at_once});
}

/// Results that the engine still owes of dropped steps are ignored when they come.
void Participant::Impl::drop_steps_after(StepId last) {
  const auto first = steps_.upper_bound(last);
  for (auto dropped = first; dropped != steps_.end(); ++dropped) engine(DropStep{dropped->first});
  steps_.erase(first, steps_.end());
  std::erase_if(computing_, [&](const Work& work) { return work.unit.step > last; });
}

// ---- small things -------------------------------------------------------------------------------

Participant::Impl::OpenStep* Participant::Impl::active() {
  if (applied_ != committed_) return nullptr;
  return find_step(committed_.next());
}

/// A neighbour may be one step ahead: it has heard a commit that is still on its way to us.
Participant::Impl::OpenStep* Participant::Impl::find_step(StepId step) {
  if (phase_ != ParticipantPhase::kTraining || step <= committed_ ||
      step.value > committed_.value + 2) {
    ++counters_.stale;
    return nullptr;
  }
  const auto found = steps_.find(step);
  if (found != steps_.end()) return &found->second;
  PipelineState order;
  order.schedule = schedule_;
  order.step = step;
  order.stage = stage();
  order.stages = shape_->stages;
  order.microbatches = shape_->microbatches;
  order.in_order = is_alone();
  order.in_flight_max = in_flight();
  OpenStep open{Pipeline(std::move(order)),
                Averaging(step, welcome_->stage, Attempt(0), config_.self, chunks_)};
  return &steps_.emplace(step, std::move(open)).first->second;
}

Participant::Impl::OpenStep* Participant::Impl::averaging_step(const Member& from, StepId step,
                                                               StageIndex stage, Attempt attempt) {
  if (from.stage != welcome_->stage || stage != welcome_->stage || from.node == config_.self) {
    fault(from.node, "sends a chunk without being a replica of this stage");
    return nullptr;
  }
  OpenStep* open = find_step(step);
  if (open == nullptr) return nullptr;
  // A neighbour may have heard of a new attempt before us; the coordinator's word will follow.
  const Attempt current = open->averaging.attempt();
  if (attempt > current && attempt.value - current.value <= limits::kAttemptsAhead)
    begin_attempt(*open, step, attempt);
  if (open->averaging.attempt() != attempt) {
    ++counters_.stale;
    return nullptr;
  }
  return open;
}

bool Participant::Impl::judge(Arrival arrival, const NodeId& from, const char* what) {
  if (arrival == Arrival::kRepeated) ++counters_.repeated;
  if (arrival == Arrival::kRefused) fault(from, what);
  return arrival == Arrival::kAccepted;
}

void Participant::Impl::fault(const NodeId& peer, std::string reason) {
  ++counters_.faults;
  network(PeerFault{peer, std::move(reason)});
}

const Member* Participant::Impl::find_member(const NodeId& node) const {
  const auto seat = seats_.find(node);
  return seat == seats_.end() ? nullptr : &table_->members[seat->second];
}

std::vector<NodeId> Participant::Impl::replicas(std::uint32_t stage) const {
  std::vector<NodeId> nodes;  // the table comes by stage, then replica
  for (const auto& member : table_->members)
    if (member.stage.value == stage && !member.joining) nodes.push_back(member.node);
  return nodes;
}

/// Every stage has one replica: each takes every microbatch, in order.
bool Participant::Impl::is_alone() const {
  return std::ranges::count(table_->members, false, &Member::joining) == shape_->stages;
}

std::uint32_t Participant::Impl::in_flight() const {
  return in_flight_limit(schedule_, shape_->stages, stage(), shape_->microbatches,
                         config_.in_flight_extra);
}

/// Engine first, network after, each in its own order.
void Participant::Impl::sort_out(ParticipantActions actions) {
  for (auto& action : actions) {
    const bool for_engine = std::holds_alternative<ReduceChunk>(action);
    (for_engine ? engine_actions_ : network_actions_).push_back(std::move(action));
  }
}

ParticipantActions Participant::Impl::take_actions() {
  ParticipantActions actions = std::exchange(keeps_, {});
  for (auto* part : {&engine_actions_, &network_actions_}) {
    actions.insert(actions.end(), std::make_move_iterator(part->begin()),
                   std::make_move_iterator(part->end()));
    part->clear();
  }
  return actions;
}

Heartbeat Participant::Impl::heartbeat() const {
  Heartbeat heartbeat;
  heartbeat.applied_step = applied_;
  for (const auto& [id, step] : steps_) {
    heartbeat.outstanding = std::min(heartbeat.outstanding + step.pipeline.outstanding(),
                                     limits::kMicrobatchesMax);  // passes come on top
    if (step.averaging.phase() == AveragingPhase::kExchanging)
      heartbeat.activity = NodeActivity::kAveraging;
  }
  heartbeat.unit_us = welcome_ && shape_ ? static_cast<std::uint64_t>(unit_seconds() * 1e6) : 0;
  if (!computing_.empty()) heartbeat.activity = NodeActivity::kComputing;
  if (updating_) heartbeat.activity = NodeActivity::kUpdating;
  if (saving_ && heartbeat.activity == NodeActivity::kIdle)
    heartbeat.activity = NodeActivity::kSaving;
  return heartbeat;
}

}  // namespace coshard::round
