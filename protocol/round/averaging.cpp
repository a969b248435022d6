// Averaging of one stage at one replica: see averaging.h.
// SPDX-License-Identifier: Apache-2.0
#include "protocol/round/averaging.h"

#include <algorithm>
#include <utility>

#include "protocol/base/check.h"
#include "protocol/base/limits.h"

namespace coshard::round {

const NodeId& reducer_of(const StageClosed& closed, ChunkIndex chunk) {
  return closed.reducers[chunk.value % closed.reducers.size()];
}

Averaging::Averaging(StepId step, StageIndex stage, Attempt attempt, NodeId self,
                     std::uint32_t chunks)
    : step_(step),
      stage_(stage),
      attempt_(attempt),
      self_(self),
      states_(chunks, ChunkState::kMissing),
      squared_norms_(chunks, 0.0) {}

ParticipantActions Averaging::close(const StageClosed& closed) {
  COSHARD_CHECK(!closed_known_ && closed.step == step_ && closed.stage == stage_);
  COSHARD_CHECK(closed.attempt == attempt_ && !closed.contributions.empty());
  know(closed);
  return advance();
}

void Averaging::fetch(const StageClosed& closed) {
  COSHARD_CHECK(closed.attempt == attempt_ && !closed.holders.empty());
  if (!closed_known_) know(closed);
  closed_.holders = closed.holders;
}

std::vector<ChunkIndex> Averaging::missing(std::size_t count) const {
  std::vector<ChunkIndex> chunks;
  for (std::uint32_t chunk = 0; chunk < states_.size() && chunks.size() < count; ++chunk)
    if (states_[chunk] == ChunkState::kMissing) chunks.push_back(ChunkIndex(chunk));
  return chunks;
}

void Averaging::know(const StageClosed& closed) {
  closed_known_ = true;
  closed_ = closed;
  contributes_self_ = contributes(self_);
  lanes_.resize(closed.reducers.size());
  for (std::uint32_t r = 0; r < lanes_.size(); ++r) {
    lanes_[r].next = r;
    moved_.push_back(r);
  }
  // What came early was taken on trust; now the plan says who may say what.
  for (const auto& [chunk, from] : averages_from_) {
    if (reducer_of(closed_, chunk) == from)
      have(chunk, squared_norms_[chunk.value]);
    else
      squared_norms_[chunk.value] = 0;
  }
  averages_from_.clear();
  for (auto& [chunk, from] : contributions_)
    std::erase_if(from, [&](const NodeId& node) { return !contributes(node); });
}

Arrival Averaging::contribution_arrived(const NodeId& from, ChunkIndex chunk) {
  if (chunk.value >= states_.size()) return Arrival::kRefused;
  if (closed_known_ && (!contributes(from) || reducer_of(closed_, chunk) != self_))
    return Arrival::kRefused;
  if (states_[chunk.value] != ChunkState::kMissing) return Arrival::kRepeated;
  auto& arrived = contributions_[chunk];
  if (std::find(arrived.begin(), arrived.end(), from) != arrived.end()) return Arrival::kRepeated;
  arrived.push_back(from);
  if (closed_known_) moved_.push_back(lane_of(chunk));
  return Arrival::kAccepted;
}

Arrival Averaging::average_arrived(const NodeId& from, ChunkIndex chunk, double squared_norm) {
  if (chunk.value >= states_.size()) return Arrival::kRefused;
  if (!closed_known_) {
    if (averages_from_.contains(chunk)) return Arrival::kRepeated;
    averages_from_[chunk] = from;
    squared_norms_[chunk.value] = squared_norm;
    return Arrival::kAccepted;
  }
  const auto& holders = closed_.holders;
  const bool holds = std::find(holders.begin(), holders.end(), from) != holders.end();
  if (from == self_ || !(holds || reducer_of(closed_, chunk) == from)) return Arrival::kRefused;
  if (states_[chunk.value] != ChunkState::kMissing) return Arrival::kRepeated;
  have(chunk, squared_norm);
  return Arrival::kAccepted;
}

ParticipantActions Averaging::reduced(ChunkIndex chunk, double squared_norm) {
  COSHARD_CHECK(states_.at(chunk.value) == ChunkState::kReducing);
  contributions_.erase(chunk);
  have(chunk, squared_norm);
  ParticipantActions actions = advance();
  SendAverage send{closed_.reducers, step_, attempt_, chunk, squared_norm};
  std::erase(send.to, self_);
  send.to.insert(send.to.end(), closed_.joiners.begin(), closed_.joiners.end());
  if (!send.to.empty()) actions.push_back(std::move(send));
  return actions;
}

ParticipantActions Averaging::advance() {
  ParticipantActions actions;
  if (!closed_known_ || !closed_.holders.empty()) return actions;
  for (const std::uint32_t reducer : std::exchange(moved_, {})) advance_lane(reducer, actions);
  return actions;
}

AveragingPhase Averaging::phase() const {
  if (!closed_known_) return AveragingPhase::kCollecting;
  return have_count_ == states_.size() ? AveragingPhase::kComplete : AveragingPhase::kExchanging;
}

bool Averaging::contributes(const NodeId& node) const {
  return std::any_of(closed_.contributions.begin(), closed_.contributions.end(),
                     [&](const Contribution& contribution) { return contribution.node == node; });
}

bool Averaging::contributions_complete(ChunkIndex chunk) const {
  const std::size_t wanted = closed_.contributions.size() - (contributes_self_ ? 1 : 0);
  const auto arrived = contributions_.find(chunk);
  return (arrived == contributions_.end() ? 0 : arrived->second.size()) == wanted;
}

/// Every contributor sends the chunks of a reducer in ascending order, and the reducer reduces its
/// lowest complete chunk first: so the lowest missing chunk of a lane always gets its contributions
/// whatever the window, and the exchange cannot stand still.
void Averaging::advance_lane(std::uint32_t reducer, ParticipantActions& actions) {
  Lane& lane = lanes_[reducer];
  const NodeId& to = closed_.reducers[reducer];
  const auto stride = static_cast<std::uint32_t>(lanes_.size());
  const bool own = to == self_;
  if (!own && !contributes_self_) return;
  while (lane.next < states_.size() && lane.pending < limits::kAveragingWindow) {
    const ChunkIndex chunk(lane.next);
    const bool have_it = states_[chunk.value] == ChunkState::kHave;  // a reducer that cannot wait
    if (own && !contributions_complete(chunk)) return;
    if (own) actions.push_back(reduction(chunk));
    if (!own && !have_it) actions.push_back(SendChunk{to, step_, attempt_, chunk});
    lane.next += stride;
    if (!have_it) ++lane.pending;
  }
}

ReduceChunk Averaging::reduction(ChunkIndex chunk) {
  states_[chunk.value] = ChunkState::kReducing;
  ReduceChunk reduce{step_, attempt_, chunk, {}, closed_.tokens};
  for (const auto& contribution : closed_.contributions)
    reduce.contributors.push_back(contribution.node);
  return reduce;
}

void Averaging::have(ChunkIndex chunk, double squared_norm) {
  ChunkState& state = states_[chunk.value];
  COSHARD_CHECK(state != ChunkState::kHave);
  state = ChunkState::kHave;
  squared_norms_[chunk.value] = squared_norm;
  ++have_count_;
  Lane& lane = lanes_[lane_of(chunk)];
  if (lane.pending > 0) --lane.pending;
  moved_.push_back(lane_of(chunk));
}

}  // namespace coshard::round
