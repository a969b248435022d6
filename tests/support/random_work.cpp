// What a random ledger proposes about work: epochs, batches, credits, checkpoints, the way back.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "ledger/pricing.h"
#include "ledger/round_ledger.h"
#include "tests/support/random_ledger.h"

namespace coshard::test {

using namespace ledger;

std::optional<RandomLedger::Proposal> RandomLedger::epoch_open() {
  auto next = accounts_.next_epoch();
  if (!next || (accounts_.open_epochs().size() > 1 && !chance(4))) return std::nullopt;
  next->seed_commitment = seed_commitment(hash_of("seed", next->epoch.value));
  return say(*next);
}

std::optional<RandomLedger::Proposal> RandomLedger::epoch_close() {
  if (accounts_.open_epochs().empty()) return std::nullopt;
  const OpenEpoch& open = accounts_.open_epochs().front();
  const std::uint64_t steps = open.last_step.value - open.first_step.value + 1;
  EpochSummary summary;
  summary.epoch = open.epoch;
  summary.first_step = open.first_step;
  summary.last_step = chance(4) ? StepId(open.first_step.value + below(steps)) : open.last_step;
  for (std::uint32_t stage = 0; stage < accounts_.genesis().stages(); ++stage) {
    const std::vector<NodeId> holders{node(), node()};
    for (const NodeId& holder : holders) {
      const EpochMember member{StageIndex(stage), holder, Incarnation(1)};
      if (std::find(summary.members.begin(), summary.members.end(), member) ==
          summary.members.end()) {
        summary.members.push_back(member);
      }
    }
    for (StepId step = summary.first_step; step <= summary.last_step; step = step.next()) {
      for (std::uint32_t m = 0; m < accounts_.genesis().microbatches; ++m) {
        const Unit unit{step, MicrobatchIndex(m), StageIndex(stage), Attempt(0)};
        summary.units.push_back({unit, one_of(holders), false});
        if (!chance(20)) continue;
        summary.units.push_back({unit, one_of(holders), true});
        summary.units.back().unit.attempt = Attempt(1);
      }
      Fingerprint digest{};
      digest[0] = static_cast<std::uint8_t>(below(256));
      summary.digests.push_back({step, StageIndex(stage), digest});
    }
  }
  auto out = say(*close_of(accounts_.genesis(), summary));
  out->file = {units_path(summary.epoch), encode_units_file(summary)};
  return out;
}

std::optional<RandomLedger::Proposal> RandomLedger::work_batch() {
  const EpochState* of = epoch();
  if (of == nullptr) return std::nullopt;
  std::vector<NodeTotal> missing;
  for (const NodeTotal& total : of->close.totals) {
    if (!of->batches.contains({total.stage, total.node})) missing.push_back(total);
  }
  if (missing.empty()) return std::nullopt;
  const NodeTotal& total = one_of(missing);
  WorkBatch leaf;
  leaf.epoch = of->close.epoch;
  leaf.stage = total.stage;
  leaf.node = total.node;
  leaf.units = total.units;
  leaf.repairs = total.repairs;
  leaf.tokens = total.tokens;
  leaf.flops = price(accounts_.genesis(), total.stage, total.tokens);
  leaf.receipts_root = hash_of("receipts", accounts_.size());
  leaf.receipts = below(100);
  leaf.countersigned = amount(leaf.receipts);
  if (chance(4)) return say(leaf);
  return Proposal{
      find_key(total.node.bytes), work_batch_sequence(leaf.epoch, leaf.stage), leaf, nullptr, {}};
}

std::optional<RandomLedger::Proposal> RandomLedger::credit() {
  const EpochState* of = epoch();
  if (of == nullptr) return std::nullopt;
  auto leaf = accounts_.credit_for(of->close.epoch);
  if (!leaf) return std::nullopt;
  if (!leaf->lines.empty() && chance(10)) ++leaf->lines.back().units;
  return say(*leaf);
}

std::optional<RandomLedger::Proposal> RandomLedger::credit_post() {
  const EpochState* of = epoch();
  if (of == nullptr) return std::nullopt;
  return say(CreditPost{of->close.epoch, chance(10) ? LogIndex(below(accounts_.size()))
                                                    : accounts_.covering_checkpoint()});
}

std::optional<RandomLedger::Proposal> RandomLedger::checkpoint_record() {
  const StepId reached = accounts_.open_epochs().empty()
                             ? accounts_.committed_step()
                             : accounts_.open_epochs().front().last_step;
  const std::uint64_t covered = accounts_.covered_step().value;
  CheckpointRecord leaf;
  leaf.step = StepId(covered + amount(reached.value > covered ? reached.value - covered : 0));
  for (std::uint32_t stage = 0; stage < accounts_.genesis().stages(); ++stage) {
    leaf.shards.push_back({StageIndex(stage), hash_of("shard", below(1000))});
  }
  return say(leaf);
}

std::optional<RandomLedger::Proposal> RandomLedger::rollback() {
  return say(Rollback{accounts_.covered_step(), "a stage was lost"});
}

std::optional<RandomLedger::Proposal> RandomLedger::burn() {
  if (accounts_.size() < 200 && !chance(8)) return std::nullopt;  // at the end, or early for once
  return say(Burn{accounts_.totals().remaining, "the round is over"});
}

}  // namespace coshard::test
