// The coordinator's machine: the shard of a stage that has one replica alone. Before a checkpoint
// is complete it is sealed under a key that the coordinator makes, and kept by a node of a
// neighbouring stage, which is connected with its holder anyway and cannot read it. When the holder
// is lost for good, whoever takes its seat gets the file from the keeper and the key from here. See
// coordinator.h.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "protocol/round/coordinator.h"
#include "protocol/round/coordinator_impl.h"

namespace coshard::round {
namespace {

/// A copy takes as long as a line needs for the shard; the next checkpoint waits for it.
constexpr std::chrono::minutes kKeepPatience{10};
/// A keeper may come to nothing because its holder is lost: that is noticed sooner than this.
constexpr auto kLossPatience = limits::kSilenceMax + std::chrono::seconds(1);
/// At the end somebody may have been asked to stop, and leaves within ten seconds.
constexpr auto kEndPatience = limits::kLeaveTimeout;

}  // namespace

// ---- to a keeper --------------------------------------------------------------------------------

/// Runs after every event: a keeper that is lost is replaced, and so is a copy that is outdated.
void Coordinator::Impl::keep_shards() {
  const bool ending = phase_ == CoordinatorPhase::kEnding;
  if (!(running() || ending) || (!checkpoint_ && !saved_)) return;
  const StepId step = newest_saved().step;
  for (std::uint32_t s = 0; s < config_.shape.stages; ++s) {
    const StageIndex stage(s);
    const std::vector<NodeId>& replicas = members_.replicas(stage);
    if (replicas.size() > 1 || is_kept(stage)) keeping_.erase(stage);
    if (replicas.size() != 1 || is_kept(stage)) continue;
    const auto found = keeping_.find(stage);
    if (found != keeping_.end() && found->second.step == step &&
        found->second.holder == replicas.front() && members_.find(found->second.keeper) != nullptr)
      continue;
    const auto keeper = keeper_for(stage);
    if (!keeper) continue;
    keeping_[stage] =
        Keeping{step, replicas.front(), *keeper, now_, now_ + kKeepPatience, {}, false};
    ask_to_keep(stage);
  }
}

/// Whatever can be kept is, or has come to nothing.
bool Coordinator::Impl::all_are_kept() const {
  if (end_ && now_ - ending_since_ >= kEndPatience) return true;
  return std::ranges::none_of(keeping_, [this](const auto& entry) {
    return entry.second.step == saved_->step && now_ < entry.second.until;
  });
}

bool Coordinator::Impl::is_kept(StageIndex stage) const {
  const ShardKept* shard = kept(stage, newest_saved().step);
  return shard != nullptr && members_.find(shard->keeper) != nullptr;
}

const ShardKept* Coordinator::Impl::kept(StageIndex stage, StepId step) const {
  const auto found = kept_.find({stage, step});
  return found == kept_.end() ? nullptr : &found->second;
}

/// Of the members of both neighbouring stages the one that keeps the fewest.
std::optional<NodeId> Coordinator::Impl::keeper_for(StageIndex stage) const {
  std::map<NodeId, std::size_t> load;
  for (const std::uint64_t s : {std::uint64_t{stage.value} + 1, std::uint64_t{stage.value} - 1})
    if (s < config_.shape.stages)
      for (const auto& node : members_.replicas(StageIndex(static_cast<std::uint32_t>(s))))
        load[node] = 0;
  for (const auto& [other, keeping] : keeping_)
    if (load.contains(keeping.keeper)) ++load[keeping.keeper];
  for (const auto& [other, kept] : kept_)
    if (load.contains(kept.keeper)) ++load[kept.keeper];
  const auto least = std::ranges::min_element(
      load, {}, [](const auto& entry) { return std::pair(entry.second, entry.first); });
  return least == load.end() ? std::nullopt : std::optional(least->first);
}

void Coordinator::Impl::ask_to_keep(StageIndex stage) {
  const Keeping& keeping = keeping_.at(stage);
  if (keeping.failed) return;
  if (!keeping.sealed)
    return send(keeping.holder, SealOrder{keeping.step, stage, seal_key(stage, keeping.step)});
  send(keeping.keeper, KeepOrder{*keeping.sealed, keeping.holder});
}

void Coordinator::Impl::hear(const Member& from, const ShardSealed& message) {
  const StageIndex stage = message.sealed.stage;
  const Peer& peer = peers_.at(from.node);
  if (peer.restores && !peer.loaded && stage == from.stage && !message.error.empty()) {
    kept_.erase({stage, resume_step_});
    return lose(from.node, name(from) + " cannot bring its stage back: " + message.error);
  }
  const auto found = keeping_.find(stage);
  if (found == keeping_.end() || found->second.step != message.sealed.step ||
      found->second.failed) {
    ++counters_.stale;
    return;
  }
  Keeping& keeping = found->second;
  const std::string what = "the shard of stage " + std::to_string(stage.value) + " after step " +
                           std::to_string(keeping.step.value);
  const bool sealed = from.node == keeping.holder && !keeping.sealed;
  const bool kept = from.node == keeping.keeper && keeping.sealed;
  if (!sealed && !kept) {
    ++counters_.repeated;
  } else if (!message.error.empty()) {
    keeping.failed = true;
    keeping.until = sealed ? now_ : now_ + kLossPatience;
    note("no other node keeps " + what + ": " + name(from) + ": " + message.error);
  } else if (sealed) {
    keeping.sealed = message.sealed;
    ask_to_keep(stage);
  } else if (message.sealed != *keeping.sealed) {
    fault(from.node, "keeps another shard than it was given");
  } else {
    const ShardKept shard{message.sealed, from.node};
    kept_[{stage, keeping.step}] = shard;
    persist(shard);
    note(name(from) + " keeps " + what + ", sealed");
    keeping_.erase(found);
  }
}

SealKey Coordinator::Impl::seal_key(StageIndex stage, StepId step) const {
  return config_.seal_key ? config_.seal_key(stage, step) : SealKey{};
}

// ---- back from it -------------------------------------------------------------------------------

/// `node` may bring back the stage that it is of, although it does not hold it: nobody here does.
bool Coordinator::Impl::may_restore(const NodeId& node, const ShardKept& shard) const {
  const NodeAssigned* seat = members_.seat(node);
  const auto& [step, stage, hash, bytes] = shard.sealed;
  return checkpoint_ && step == resume_step_ && members_.replicas(stage).empty() &&
         (seat == nullptr || seat->stage == stage);
}

/// Who held a stage lives no more, or has had time enough to come back since all were stopped.
bool Coordinator::Impl::holders_had_time() const {
  return fall_back_ || now_ - admitted_at_ >= config_.admission_patience;
}

/// The stage that `node` gets now, with the shard that a member keeps.
std::optional<StageIndex> Coordinator::Impl::stage_to_restore(const NodeId& node) const {
  if (!holders_had_time()) return std::nullopt;
  for (const auto& [place, shard] : kept_)
    if (may_restore(node, shard) && members_.find(shard.keeper) != nullptr)
      return shard.sealed.stage;
  return std::nullopt;
}

/// Until it is loaded.
void Coordinator::Impl::return_shard(const Member& member) {
  const Peer& peer = peers_.at(member.node);
  const ShardKept* shard = kept(member.stage, resume_step_);
  if (!peer.restores || peer.loaded || shard == nullptr) return;
  send(member.node,
       ShardReturn{shard->sealed, shard->keeper, seal_key(shard->sealed.stage, shard->sealed.step),
                   resume_hash(member.stage)});
}

}  // namespace coshard::round
