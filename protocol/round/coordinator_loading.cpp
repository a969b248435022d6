// The coordinator's machine: nodes load their stages before a round begins or goes on. For as long
// as they took before to raise one, and their disks for as many bytes; who takes longer comes in
// later, where its stage has somebody else. See coordinator.h.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "protocol/round/coordinator.h"
#include "protocol/round/coordinator_impl.h"

namespace coshard::round {

/// Replicas of a stage start from the same parameters, or not at all.
void Coordinator::Impl::hear_ready(const Member& from, const UpdateReport& message) {
  if (message.step != resume_step_) return fault(from.node, "holds the state of another step");
  Peer& peer = peers_.at(from.node);
  if (!peer.loaded && !peer.restores) readiness_[from.node].raised.add(now_ - peer.seated_at);
  peer.loaded = message.digest;
  for (const auto& node : members_.replicas(from.stage)) {
    const auto& other = peers_.at(node).loaded;
    if (other && *other != message.digest)
      return end_round(
          EndReason::kInternal,
          name(from) + " and " + name(*members_.find(node)) + " loaded different parameters",
          false);
  }
}

/// Once everybody holds its stage and knows the others, so that nobody meets a stranger.
void Coordinator::Impl::begin_training() {
  for (const auto& [node, peer] : peers_)
    if (!peer.loaded) return;
  if (!pause_wanted_) phase_ = CoordinatorPhase::kTraining;
}

/// A silent node has as long as well. What comes from a keeper comes over lines that nobody knows.
Duration Coordinator::Impl::loading_time(const Member& member) const {
  constexpr Duration kMost = limits::kLoadTimeout;
  const auto known = readiness_.find(member.node);
  if (known == readiness_.end() || peers_.at(member.node).restores) return kMost;
  const auto& [raised, disk] = known->second;
  Duration time = raised.expected(kMost);
  if (resume_step_.value > 0)
    time += disk.expected(checkpoint_->stages.at(member.stage.value).bytes, kMost);
  return std::clamp<Duration>(time, limits::kSilenceMax, kMost);
}

bool Coordinator::Impl::can_do_without(const Member& loading) const {
  return std::ranges::any_of(members_.replicas(loading.stage), [&](const NodeId& other) {
    return other != loading.node && peers_.at(other).loaded.has_value();
  });
}

void Coordinator::Impl::judge_loading() {
  if (phase_ != CoordinatorPhase::kLoading) return;
  for (const auto& node : members_.nodes()) {
    const Member member = *members_.find(node);
    const Duration time = loading_time(member);
    if (peers_.at(node).loaded || now_ - loading_since_ < time || !can_do_without(member)) continue;
    return lose(node,
                name(member) + " was lost: it has not loaded its stage in " +
                    std::to_string(std::chrono::duration_cast<std::chrono::seconds>(time).count()) +
                    " s");
  }
}

}  // namespace coshard::round
