// The coordinator's machine: admission, steps, commits. Losses: coordinator_repair.cpp; its end:
// coordinator_ending.cpp. See coordinator.h.
// SPDX-License-Identifier: Apache-2.0
#include "protocol/round/coordinator.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "protocol/base/check.h"
#include "protocol/base/rng.h"
#include "protocol/round/coordinator_impl.h"

namespace coshard::round {
namespace {

std::array<std::uint8_t, 16> fingerprint_key(std::uint64_t secret, StepId step) {
  std::array<std::uint8_t, 16> key{};
  std::size_t at = 0;
  for (const std::uint32_t word : philox(secret, step.value, 0))
    for (int shift = 0; shift < 32; shift += 8)
      key[at++] = static_cast<std::uint8_t>(word >> shift);
  return key;
}

}  // namespace

// ---- the machine as its shell sees it -----------------------------------------------------------

Coordinator::Coordinator(CoordinatorConfig config, const std::vector<JournalRecord>& history)
    : impl_(std::make_unique<Impl>(std::move(config), replay(history))) {}
Coordinator::~Coordinator() = default;
Coordinator::Coordinator(Coordinator&&) noexcept = default;
Coordinator& Coordinator::operator=(Coordinator&&) noexcept = default;
CoordinatorActions Coordinator::start(TimePoint now) { return impl_->start(now); }
CoordinatorActions Coordinator::on(const CoordinatorEvent& event, TimePoint now) {
  return impl_->on(event, now);
}
CoordinatorPhase Coordinator::phase() const { return impl_->phase(); }
CoordinatorStatus Coordinator::status() const { return impl_->status(); }
const CoordinatorCounters& Coordinator::counters() const { return impl_->counters(); }

Coordinator::Impl::Impl(CoordinatorConfig config, JournalState journal)
    : config_(std::move(config)),
      journal_(std::move(journal)),
      generation_(std::max(journal_.generation.next(), config_.generation_min)),
      checkpoint_(journal_.checkpoint),
      resume_step_(journal_.resume_step()),
      members_(config_.shape, std::max(config_.replicas_max, config_.shape.replicas),
               config_.allowed, journal_.seats, checkpoint_,
               MembershipEpoch(generation_.value << 32),  // later than all of generations before
               config_.needs),
      settlement_(config_.shape.stages),
      last_step_(resume_step_),
      newest_step_(journal_.newest_step),
      epoch_(journal_.next_epoch),
      skipped_in_a_row_(journal_.last_step == resume_step_ ? journal_.skipped_in_a_row : 0),
      kept_(journal_.kept) {
  const RoundShape& shape = config_.shape;
  COSHARD_CHECK(shape.stages > 0 && shape.stages <= limits::kStagesMax);
  COSHARD_CHECK(shape.replicas > 0 && shape.replicas <= limits::kReplicasMax);
  COSHARD_CHECK(shape.microbatches > 0 && shape.microbatches <= limits::kMicrobatchesMax);
  COSHARD_CHECK(config_.steps > 0 && config_.steps <= limits::kStepsMax);
  COSHARD_CHECK(config_.ledger_epoch_steps > 0 && config_.checkpoint_epochs > 0);
  COSHARD_CHECK(config_.skips_max > 0);
}

CoordinatorActions Coordinator::Impl::start(TimePoint now) {
  now_ = admitted_at_ = now;
  if (journal_.ended && journal_.ended->reason == EndReason::kFinished) {
    phase_ = CoordinatorPhase::kEnded;
    act(RoundFinished{EndReason::kFinished, journal_.ended->text, journal_.ended->last_step,
                      journal_.ended->resumable_step});
    return std::exchange(actions_, {});
  }
  persist(RoundOpened{generation_});
  begin_return();
  return std::exchange(actions_, {});
}

CoordinatorActions Coordinator::Impl::on(const CoordinatorEvent& event, TimePoint now) {
  now_ = now;
  if (phase_ == CoordinatorPhase::kEnded) return {};
  std::visit([this](const auto& what) { handle(what); }, event);
  advance();
  return std::exchange(actions_, {});
}

// ---- events -------------------------------------------------------------------------------------

void Coordinator::Impl::handle(const Received& event) {
  if (const auto* request = std::get_if<JoinRequest>(&event.message)) return join(event, *request);
  if (const Member* joiner = members_.find_joiner(event.from))
    return hear_joiner(Member(*joiner), event.message);
  const Member* member = members_.find(event.from);
  if (member == nullptr) {
    ++counters_.stranger;
    if (members_.knows(event.from))
      send(event.from, Refused{ErrorCode::kPermissionDenied, "this node is no member any more"});
    return;
  }
  const Member from = *member;  // a copy: what follows may change the table
  peers_.at(from.node).heard_at = now_;
  peers_.at(from.node).late_since.reset();
  std::visit([&](const auto& message) { hear(from, message); }, event.message);
}

void Coordinator::Impl::handle(const PeerLost& event) {
  asking_.erase(event.node);
  if (const Member* joiner = members_.find_joiner(event.node))
    lose_joiner(event.node, name(*joiner) + " was lost while it joined: " + event.reason);
  const Member* member = members_.find(event.node);
  if (member == nullptr) return;
  if (config_.journal_is_copy && (return_ || rebuilding_)) return wait_again(*member);
  lose(event.node, name(*member) + " was lost: " + event.reason);
}

void Coordinator::Impl::handle(const PeerLate& event) {
  if (members_.find(event.node) != nullptr) peers_.at(event.node).late_since = now_;
}

void Coordinator::Impl::handle(const Tick&) {
  judge_silence();
  judge_loading();
  judge_complaints();
  take_leave();
  survey_again();
  ask_the_late();
  look_for_stragglers();
  offer_the_rest();
  if (now_ - repeat_at_ >= limits::kRepeatInterval) repeat_unanswered();
}

void Coordinator::Impl::handle(const Control& control) {
  if (phase_ == CoordinatorPhase::kEnding) return;
  switch (control.verb) {
    case ControlVerb::kPause:
      pause_wanted_ = true;
      return;
    case ControlVerb::kResume:
      pause_wanted_ = false;
      if (!std::exchange(pause_why_, {}).empty()) skipped_in_a_row_ = 0;
      return;
    case ControlVerb::kFinish:
      finish_wanted_ = true;
      if (phase_ != CoordinatorPhase::kTraining)
        end_round(EndReason::kFinished, "finished by the coordinator", true);
      return;
    case ControlVerb::kStop:
      end_round(EndReason::kStopped, "stopped by the coordinator", true);
      return;
  }
  COSHARD_UNREACHABLE();
}

void Coordinator::Impl::handle(const EpochSettled& event) {
  if (unsettled_epoch_ && event.epoch >= *unsettled_epoch_) unsettled_epoch_.reset();
}

// ---- messages -----------------------------------------------------------------------------------

void Coordinator::Impl::join(const Received& event, const JoinRequest& request) {
  if (request.seat.incarnation != Incarnation(0)) return claim(event, request);
  if (return_) return come_anew(event);
  const Member* member = members_.find(event.from);
  if (member == nullptr && running()) return ask_to_join(event, request);
  if (member == nullptr && phase_ != CoordinatorPhase::kAdmitting)
    return send(event.from, Refused{ErrorCode::kFailedPrecondition, "the round is ending"});
  if (member != nullptr && peers_.at(event.from).loaded) return join_again(event.from);
  if (member == nullptr && waits_for_survivors(event.from)) return;
  if (member == nullptr) {
    auto seat = members_.admit(event.from, request, event.certificate, newest_step_ > StepId(0));
    const auto lost = seat ? std::nullopt : stage_to_restore(event.from);
    if (lost) seat = members_.admit_restorer(event.from, request, event.certificate, *lost);
    if (!seat && keep_waiting(event, request, seat.error())) return;
    if (!seat) return send(event.from, Refused{seat.error().code, seat.error().message});
    asking_.erase(event.from);
    persist(*seat);
    Peer& peer = peers_[event.from] = Peer{};
    peer.device = request.device;
    peer.software = request.software;
    peer.restores = lost.has_value();
    admitted_at_ = peer.seated_at = now_;
    member = members_.find(event.from);
    note(name(*member) + " was admitted");
  }
  send(event.from, Welcome{member->stage,
                           member->replica,
                           member->incarnation,
                           members_.epoch(),
                           resume_step_,
                           resume_hash(member->stage),
                           {},
                           false,
                           peers_.at(event.from).restores});
}

/// One request of a member that was ready is a late one. When it goes on asking, its process was
/// started anew, faster than its silence could be noticed, and what it held is gone.
void Coordinator::Impl::join_again(const NodeId& node) {
  ++counters_.repeated;
  auto& since = peers_.at(node).asked_again;
  if (!since)
    since = now_;
  else if (now_ - *since >= 2 * limits::kRepeatInterval)
    lose(node, name(*members_.find(node)) + " was lost: it was started anew", true);
}

void Coordinator::Impl::hear(const Member& from, const Heartbeat& message) {
  peers_.at(from.node).heartbeat = message;
}

void Coordinator::Impl::hear(const Member& from, const MicrobatchPull& message) {
  Peer& peer = peers_.at(from.node);
  if (phase_ != CoordinatorPhase::kTraining || !is_open(message.step)) {
    ++counters_.stale;
    return;
  }
  if (from.stage.value != 0) return fault(from.node, "pulls microbatches without holding stage 0");
  if (peer.pull_step == message.step && message.request < peer.pull_request) {
    ++counters_.stale;
    return;
  }
  peer.pull_step = peer.heard_step = message.step;
  peer.pull_request = message.request;
  peer.pull_slots = message.slots;
  send(from.node, MicrobatchGrant{message.step, message.request, top_up(from.node)});
}

void Coordinator::Impl::hear(const Member& from, const UnitReport& message) {
  if (message.stage != from.stage) return fault(from.node, "reports units of another's stage");
  UnitAck ack{message.step, message.stage, {}};
  if (message.step <= last_step_) {  // committed: all of it counts, the node may forget it
    ++counters_.stale;
    for (const auto& unit : message.units) ack.microbatches.push_back(unit.microbatch);
    return send(from.node, std::move(ack));
  }
  if (phase_ != CoordinatorPhase::kTraining || !is_open(message.step)) {
    ++counters_.stale;
    return;
  }
  peers_.at(from.node).heard_step = message.step;
  std::uint32_t entered = 0;
  for (const auto& unit : message.units) {
    const Entry entry = book_->done(from.stage, from.node, unit);
    entered += judge(entry, from.node, "a unit that cannot be") ? 1 : 0;
    if (entry == Entry::kEntered || entry == Entry::kRepeated)
      ack.microbatches.push_back(unit.microbatch);
    if (entry == Entry::kConflict || entry == Entry::kFalse)
      return end_round(EndReason::kInternal,
                       name(from) + " reports microbatch " + std::to_string(unit.microbatch.value) +
                           (entry == Entry::kFalse ? ", which it cannot have done"
                                                   : ", which another node has done"),
                       false);
  }
  send(from.node, std::move(ack));
  const bool last = book_->units_done() == config_.shape.stages * config_.shape.microbatches;
  if (entered > 0 && last) note_units_done();
  note_pace(from, entered);
}

void Coordinator::Impl::hear(const Member& from, const AverageReport& message) {
  if (phase_ != CoordinatorPhase::kTraining || !is_open(message.step)) {
    ++counters_.stale;
    return;
  }
  if (message.stage != from.stage) return fault(from.node, "reports another stage's average");
  peers_.at(from.node).heard_step = message.step;
  const Entry entry = book_->averaged(from.node, message);
  if (judge(entry, from.node, "an average that cannot be") &&
      book_->phase(from.stage) == StagePhase::kAveraged)
    note_averaging(from.stage);
  if (entry == Entry::kConflict)
    end_round(EndReason::kInternal,
              name(from) + " holds another average of step " + std::to_string(message.step.value) +
                  " than its stage's other replicas",
              true);
}

void Coordinator::Impl::hear(const Member& from, const UpdateReport& message) {
  if (message.stage != from.stage) return fault(from.node, "reports another stage's parameters");
  if (phase_ == CoordinatorPhase::kLoading) return hear_ready(from, message);
  const Entry entry = settlement_.digest(from.node, message);
  judge(entry, from.node, "a digest that cannot be");
  if (entry == Entry::kConflict && running())
    end_round(EndReason::kInternal, settlement_.conflict(), false);
}

void Coordinator::Impl::hear(const Member& from, const CheckpointReport& message) {
  if (message.stage != from.stage) return fault(from.node, "reports another stage's checkpoint");
  const Entry entry = settlement_.checkpoint(from.node, message);
  judge(entry, from.node, "a checkpoint that cannot be");
  if (entry == Entry::kEntered && message.error.empty() && asked_to_save_ &&
      asked_to_save_->first == message.step)
    readiness_[from.node].disk.add(message.bytes, now_ - asked_to_save_->second);
  if (entry == Entry::kEntered && !message.error.empty())
    note(name(from) + " could not save step " + std::to_string(message.step.value) + ": " +
         message.error);
  if (!running()) return;
  if (entry == Entry::kConflict)
    end_round(EndReason::kInternal, settlement_.conflict(), false);
  else if (entry == Entry::kEntered && !message.error.empty())
    cannot_save(from, message.error);
}

// ---- training -----------------------------------------------------------------------------------

void Coordinator::Impl::advance() {
  if (return_) await_return();
  if (phase_ == CoordinatorPhase::kAdmitting && !return_) close_admission();
  if (phase_ == CoordinatorPhase::kLoading) begin_training();
  if (phase_ == CoordinatorPhase::kPaused && !pause_wanted_) phase_ = CoordinatorPhase::kTraining;
  if (phase_ == CoordinatorPhase::kTraining && book_) close_stages();
  if (phase_ == CoordinatorPhase::kTraining && book_ && book_->all_averaged() &&
      settlement_.digests_in(members_.by_stage()))
    commit();
  if (phase_ == CoordinatorPhase::kTraining && !book_) go_ahead();
  if (!return_) {  // until then nobody knows whose reports are owed
    take_checkpoints();
    take_epochs(false);
  }
  if (phase_ == CoordinatorPhase::kEnding) advance_ending();
}

void Coordinator::Impl::close_admission() {
  // A round that has begun may go on with fewer nodes, as long as no stage is without.
  const bool waited = fall_back_ ? survivors_are_back() : has_begun() && holders_had_time();
  // Seats stick: where one stage has more than it wants another waits in vain. Who lacks a shard of
  // the beginning comes in once there is one to copy it from.
  const std::size_t here = members_.nodes().size() + asking_.size();
  const bool enough = waited || here >= nodes_wanted();
  if (members_.weakest() < (enough ? 1 : config_.shape.replicas)) return await_stages();
  fall_back_.reset();
  phase_ = CoordinatorPhase::kLoading;
  repeat_at_ = loading_since_ = now_;
  send_all(members_.table());
  for (const auto& node : members_.nodes()) return_shard(*members_.find(node));
}

/// With all the nodes that it wanted, perhaps under an earlier coordinator: who is missing now may
/// be gone for good.
bool Coordinator::Impl::has_begun() const {
  return newest_step_ > StepId(0) || journal_.most_members >= nodes_wanted();
}

/// Between two steps.
void Coordinator::Impl::go_ahead() {
  if (all_steps_done())
    finish();
  else
    open_step(last_step_.next());
}

bool Coordinator::Impl::all_steps_done() const {
  return last_step_.value >= config_.steps || finish_wanted_;
}

void Coordinator::Impl::open_step(StepId step) {
  COSHARD_CHECK(step == last_step_.next());
  let_joiners_in(step);
  book_.emplace(step, config_.shape, rebuilding_.value_or(now_));
  expect_units();
  repeat_at_ = now_;
  if (rebuilding_) return survey();  // said once it is known what is done of it
  send_all(StepOpen{step, members_.epoch()});
  if (survey_wanted_) survey();
}

void Coordinator::Impl::close_stages() {
  for (std::uint32_t s = 0; s < config_.shape.stages; ++s) {
    const StageIndex stage(s);
    if (book_->phase(stage) != StagePhase::kWorking || !book_->complete(stage)) continue;
    const StageClosed& closed = book_->close(stage, members_.replicas(stage), joiners_of(stage));
    for (const auto& node : closed.reducers) send(node, closed);
    for (const auto& node : closed.joiners) send(node, closed);
    note_averaging(stage);
  }
}

void Coordinator::Impl::commit() {
  const StepRecord record = record_of_open_step();
  last_commit_ =
      Commit{record.scalars, record.checkpoint, record.ends_ledger_epoch, record.ledger_epoch};
  if (auto digests = settlement_.agreement(last_step_, members_.by_stage()))
    persist(DigestsAgreed{last_step_, std::move(*digests)});
  persist(record);
  send_all(*last_commit_);
  send_joiners(*last_commit_);
  checkpoint_wanted_ = checkpoint_is_due(record.step()) && !record.checkpoint;
  rest_idle();
  closed_at_.clear();
  book_.reset();
  survey_wanted_ = survey_.has_value();
  survey_.reset();
  orders_.clear();
  last_step_ = record.step();
  newest_step_ = std::max(newest_step_, last_step_);
  settlement_.committed(record);
  if (record.checkpoint) asked_to_save_.emplace(record.step(), now_);
  if (record.ends_ledger_epoch) epoch_ = epoch_.next();
  skipped_in_a_row_ = record.scalars.skip ? skipped_in_a_row_ + 1 : 0;
  act(StepCommitted{record});
  take_leave();
  balance_stages();
  if (running()) after_commit(record);
}

StepRecord Coordinator::Impl::record_of_open_step() const {
  const StepId step = book_->step();
  StepRecord record;
  record.loss_sum = book_->loss_sum();  // not finite where any unit was not
  record.tokens = book_->tokens(StageIndex(0));
  record.grad_norm = gradient_norm(book_->squared_norms());
  // A loss that is not finite skips the update just as a gradient that is not.
  const double judged = std::isfinite(record.loss_sum) ? record.grad_norm : record.loss_sum;
  record.scalars = commit_scalars(config_.optimizer, step, judged,
                                  fingerprint_key(config_.fingerprint_secret, step));
  const bool ends = step.value >= config_.steps || finish_wanted_;
  // One at a time: nobody holds two copies, and whoever is fast lets go of none that is complete.
  const bool saving = saved_ || !settlement_.checkpoints_in(members_.by_stage());
  record.checkpoint = ends || (checkpoint_is_due(step) && !saving);
  // A checkpoint ends a ledger epoch wherever it comes: what it covers is settled with it.
  record.ledger_epoch = epoch_;
  record.ends_ledger_epoch = record.checkpoint || step.value % config_.ledger_epoch_steps == 0;
  record.seconds = seconds(now_ - book_->opened());
  record.units = book_->units();
  return record;
}

/// At its time, for one that joins, or because it could not be had when it was due.
bool Coordinator::Impl::checkpoint_is_due(StepId step) const {
  return checkpoint_wanted_ ||
         step.value % (config_.ledger_epoch_steps * config_.checkpoint_epochs) == 0;
}

void Coordinator::Impl::after_commit(const StepRecord& record) {
  if (record.scalars.skip)
    note("the update of step " + std::to_string(record.step().value) +
         " is skipped: its gradient or loss is not finite");
  if (all_steps_done()) return;
  if (record.scalars.skip && skipped_in_a_row_ >= config_.skips_max) pause_for_skips();
  if (pause_wanted_) phase_ = CoordinatorPhase::kPaused;
}

void Coordinator::Impl::take_checkpoints() {
  if (auto record = settlement_.take_checkpoint(members_.by_stage())) saved_ = std::move(record);
  keep_shards();
  if (saved_ && all_are_kept()) complete_checkpoint();
}

/// Everybody has saved it, and what one node alone has saved another keeps.
void Coordinator::Impl::complete_checkpoint() {
  checkpoint_ = std::exchange(saved_, std::nullopt);
  persist(*checkpoint_);
  std::erase_if(kept_,
                [this](const auto& kept) { return kept.second.sealed.step < checkpoint_->step; });
  act(CheckpointComplete{*checkpoint_});
  offer_state();
}

/// Of the last step, whose epoch the ledger may not have closed when another coordinator comes: its
/// members report the digests of a newer one by then.
void Coordinator::Impl::keep_digests(const SettledStep& step) {
  DigestsAgreed agreed{step.record.step(), {}};
  for (const auto& digest : step.digests)
    if (digest) agreed.digests.push_back(*digest);
  const bool whole = agreed.digests.size() == config_.shape.stages;
  if (whole && agreed.step == last_step_) persist(std::move(agreed));
}

void Coordinator::Impl::take_epochs(bool now_or_never) {
  for (;;) {
    auto steps = settlement_.take_epoch(members_.by_stage(), now_or_never);
    if (steps.empty()) return;
    const LedgerEpoch epoch = steps.back().record.ledger_epoch;
    keep_digests(steps.back());
    const StepId first = steps.front().record.step(), last = steps.back().record.step();
    act(EpochFinished{epoch, first, last, std::move(steps)});
    persist(EpochClosed{epoch});
    unsettled_epoch_ = epoch;
  }
}

}  // namespace coshard::round
