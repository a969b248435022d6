// The node's machine: when something has to be repaired. It refuses a unit that is not finite,
// hears who is still there, says what it holds, and does what it is ordered; or gives units back.
// See participant.h and repair.h.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <utility>

#include "protocol/round/participant.h"
#include "protocol/round/participant_impl.h"

namespace coshard::round {

/// The coordinator has it done again, by somebody else if it is not finite here; what is in the sum
/// all the same costs this node its seat. Where nobody could take its place zeros do, and the
/// update is skipped.
void Participant::Impl::refuse(OpenStep& step, const ComputeDone& event) {
  const Unit& unit = event.work.unit;
  const Flight& flight = *step.pipeline.find(unit);
  if (event.fault != UnitFault::kInput && replicas(stage()).size() == 1) {
    tell(config_.coordinator, UnitRefused{unit, config_.self, event.error, event.fault});
    computing_.push_back(step.pipeline.blanked(event.work));
    return engine(Compute{computing_.back()});
  }
  NodeId sender = config_.self;
  if (event.fault == UnitFault::kInput && event.work.op == WorkOp::kBackward)
    sender = flight.to.node;
  else if (event.fault == UnitFault::kInput && !is_first())
    sender = flight.from.node;
  const auto upstream = step.pipeline.refuse(event.work, event.fault);
  if (upstream) finish_slot(*upstream);
  step.refusal = UnitRefused{unit, sender, event.error, event.fault};
  step.refused_in = table_->epoch;
  step.refused_at = now_;
  tell(config_.coordinator, *step.refusal);
}

/// A table of a later epoch asks for what this node holds: that says it as well. Not so the table
/// with which the step was opened, which may be late.
void Participant::Impl::repeat_refusal(OpenStep& step) {
  if (step.opened && std::max(step.refused_in, *step.opened) < table_->epoch) step.refusal.reset();
  if (!step.refusal || now_ - step.refused_at < limits::kRepeatInterval) return;
  step.refused_at = now_;
  tell(config_.coordinator, *step.refusal);
}

/// Everybody who is gone took its slots and hops along; what waits for it waits for orders.
void Participant::Impl::change_members(const MembershipTable& table) {
  const auto before = table_;
  use_table(table);
  if (before)
    for (const auto& member : before->members) {
      const Member* now = find_member(member.node);
      const bool stays = now != nullptr && now->incarnation == member.incarnation &&
                         now->stage == member.stage && (member.joining || !now->joining);
      if (stays) continue;
      router_.forget(member.node);
      gradient_times_.erase(member.node);
      slots_.forget(member.node);
      for (auto& [id, step] : steps_) {
        step.pipeline.lose(member.node);
        // Not begun, and it cannot be: the stage is closed again under the next attempt.
        const bool collecting = step.averaging.phase() == AveragingPhase::kCollecting;
        if (collecting && step.closed && reduces(*step.closed, member.node)) step.closed.reset();
      }
    }
  for (auto& [id, step] : steps_)
    if (!is_alone()) step.pipeline.allow_any_order();
  if (seated_) take_seat();
}

void Participant::Impl::use_table(const MembershipTable& table) {
  table_ = table;
  seats_.clear();
  for (std::size_t i = 0; i < table.members.size(); ++i) seats_.emplace(table.members[i].node, i);
  network(UseTable{table});
}

/// What this node holds of the open step, for the coordinator to plan with.
void Participant::Impl::tell_holdings(bool lacks) {
  if (phase_ != ParticipantPhase::kTraining || !seated_) return;
  const double update = updating_ ? seconds(now_ - updating_since_) : 0;
  const double unit = unit_seconds();  // nobody is faster than his update, while it keeps him
  const auto open = steps_.find(committed_.next());
  Holdings holdings{committed_.next(), table_->epoch, welcome_->stage, lacks, {}, {}, false};
  if (open != steps_.end()) {
    holdings.units = open->second.pipeline.holdings();
    holdings.averaging = open->second.averaging.attempt();
    holdings.averaged = open->second.report.has_value();  // checked, not just here
    holdings.unit_us = static_cast<std::uint64_t>((unit == 0 ? 0 : std::max(unit, update)) * 1e6);
  }
  tell(config_.coordinator, std::move(holdings));
}

void Participant::Impl::obey(const RepairOrders& message) {
  OpenStep* step = ready() ? find_step(message.step) : nullptr;
  if (step == nullptr) return;
  if (message.epoch != table_->epoch) {  // nodes were lost since: other orders will come
    ++counters_.stale;
    return;
  }
  tell(config_.coordinator, RepairTaken{message.step, message.epoch});
  if (step->repaired == message.epoch) {
    ++counters_.repeated;
    return;
  }
  step->repaired = message.epoch;
  for (const auto& task : message.tasks) {
    if (task.relieve) {
      relieve(*step, task);
      continue;
    }
    const Flight* flight =
        step->pipeline.find(Unit{message.step, task.microbatch, welcome_->stage, task.attempt});
    const bool awaited = flight != nullptr && flight->routed && !flight->gradient_here;
    if (awaited && task.redo == Redo::kNothing && task.to.node != NodeId{})
      router_.abandoned(flight->to.node, now_);
    return_slot(*step, task);
    send_out(step->pipeline.repair(task));
  }
}

/// Whoever sent a unit here gave one of its slots for it. Where its gradient goes to another now,
/// the slot comes back without one.
void Participant::Impl::return_slot(OpenStep& step, const RepairTask& task) {
  const Unit unit{committed_.next(), task.microbatch, welcome_->stage, task.attempt};
  const Flight* flight = step.pipeline.find(unit);
  if (flight == nullptr || !flight->slotted || task.redo != Redo::kNothing) return;
  if (task.from.node == NodeId{} || task.from.node == flight->from.node) return;
  finish_slot(flight->from.node);
}

/// Others are faster: what is not on its way into the sum is theirs, once the coordinator has heard
/// so. What its neighbours still send here is of no use.
void Participant::Impl::relieve(OpenStep& step, const RepairTask& task) {
  const Unit unit{committed_.next(), task.microbatch, welcome_->stage, task.attempt};
  const Flight* flight = step.pipeline.find(unit);
  if (flight == nullptr) return;
  const Flight before = *flight;
  if (!step.pipeline.relieve(unit)) return;
  if (before.slotted) finish_slot(before.from.node);
  if (before.routed && !before.gradient_here) router_.abandoned(before.to.node, now_);
  step.awaited.erase(unit);
  engine(DropUnit{unit});
}

}  // namespace coshard::round
