// Folding the coordinator's journal: see journal.h.
// SPDX-License-Identifier: Apache-2.0
#include "protocol/round/journal.h"

#include <algorithm>
#include <utility>

namespace coshard::round {
namespace {

struct Fold {
  JournalState state;

  void operator()(const RoundOpened& record) {
    state.generation = record.generation;
    state.ended.reset();
  }
  void operator()(const NodeAssigned& record) {
    state.seats[record.node] = record;
    state.members.insert(record.node);
    state.most_members = std::max(state.most_members, state.members.size());
  }
  void operator()(const StepRecord& record) {
    state.last_step = record.step();
    state.newest_step = std::max(state.newest_step, record.step());
    state.last = record;
    if (record.checkpoint) state.unsaved = record.step();
    state.next_epoch = std::max(state.next_epoch, record.ledger_epoch.next());
    state.unclosed.push_back(record);
    state.skipped_in_a_row = record.scalars.skip ? state.skipped_in_a_row + 1 : 0;
  }
  void operator()(const EpochClosed& record) {
    const auto closed = [&](const StepRecord& step) { return step.ledger_epoch <= record.epoch; };
    std::erase_if(state.unclosed, closed);
    for (auto& given : state.given_up) std::erase_if(given.unclosed, closed);
    std::erase_if(state.given_up,
                  [&](const GivenUp& given) { return given.back.next_epoch <= record.epoch; });
    const StepId open = state.unclosed.empty() ? state.last_step.next() : state.unclosed[0].step();
    state.digests.erase(state.digests.begin(), state.digests.lower_bound(open));
  }
  void operator()(const CheckpointRecord& record) {
    state.checkpoint = record;
    std::erase_if(state.kept,
                  [&](const auto& kept) { return kept.second.sealed.step < record.step; });
    if (state.newest_step < record.step)
      state.beginning = state.last_step = state.newest_step = record.step;
    if (state.unsaved && *state.unsaved <= record.step) state.unsaved.reset();
  }
  void operator()(const RolledBack& record) {
    state.given_up.push_back({std::exchange(state.unclosed, {}), std::exchange(state.digests, {}),
                              state.checkpoint, record});
    state.last_step = record.to_step;
    state.last.reset();
    state.unsaved.reset();
    state.ending.reset();
    state.skipped_in_a_row = 0;
  }
  void operator()(const RoundEnded& record) {
    state.ended = record;
    state.ending.reset();
    state.members.clear();
  }
  void operator()(const NodeGone& record) { state.members.erase(record.node); }
  void operator()(const DigestsAgreed& record) { state.digests[record.step] = record.digests; }
  void operator()(const RoundEnding& record) { state.ending = record; }
  void operator()(const ShardKept& record) {
    state.kept[{record.sealed.stage, record.sealed.step}] = record;
  }
};

}  // namespace

JournalState replay(const std::vector<JournalRecord>& history) {
  Fold fold;
  for (const auto& record : history) std::visit(fold, record);
  return std::move(fold.state);
}

}  // namespace coshard::round
