// The coordinator's machine: a replica of a rich stage goes to a poor one, between two steps. It
// hears that its seat is elsewhere now, asks to be let in as one that was never there, and gets the
// other stage's state like everybody who joins. Only where the weights are open: else nobody ever
// holds another stage than his own (design 3.4). See rebalance.h.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "protocol/round/coordinator.h"
#include "protocol/round/coordinator_impl.h"

namespace coshard::round {

/// A step is over. While somebody joins or leaves, who is where is not settled.
void Coordinator::Impl::balance_stages() {
  if (!config_.move_patience || !running() || all_steps_done()) return;
  const bool settled = members_.joiners().empty() && asking_.empty() && leaving_.empty();
  std::vector<StageRates> stages(config_.shape.stages);
  for (std::uint32_t stage = 0; stage < config_.shape.stages; ++stage)
    for (const NodeId& node : members_.replicas(StageIndex(stage))) {
      const std::uint64_t unit_us = peers_.at(node).heartbeat.unit_us;
      stages[stage].push_back(unit_us > 0 ? 1e6 / static_cast<double>(unit_us) : 0);
    }
  const auto best = settled ? best_move(stages) : std::nullopt;
  if (!hysteresis_.step(best, now_)) return;
  if (members_.replicas(best->to).size() >= members_.replicas_max()) return;
  const NodeId node = members_.replicas(best->from).at(best->replica);
  const Member member = *members_.find(node);
  const std::string why =
      name(member) + " moves to stage " + std::to_string(best->to.value) + ", which is the weakest";
  leaving_.emplace(node, now_);  // it is missed by nobody
  lose(node, why, true);
  members_.reseat(node, best->to);
  send(node, Refused{ErrorCode::kAborted, why});
}

}  // namespace coshard::round
