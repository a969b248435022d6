// The coordinator's machine: who takes how much of the open step. Replicas of stage 0 pull; one of
// them gets a microbatch where it would be through with it before the others would be through with
// all that are left, by the pace at which each was seen to work. What it does not get it is offered
// as soon as that has changed. See pace.h.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "protocol/round/coordinator.h"
#include "protocol/round/coordinator_impl.h"

namespace coshard::round {
namespace {

/// Units are reported in batches: what is less than that apart is not known to be apart.
const double kNoise = seconds(limits::kUnitReportInterval);

}  // namespace

/// In replica order. They take note of what the book says that they hold.
std::vector<Worker> Coordinator::Impl::first_stage() {
  const auto loads = book_->loads();
  const auto replicas = members_.replicas(StageIndex(0));
  double sum = 0;
  int measured = 0;
  for (const auto& node : replicas) {
    Pace& pace = peers_.at(node).pace;
    const auto load = loads.find(node);
    const std::uint32_t open = load == loads.end() ? 0 : load->second.open;
    pace.relieved(pace.held() - std::min(open, pace.held()), now_);
    pace.holds(open, now_);
    sum += pace.seconds().value_or(0);
    measured += pace.seconds() ? 1 : 0;
  }
  const double typical = measured > 0 ? sum / measured : 1;
  std::vector<Worker> workers;
  for (const auto& node : replicas) {
    const Pace& pace = peers_.at(node).pace;
    workers.push_back(pace.worker(pace.seconds().value_or(typical), now_));
  }
  return workers;
}

/// Gives `node`, which has pulled for the open step, what it had better take; returns all that it
/// was granted.
std::vector<GrantedMicrobatch> Coordinator::Impl::top_up(const NodeId& node) {
  const auto loads = book_->loads();
  const auto load = loads.find(node);
  const std::uint32_t given = load == loads.end() ? 0 : load->second.given;
  const std::uint32_t wanted = peers_.at(node).pull_slots;
  std::uint32_t slots = given;
  std::uint32_t left = book_->ungranted();
  if (wanted > given && left > 0) {
    std::vector<Worker> workers = first_stage();
    const auto& replicas = members_.replicas(StageIndex(0));
    const auto at = std::find(replicas.begin(), replicas.end(), node) - replicas.begin();
    Worker& self = workers.at(static_cast<std::size_t>(at));
    for (; slots < wanted && left > 0 && is_worth_it(self, workers, left, kNoise); ++slots, --left)
      self.free_in += self.seconds;
  }
  auto granted = book_->grant(node, slots);
  peers_.at(node).pace.holds(peers_.at(node).pace.held() + slots - given, now_);
  return granted;
}

/// What became free is given to whoever pulled for more than there was; said again while it is
/// open.
void Coordinator::Impl::answer_pull(const NodeId& node) {
  const Peer& peer = peers_.at(node);
  if (members_.find(node)->stage.value != 0 || !is_open(peer.pull_step)) return;
  auto granted = top_up(node);
  const bool all_done = std::all_of(granted.begin(), granted.end(), [&](const auto& own) {
    return book_->is_done(StageIndex(0), own.microbatch);
  });
  if (!all_done) send(node, MicrobatchGrant{peer.pull_step, peer.pull_request, std::move(granted)});
}

/// Time has passed, or somebody is through: what was kept for others may not be theirs any more.
void Coordinator::Impl::offer_the_rest() {
  if (phase_ != CoordinatorPhase::kTraining || !book_ || rebuilding_) return;
  for (const auto& node : members_.replicas(StageIndex(0))) {
    if (book_->ungranted() == 0) return;
    const Peer& peer = peers_.at(node);
    if (!is_open(peer.pull_step)) continue;
    const std::uint32_t before = book_->ungranted();
    auto granted = top_up(node);
    if (book_->ungranted() == before) continue;
    send(node, MicrobatchGrant{peer.pull_step, peer.pull_request, std::move(granted)});
  }
}

/// `from` says that it has done so many units more of the open step.
void Coordinator::Impl::note_pace(const Member& from, std::uint32_t units) {
  if (from.stage.value != 0 || units == 0 || !book_) return;
  Pace& pace = peers_.at(from.node).pace;
  pace.ends(std::min(units, pace.held()), now_);
  offer_the_rest();
}

/// The step is over.
void Coordinator::Impl::rest_idle() {
  for (const auto& node : members_.replicas(StageIndex(0))) {
    Pace& pace = peers_.at(node).pace;
    if (book_->units_done_by(node) == 0) pace.rests();
    pace.holds(0, now_);
  }
}

}  // namespace coshard::round
