// Folding the coordinator's journal: see journal.h.
// SPDX-License-Identifier: Apache-2.0
#include "protocol/round/journal.h"

#include <algorithm>

namespace coshard::round {
namespace {

struct Fold {
  JournalState state;

  void operator()(const RoundOpened& record) {
    state.generation = record.generation;
    state.ended.reset();
  }
  void operator()(const NodeAssigned& record) { state.seats[record.node] = record; }
  void operator()(const StepRecord& record) {
    state.last_step = record.step();
    state.next_epoch = std::max(state.next_epoch, record.ledger_epoch.next());
    state.unclosed.push_back(record);
    state.skipped_in_a_row = record.scalars.skip ? state.skipped_in_a_row + 1 : 0;
  }
  void operator()(const EpochClosed& record) {
    std::erase_if(state.unclosed,
                  [&](const StepRecord& step) { return step.ledger_epoch <= record.epoch; });
  }
  void operator()(const CheckpointRecord& record) { state.checkpoint = record; }
  void operator()(const RolledBack& record) {
    state.last_step = record.to_step;
    state.skipped_in_a_row = 0;
  }
  void operator()(const RoundEnded& record) { state.ended = record; }
};

}  // namespace

JournalState replay(const std::vector<JournalRecord>& history) {
  Fold fold;
  for (const auto& record : history) std::visit(fold, record);
  return std::move(fold.state);
}

}  // namespace coshard::round
