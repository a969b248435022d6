// The coordinator's machine: who comes while the round runs (design 3.3). A seat is given when a
// step opens; that step's commit asks for a checkpoint, whose files the newcomer copies from the
// replicas of its stage, while reducers send it every later average. Once it has shown the digest
// that its stage's replicas have, it is a member from the next step on. Nobody else stops: at most,
// a step opens as late as the newcomer applies the update that the others apply at that time. See
// coordinator.h.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "protocol/base/check.h"
#include "protocol/round/coordinator.h"
#include "protocol/round/coordinator_impl.h"

namespace coshard::round {

// ---- asking -------------------------------------------------------------------------------------

void Coordinator::Impl::ask_to_join(const Received& event, const JoinRequest& request) {
  const NodeId& node = event.from;
  if (const Member* joiner = members_.find_joiner(node)) {
    const Joining& joining = *peers_.at(node).joining;
    if (!joining.spoke)  // its Welcome was lost
      return send(node, Welcome{joiner->stage,
                                joiner->replica,
                                joiner->incarnation,
                                members_.epoch(),
                                joining.from,
                                {},
                                {},
                                true});
    lose_joiner(node, name(*joiner) + " was started anew while it joined", true);
  }
  if (!asking_.contains(node)) {
    Membership trial = members_;
    const auto seat = trial.admit_joiner(node, request, event.certificate);
    if (!seat) return send(node, Refused{seat.error().code, seat.error().message});
    note("node " + node.short_hex() + " asks to join; it gets a seat when the next step opens");
  }
  asking_[node] = {request, event.certificate};
}

void Coordinator::Impl::hear_joiner(const Member& from, const Message& message) {
  Peer& peer = peers_.at(from.node);
  peer.heard_at = now_;
  peer.joining->spoke = true;
  if (const auto* heartbeat = std::get_if<Heartbeat>(&message)) {
    peer.heartbeat = *heartbeat;
  } else if (const auto* notice = std::get_if<LeaveNotice>(&message)) {
    lose_joiner(from.node, name(from) + " joins no more: " + notice->reason);
  } else if (const auto* report = std::get_if<UpdateReport>(&message);
             report != nullptr && report->stage == from.stage) {
    peer.joining->report = *report;
    check_joiner(from);
  } else {
    ++counters_.stale;
  }
}

/// Its parameters are those of its stage, as far as these are known.
void Coordinator::Impl::check_joiner(const Member& joiner) {
  Joining& joining = *peers_.at(joiner.node).joining;
  if (!joining.report) return;
  const StepId step = joining.report->step;
  const auto held = settlement_.digest_of(step, joiner.stage);
  if (!held) return;
  if (*held == joining.report->digest) {
    joining.right = step;
    return;
  }
  lose_joiner(joiner.node, name(joiner) + " holds other parameters after step " +
                               std::to_string(step.value) + " than its stage");
}

// ---- in -----------------------------------------------------------------------------------------

/// Members change only between steps, but for losses.
void Coordinator::Impl::let_joiners_in(StepId step) {
  bool changed = false;
  for (const NodeId& node : members_.joiners()) changed |= promote(node, step);
  for (const auto& [node, asking] : std::exchange(asking_, {}))
    changed |= let_in(node, asking, step);
  if (!changed) return;
  send_all(members_.table());
  send_joiners(members_.table());
}

bool Coordinator::Impl::let_in(const NodeId& node, const Asking& asking, StepId step) {
  const auto seat = members_.admit_joiner(node, asking.request, asking.certificate);
  if (!seat) {
    send(node, Refused{seat.error().code, seat.error().message});
    return false;
  }
  persist(*seat);
  Peer& peer = peers_[node] = Peer{};
  peer.device = asking.request.device;
  peer.software = asking.request.software;
  peer.heard_at = now_;
  peer.joining = Joining{step, false, {}, {}};
  checkpoint_wanted_ = true;
  note(name(*members_.find_joiner(node)) + " joins: it gets the state after step " +
       std::to_string(step.value));
  send(
      node,
      Welcome{seat->stage, seat->replica, seat->incarnation, members_.epoch(), step, {}, {}, true});
  return true;
}

bool Coordinator::Impl::promote(const NodeId& node, StepId step) {
  const Member joiner = *members_.find_joiner(node);
  check_joiner(joiner);
  if (members_.find_joiner(node) == nullptr || !is_close(node)) return false;
  Peer& peer = peers_.at(node);
  const UpdateReport report = *peer.joining->report;
  peer.loaded = report.digest;
  peer.joining.reset();
  members_.promote(node);
  settlement_.joined(node, step);
  (void)settlement_.digest(node, report);
  ++nodes_joined_;
  note(name(joiner) + " works from step " + std::to_string(step.value) + " on");
  return true;
}

void Coordinator::Impl::lose_joiner(NodeId node, const std::string& why, bool anew) {
  send(node, Refused{anew ? ErrorCode::kAborted : ErrorCode::kPermissionDenied, why});
  persist(NodeGone{node});
  members_.remove(node);
  peers_.erase(node);
  note(why);
}

// ---- the state ----------------------------------------------------------------------------------

void Coordinator::Impl::offer_state() {
  for (const NodeId& node : members_.joiners()) {
    const Joining& joining = *peers_.at(node).joining;
    if (joining.report || !checkpoint_ || checkpoint_->step < joining.from) continue;
    const StageIndex stage = members_.find_joiner(node)->stage;
    const auto& file = checkpoint_->stages.at(stage.value);
    send(node, StateOffer{{checkpoint_->step, stage, file.file_hash, file.bytes}});
  }
}

void Coordinator::Impl::repeat_to_joiner(const NodeId& node) {
  if (phase_ == CoordinatorPhase::kEnding) return send(node, *end_);
  if (peers_.at(node).joining->report) return;
  send(node, members_.table());
  offer_state();
}

// ---- when the next step opens -------------------------------------------------------------------

/// What it still lacks is at most the update that everybody else applies now, and comes while the
/// others work.
bool Coordinator::Impl::is_close(const NodeId& joiner) const {
  const auto& right = peers_.at(joiner).joining->right;
  return right && right->value + 1 >= last_step_.value;
}

std::vector<NodeId> Coordinator::Impl::joiners_of(StageIndex stage) const {
  std::vector<NodeId> nodes = members_.joiners();
  std::erase_if(nodes,
                [&](const NodeId& node) { return members_.find_joiner(node)->stage != stage; });
  return nodes;
}

}  // namespace coshard::round
