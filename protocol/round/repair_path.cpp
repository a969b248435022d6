// The least work that completes one microbatch's path: see repair.h.
// SPDX-License-Identifier: Apache-2.0
#include "protocol/round/repair.h"

#include <algorithm>
#include <utility>

namespace coshard::round {
namespace {

/// The closure of the needs along one path. Each need is met once; meeting it may raise others.
class PathPlanner {
 public:
  explicit PathPlanner(std::span<const StageFacts> stages)
      : facts_(stages), repairs_(stages.size()) {}

  std::vector<StageRepair> plan() {
    const auto last_begun = std::find_if(facts_.rbegin(), facts_.rend(), [](const auto& facts) {
      return facts.fate != UnitFate::kNobody;
    });
    begun_ = static_cast<std::size_t>(facts_.rend() - last_begun);
    if (begun_ == 0) return repairs_;
    for (std::size_t stage = 0; stage < begun_; ++stage) {
      if (facts_[stage].fate == UnitFate::kNobody) redo(stage, Redo::kCount);
      if (facts_[stage].fate == UnitFate::kHeld) complete(stage);
    }
    if (begun_ < facts_.size() && !goes_on_by_itself()) redo(begun_, Redo::kCount);
    return repairs_;
  }

 private:
  bool goes_on_by_itself() const {
    const StageFacts& last = facts_[begun_ - 1];
    return last.fate == UnitFate::kHeld && last.routes_itself;
  }

  /// A held unit gets what it lacks.
  void complete(std::size_t stage) {
    if (!facts_[stage].has_input) need_output_before(stage);
    if (!facts_[stage].has_gradient) need_gradient_behind(stage);
  }

  void redo(std::size_t stage, Redo what) {
    Redo& redo = repairs_[stage].redo;
    if (redo >= what) return;
    const bool had_input = redo != Redo::kNothing;
    redo = what;
    if (!had_input) need_output_before(stage);
    if (what != Redo::kForward) need_gradient_behind(stage);
  }

  void need_output_before(std::size_t stage) {
    if (stage == 0) return;  // derives its tokens
    const StageFacts& facts = facts_[stage - 1];
    StageRepair& repair = repairs_[stage - 1];
    if (std::exchange(repair.send_output, true)) return;
    const bool coming = facts.fate == UnitFate::kHeld && !facts.has_output;
    if (!facts.output_kept && !coming) redo(stage - 1, Redo::kForward);
  }

  void need_gradient_behind(std::size_t stage) {
    const std::size_t behind = stage + 1;
    if (behind >= facts_.size()) return;  // derives its targets
    if (behind > begun_ || (behind == begun_ && goes_on_by_itself())) return;
    const StageFacts& facts = facts_[behind];
    if (std::exchange(repairs_[behind].send_gradient, true)) return;
    // Nobody's unit is counted by somebody anyhow.
    const bool made = facts.fate != UnitFate::kCounted;
    if (!facts.gradient_kept && !made) redo(behind, Redo::kPass);
  }

  std::span<const StageFacts> facts_;
  std::vector<StageRepair> repairs_;
  std::size_t begun_ = 0;  ///< stages up to the last that anybody has
};

}  // namespace

std::vector<StageRepair> plan_path(std::span<const StageFacts> stages) {
  return PathPlanner(stages).plan();
}

}  // namespace coshard::round
