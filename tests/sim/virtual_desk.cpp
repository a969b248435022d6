// A coordinator of the virtual round: see virtual_desk.h.
// SPDX-License-Identifier: Apache-2.0
#include "tests/sim/virtual_desk.h"

#include <algorithm>
#include <cstdio>
#include <set>
#include <utility>

#include "tests/sim/trace.h"
#include "tests/sim/virtual_node.h"

namespace coshard::simtest {

using namespace round;  // NOLINT: a test's shell speaks the machine's language throughout

VirtualRound::Desk::Desk(VirtualRound& world, CoordinatorConfig config,
                         std::vector<JournalRecord>& journal, std::size_t index)
    : box(world.new_clock()),
      machine(std::make_unique<Coordinator>(std::move(config), journal)),
      world_(world),
      clock_(world.process_clock(box)),
      journal_(journal),
      index_(index),
      committed_(world.committed) {
  // A commit that was written down is one, whoever was told.
  const JournalState state = replay(journal_);
  for (const GivenUp& given : state.given_up)
    while (!committed_.empty() && committed_.back().step() > given.back.to_step &&
           committed_.back().ledger_epoch < given.back.next_epoch)
      committed_.pop_back();  // whoever went back may have died before it said so
  while (!committed_.empty() && committed_.back().step() > state.last_step)
    committed_.pop_back();  // never durable, and never spoken
  const bool missed = committed_.empty() || state.last_step == committed_.back().step().next();
  if (index > 0 && state.last && missed) committed_.push_back(*state.last);
  world_.committed = committed_;
}

void VirtualRound::Desk::start() { execute(machine->start(clock_.now())); }

void VirtualRound::Desk::freeze(Duration how_long) {
  frozen_until_ = world_.now_ + how_long;
  if (world_.options_.own_clocks) box.leap(any_leap(how_long, world_.clock_rng_));
}

/// Where a bug is planted it is the time that the speaker has.
TimePoint VirtualRound::Desk::time_of(const CoordinatorEvent& event) const {
  const auto* heard = std::get_if<Received>(&event);
  const Node* speaker = heard == nullptr ? nullptr : world_.find(heard->from);
  const bool trusts = speaker != nullptr && world_.planted_.is(Bug::kOthersTime);
  return trusts ? speaker->now() : clock_.now();
}

void VirtualRound::Desk::coordinate(const CoordinatorEvent& event) {
  if (!alive || finished_) return;
  if (frozen_until_ > world_.now_) {
    if (!std::holds_alternative<Tick>(event))
      world_.after(frozen_until_ - world_.now_, [this, event] { coordinate(event); });
    return;
  }
  if (const auto* heard = std::get_if<Received>(&event); heard != nullptr && vouch(*heard)) return;
  execute(machine->on(event, time_of(event)));
  if (const auto* heard = std::get_if<Received>(&event);
      heard != nullptr && std::holds_alternative<AverageReport>(heard->message))
    world_.averaged(heard->from);
  if (!world_.watching_ || !leads()) return;
  const CoordinatorStatus status = machine->status();
  world_.microbatches_repaired = status.microbatches_repaired;
  world_.joined = status.nodes_joined;
  world_.members_.clear();
  for (const auto& node : status.nodes)
    if (!node.member.joining) world_.members_.insert(node.member.node);
  std::erase_if(world_.away_, [this](const NodeId& id) {
    const Node& node = *world_.find(id);
    return node.alive && node.frozen_until <= world_.now_ && world_.members_.contains(id) &&
           node.machine->phase() == ParticipantPhase::kTraining;
  });
}

/// Where a bug is planted: one replica's average passes for that of the whole stage. True: the
/// event has been told in other words.
bool VirtualRound::Desk::vouch(const Received& heard) {
  const auto* average = std::get_if<AverageReport>(&heard.message);
  if (average == nullptr || !world_.planted_.strikes(Bug::kStaleMember)) return false;
  for (const auto& node : world_.nodes_)
    if (world_.members_.contains(node->id) && world_.stage_of(node->index) == average->stage.value)
      execute(machine->on(Received{node->id, heard.message, {}}, clock_.now()));
  return true;
}

void VirtualRound::Desk::tick() {
  coordinate(Tick{});
  const bool silent = !alive || finished_ || frozen_until_ > world_.now_;
  if (silent || world_.now_ - heartbeat_at_ < limits::kHeartbeatInterval) return;
  heartbeat_at_ = world_.now_;
  const CoordinatorStatus status = machine->status();
  for (const auto& node : status.nodes) execute(Send{node.member.node, Heartbeat{}});
}

void VirtualRound::Desk::doom(std::function<void()> dead) {
  if (alive && !finished_) doomed_ = std::move(dead);
}

bool VirtualRound::Desk::is_outdated(const Node& sender, const Message& message) const {
  const auto* request = std::get_if<JoinRequest>(&message);
  if (request == nullptr || !alive || world_.options_.junk > 0) return false;
  if (world_.options_.bug == Bug::kOldGeneration) return false;
  return sender.generation > generation() || request->seat.committed > replay(journal_).newest_step;
}

void VirtualRound::Desk::execute(CoordinatorActions actions) {
  std::size_t lives = actions.size();
  if (doomed_ && !actions.empty()) lives = world_.rng_.below(actions.size());
  for (std::size_t i = 0; i < lives; ++i) {
    if (world_.witness) world_.witness(actions[i]);
    std::visit([this](const auto& what) { execute(what); }, actions[i]);
  }
  if (lives == actions.size()) return;
  die();
  std::exchange(doomed_, nullptr)();
}

/// Of what the disk had not confirmed any part may be there, in order; the first record that is
/// torn ends the journal. Nothing of it was spoken.
void VirtualRound::Desk::die() {
  alive = false;
  died_at_ = world_.now_;
  const auto lost =
      std::ranges::count_if(durable_at_, [this](const TimePoint at) { return at > world_.now_; });
  for (auto n = world_.rng_.below(static_cast<std::uint64_t>(lost) + 1); n > 0; --n)
    journal_.pop_back();
  if (world_.planted_.is(Bug::kForgottenCommit) && journal_.size() > 1) journal_.pop_back();
}

void VirtualRound::Desk::execute(const Send& action) {
  // Nothing is spoken of a commit before it is written down.
  if (const auto* commit = std::get_if<Commit>(&action.message)) {
    const JournalState journal = replay(journal_);
    if (journal.last_step < commit->scalars.step)
      world_.error("a commit is spoken before it is journaled");
  }
  const Node* node = world_.find(action.to);
  if (node != nullptr && node->desk != index_) return;  // its connection leads elsewhere
  world_.transmit(world_.coordinator_id(), action.to, action.message, 0);
}

/// An epoch counts as closed once the ledger has it durably.
void VirtualRound::Desk::execute(const Persist& action) {
  const bool is_step = std::holds_alternative<StepRecord>(action.record);
  if (is_step && world_.planted_.strikes(Bug::kSpeakBeforeWriting)) return;
  if (std::holds_alternative<EpochClosed>(action.record)) return;
  journal_.push_back(action.record);
  durable_at_.push_back(world_.now_);
  const std::uint64_t writing = world_.options_.journal_us;
  if (writing > 0)
    durable_at_.back() = world_.written_at_ =
        std::max(world_.written_at_, world_.now_) + world_.delay(writing);
}

void VirtualRound::Desk::execute(const StepCommitted& action) {
  const StepRecord& record = action.record;
  const RoundShape& shape = world_.options_.shape;
  std::set<std::pair<StageIndex, MicrobatchIndex>> counted;
  for (const auto& unit : record.units)
    if (!counted.emplace(unit.stage, unit.microbatch).second)
      world_.error("a unit is counted twice");
  if (counted.size() != std::size_t{shape.stages} * shape.microbatches)
    world_.error("a committed step lacks a unit");
  if (record.tokens != shape.microbatches * shape.tokens_per_microbatch)
    world_.error("a committed step has other tokens");
  if (!committed_.empty() && record.step() != committed_.back().step().next())
    world_.error("a step is committed out of turn");
  committed_.push_back(record);
  if (!leads()) ++world_.commits_of_first;
  if (leads()) world_.committed = committed_;
}

/// The ledger takes each epoch once.
void VirtualRound::Desk::execute(const EpochFinished& action) {
  const auto known = [&](const EpochFinished& other) { return other.epoch == action.epoch; };
  if (std::none_of(world_.epochs.begin(), world_.epochs.end(), known))
    world_.epochs.push_back(action);
  world_.after(world_.delay(50'000), [this, epoch = action.epoch] {
    if (!alive) return;
    journal_.push_back(EpochClosed{epoch});
    durable_at_.push_back(world_.written_at_);
    coordinate(EpochSettled{epoch});
  });
}

void VirtualRound::Desk::execute(const CheckpointComplete& action) {
  world_.checkpoints.push_back(action);
}

void VirtualRound::Desk::execute(const RolledBack& action) {
  world_.rollbacks.push_back(action);
  while (!committed_.empty() && committed_.back().step() > action.to_step &&
         committed_.back().ledger_epoch < action.next_epoch)
    committed_.pop_back();
  world_.applied_.erase(world_.applied_.upper_bound(action.to_step), world_.applied_.end());
}

void VirtualRound::Desk::execute(const RoundFinished& action) {
  finished_ = action;
  if (leads()) world_.finished = action;
}

/// A loss is named to people as soon as it is noted.
void VirtualRound::Desk::execute(const Note& action) {
  if (tracing()) std::printf("%9.6f %s\n", seconds(world_.now_ - TimePoint{}), action.text.c_str());
  if (action.text.find("the round goes on after step") == 0) ++world_.returns;
  if (action.text.find(" moves to stage ") != std::string::npos) ++world_.moved;
  if (!world_.lost_.empty() && !world_.named_at &&
      action.text.find(world_.killed_name()) != std::string::npos)
    world_.named_at = world_.now_ - TimePoint{};
}

void VirtualRound::Desk::execute(const PeerFault& action) {
  world_.error("the coordinator blames " + action.peer.short_hex() + ": " + action.reason);
}

}  // namespace coshard::simtest
