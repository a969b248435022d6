// See catch_up.h.
// SPDX-License-Identifier: Apache-2.0
#include "protocol/round/catch_up.h"

#include <cstdio>
#include <utility>

#include "protocol/base/check.h"
#include "protocol/base/limits.h"
#include "protocol/round/averaging.h"

namespace coshard::round {

CatchUp::Noted* CatchUp::find(StepId step) {
  const StepId last = applied_ ? *applied_ : StepId(0);
  if (step <= last || step.value > heard_.value + 2) return nullptr;
  return &noted_[step];
}

ParticipantActions CatchUp::closed(const StageClosed& message) {
  Noted* const noted = find(message.step);
  if (noted == nullptr || (noted->early.closed && message.attempt <= noted->early.closed->attempt))
    return {};
  noted->early.closed = message;
  ParticipantActions actions;
  auto& averages = noted->early.averages;
  for (auto old = averages.begin(); old != averages.end() && old->first < message.attempt;) {
    actions.push_back(DropChunks{message.step, old->first});
    old = averages.erase(old);
  }
  return actions;
}

Result<void> CatchUp::committed(const Commit& message, TimePoint now) {
  const StepId step = message.scalars.step;
  if (step <= heard_) return {};
  Noted* const noted = find(step);
  if (step != heard_.next() || noted == nullptr || !noted->early.closed)
    return fail(ErrorCode::kFailedPrecondition,
                "what was said of step " + std::to_string(heard_.next().value) +
                    " did not come; the state has to be copied anew");
  heard_ = step;
  noted->commit = message;
  noted->committed_at = now;
  return {};
}

Arrival CatchUp::average_arrived(const NodeId& from, const AveragedChunk& chunk) {
  Noted* const noted = find(chunk.step);
  if (noted == nullptr) return Arrival::kRepeated;
  if (noted->early.closed && chunk.attempt < noted->early.closed->attempt)
    return Arrival::kRepeated;
  if (noted->early.closed && reducer_of(*noted->early.closed, chunk.chunk) != from &&
      chunk.attempt == noted->early.closed->attempt)
    return Arrival::kRefused;
  const Attempt known = noted->early.closed ? noted->early.closed->attempt : Attempt(0);
  if (chunk.attempt.value > known.value + limits::kAttemptsAhead) return Arrival::kRefused;
  const auto [at, is_new] =
      noted->early.averages[chunk.attempt].try_emplace(chunk.chunk, from, chunk.squared_norm);
  return is_new ? Arrival::kAccepted : Arrival::kRepeated;
}

Arrival CatchUp::contribution_arrived(const NodeId& from, const GradientChunk& chunk) {
  Noted* const noted = find(chunk.step);
  if (!applied_ || noted == nullptr || chunk.step <= heard_) return Arrival::kRepeated;
  if (chunk.attempt.value > limits::kAttemptsAhead) return Arrival::kRefused;
  noted->early.contributions[chunk.attempt].emplace_back(from, chunk.chunk);
  return Arrival::kAccepted;
}

ParticipantActions CatchUp::loaded(StepId step, std::uint32_t chunks) {
  COSHARD_CHECK(!applied_);
  applied_ = step;
  chunks_ = chunks;
  ParticipantActions actions;
  while (!noted_.empty() && noted_.begin()->first <= step) {
    actions.push_back(Release{noted_.begin()->first});
    noted_.erase(noted_.begin());
  }
  return actions;
}

/// The average of `chunk` under the attempt that counts, from its reducer.
bool CatchUp::is_here(const Noted& noted, ChunkIndex chunk) const {
  const StageClosed& closed = *noted.early.closed;
  const auto averages = noted.early.averages.find(closed.attempt);
  if (averages == noted.early.averages.end()) return false;
  const auto average = averages->second.find(chunk);
  return average != averages->second.end() && average->second.first == reducer_of(closed, chunk);
}

bool CatchUp::is_whole(const Noted& noted) const {
  if (!noted.early.closed || !noted.commit) return false;
  for (std::uint32_t chunk = 0; chunk < chunks_; ++chunk)
    if (!is_here(noted, ChunkIndex(chunk))) return false;
  return true;
}

ParticipantActions CatchUp::advance() {
  if (!applied_ || doing_ != Doing::kNothing) return {};
  const auto next = noted_.find(applied_->next());
  if (next == noted_.end() || !is_whole(next->second)) return {};
  doing_ = Doing::kSetting;
  return {SetAverage{next->first, next->second.early.closed->attempt}};
}

ParticipantActions CatchUp::average_set(const AverageSet& event) {
  COSHARD_CHECK(doing_ == Doing::kSetting && event.step == applied_->next());
  doing_ = Doing::kApplying;
  return {ApplyUpdate{noted_.at(event.step).commit->scalars}};
}

ParticipantActions CatchUp::update_applied(StepId step) {
  COSHARD_CHECK(doing_ == Doing::kApplying && step == applied_->next());
  doing_ = Doing::kNothing;
  applied_ = step;
  noted_.erase(step);
  return {Release{step}};
}

bool CatchUp::is_stuck(TimePoint now, Duration patience,
                       const std::function<bool(const NodeId&)>& present) const {
  if (!applied_ || doing_ != Doing::kNothing) return false;
  const auto next = noted_.find(applied_->next());
  if (next == noted_.end() || !next->second.commit || is_whole(next->second)) return false;
  if (now - next->second.committed_at >= patience) return true;
  for (std::uint32_t chunk = 0; chunk < chunks_; ++chunk)
    if (!is_here(next->second, ChunkIndex(chunk)) &&
        !present(reducer_of(*next->second.early.closed, ChunkIndex(chunk))))
      return true;
  return false;
}

ParticipantActions CatchUp::drop() {
  ParticipantActions actions;
  for (const auto& [step, noted] : std::exchange(noted_, {})) actions.push_back(Release{step});
  return actions;
}

CatchUp::Early CatchUp::take_early(StepId step) {
  const auto noted = noted_.find(step);
  return noted == noted_.end() ? Early{} : std::move(noted->second.early);
}

Result<void> check_link(std::uint64_t bytes, Duration elapsed, std::uint64_t gradient_bytes,
                        Duration step) {
  const double brought = static_cast<double>(bytes) / seconds(elapsed);
  const double needed = 2.0 * static_cast<double>(gradient_bytes) / seconds(step);
  if (brought >= needed) return {};
  const auto mbit = [](double bytes_per_second) {
    char text[32];
    std::snprintf(text, sizeof text, "%.1f Mbit/s", bytes_per_second * 8e-6);
    return std::string(text);
  };
  return fail(ErrorCode::kResourceExhausted, "this stage needs a link of " + mbit(needed) +
                                                 " (twice its averaged gradient per step), found " +
                                                 mbit(brought));
}

}  // namespace coshard::round
