// The coordinator's machine: stragglers. A step that takes longer than steps have taken is looked
// at: everybody says what it holds and how fast it is now; who holds everybody up is asked for what
// is not on its way into its sum, and what it then says it gave back is done again like the units
// of a lost node. See relief.h.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "protocol/round/coordinator.h"
#include "protocol/round/coordinator_impl.h"
#include "protocol/round/relief.h"

namespace coshard::round {
namespace {

constexpr std::size_t kStepsKnown = 4;  ///< fewer say nothing about the next
constexpr Duration kStepMax = std::chrono::hours(1);
constexpr int kLate = 5, kUsual = 4;  ///< a quarter more than expected is late

}  // namespace

/// A step opens.
void Coordinator::Impl::expect_units() {
  relieving_ = false;
  relief_at_.reset();
  opened_in_ = members_.epoch();
  if (work_times_.count() >= kStepsKnown)
    relief_at_ =
        now_ + kLate * work_times_.expected(kStepMax) / kUsual + 2 * limits::kUnitReportInterval;
}

/// The last unit of the open step is done. A step that lost somebody says nothing about others.
void Coordinator::Impl::note_units_done() {
  if (members_.epoch() == opened_in_) work_times_.add(now_ - book_->opened());
  relief_at_.reset();
}

/// Asked for again after twice as long, since whoever is slow may be slower than it seemed.
void Coordinator::Impl::look_for_stragglers() {
  if (!relief_at_ || now_ < *relief_at_ || phase_ != CoordinatorPhase::kTraining || !book_) return;
  if (rebuilding_ || survey_ || survey_again_at_ || !orders_.empty()) return;
  relief_at_ = now_ + (now_ - book_->opened());
  const auto could_be_relieved = [this](std::uint32_t stage) {
    return !book_->complete(StageIndex(stage)) && members_.replicas(StageIndex(stage)).size() > 1;
  };
  bool any = false;
  for (std::uint32_t stage = 0; stage < config_.shape.stages; ++stage)
    any |= could_be_relieved(stage);
  if (!any) return;
  relieving_ = true;
  members_.renew();
  survey();
}

/// Adds to the orders of `plan` who gives what back; whether there is anything.
bool Coordinator::Impl::add_relief(const StepFacts& facts, RepairPlan& plan) {
  std::set<MicrobatchIndex> repaired;  // they are on their way to somebody already
  for (const auto& [node, tasks] : plan.tasks)
    for (const auto& task : tasks) repaired.insert(task.microbatch);
  std::map<NodeId, std::size_t> relieved;
  for (const Relief& relief : plan_relief(facts.live)) {
    if (repaired.contains(relief.microbatch)) continue;
    RepairTask task;
    task.microbatch = relief.microbatch;
    task.attempt = relief.attempt;
    task.relieve = true;
    plan.tasks[relief.node].push_back(task);
    ++relieved[relief.node];
  }
  for (const auto& [node, units] : relieved)
    note("step " + std::to_string(book_->step().value) + ": " + name(*members_.find(node)) +
         " has become slow; others do " + std::to_string(units) +
         " of its microbatches, unless they are in its sum already");
  return !relieved.empty();
}

}  // namespace coshard::round
