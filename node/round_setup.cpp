// Translations of the round file.
// SPDX-License-Identifier: Apache-2.0
#include "node/round_setup.h"

#include <algorithm>

#include "crypto/hash.h"
#include "ledger/checkpoint.h"
#include "ledger/entry.h"
#include "protocol/round/rebalance.h"

namespace coshard::node {

namespace {

std::vector<ledger::Grant> grants_of(const std::vector<Recipient>& recipients) {
  std::vector<ledger::Grant> grants;
  for (const Recipient& recipient : recipients)
    grants.push_back({recipient.account, recipient.basis_points});
  std::sort(grants.begin(), grants.end(),
            [](const auto& a, const auto& b) { return a.account < b.account; });
  return grants;
}

}  // namespace

round::RoundShape round_shape(const RoundFile& round) {
  return {.stages = round.model.stages(),
          .replicas = round.admission.replicas,
          .microbatches = round.training.microbatches,
          .tokens_per_microbatch = std::uint64_t{round.training.microbatch_sequences} *
                                   static_cast<std::uint64_t>(round.model.spec.sequence)};
}

round::Schedule round_schedule(const RoundFile& round) {
  return round.training.order == WorkOrder::kGpipe ? round::Schedule::kGpipe
                                                   : round::Schedule::kOneForwardOneBackward;
}

shard::TokenOrder token_order(const RoundFile& round) {
  return {.seed = round.training.seed,
          .sequence = round.model.spec.sequence,
          .microbatches = round.training.microbatches,
          .microbatch_sequences = round.training.microbatch_sequences,
          .vocab = round.model.spec.vocab};
}

bool computes_bf16(const RoundFile& round, bool card) {
  const Precision wanted = round.training.precision;
  return wanted == Precision::kBf16 || (wanted == Precision::kAuto && card);
}

shard::MemoryPlan stage_bill(const RoundFile& round, std::uint32_t stage, bool card) {
  const std::int64_t in_flight =
      round.training.order == WorkOrder::kGpipe
          ? std::int64_t{round.training.microbatches}
          : std::min<std::int64_t>(round.training.microbatches,
                                   std::int64_t{round.model.stages()} + limits::kInFlightExtra);
  return shard::memory_plan(
      round.model.spec, round.model.slices.at(stage),
      {.microbatch_sequences = std::int64_t{round.training.microbatch_sequences},
       .microbatches_in_flight = in_flight,
       .recompute = round.training.recompute,
       .bf16_compute = computes_bf16(round, card),
       .snapshot = !card});
}

round::CoordinatorConfig coordinator_config(const RoundFile& round,
                                            std::uint64_t fingerprint_secret) {
  const OptimizerSettings& wanted = round.training.optimizer;
  round::CoordinatorConfig config;
  if (round.model.weights == Weights::kOpen) config.move_patience = round::kMovePatience;
  config.shape = round_shape(round);
  config.steps = round.training.steps;
  config.optimizer.learning_rate = wanted.lr;
  config.optimizer.beta1 = wanted.beta1;
  config.optimizer.beta2 = wanted.beta2;
  config.optimizer.eps = wanted.eps;
  config.optimizer.weight_decay = wanted.weight_decay;
  config.optimizer.clip_norm = wanted.clip_norm;
  config.optimizer.warmup_steps = wanted.warmup;
  config.optimizer.total_steps = round.training.steps;
  config.optimizer.schedule = wanted.decay == LrDecay::kCosine
                                  ? round::LearningRateSchedule::kCosine
                                  : round::LearningRateSchedule::kConstant;
  config.replicas_max = round.admission.replicas_max;
  config.ledger_epoch_steps = round.ledger.epoch_steps;
  config.checkpoint_epochs = round.training.checkpoint_epochs;
  config.fingerprint_secret = fingerprint_secret;
  for (std::uint32_t stage = 0; stage < round.model.stages(); ++stage)
    config.needs.push_back({.processor = stage_bill(round, stage, false).total(),
                            .card = stage_bill(round, stage, true).total()});
  if (!round.admission.open) config.allowed = round.admission.allow;
  return config;
}

std::optional<round::CheckpointRecord> beginning_of(const RoundFile& round) {
  if (!round.beginning) return std::nullopt;
  round::CheckpointRecord record{round.beginning->step, {}};
  for (const BeginningShard& shard : round.beginning->shards)
    record.stages.push_back({shard.sha256, shard.bytes});
  return record;
}

Result<ledger::Genesis> genesis_of(const RoundFile& round, std::string_view round_text) {
  ledger::Genesis genesis;
  genesis.model = round.model.name;
  COSHARD_ASSIGN(genesis.origin, ledger::make_origin(round.ledger.domain, round.model.name));
  genesis.round_hash = crypto::sha256(as_bytes(round_text));
  const OwnershipSection& ownership = round.ownership;
  genesis.unit_cap = ownership.units;
  genesis.split = {ownership.compute, ownership.data, ownership.design, ownership.treasury};
  genesis.data = grants_of(ownership.data_recipients);
  genesis.design = grants_of(ownership.design_recipients);
  genesis.treasury = grants_of(ownership.treasury_recipients);
  genesis.currency = ownership.currency;
  genesis.params = {.challenge_epochs = ownership.challenge_epochs,
                    .minimum_payout = ownership.minimum_payout,
                    .bond_epochs = ownership.bond_epochs,
                    .audit_rate = 0};
  const auto& vesting = ownership.vesting_epochs;
  if (std::any_of(vesting.begin(), vesting.end(), [](std::uint64_t epochs) { return epochs > 0; }))
    genesis.vesting_epochs.assign(vesting.begin(), vesting.end());
  genesis.recovery_days = ownership.recovery_days;
  for (const NodeId& key : ownership.governors) genesis.governors.push_back({key.bytes});
  genesis.governors_needed = ownership.governors_needed;
  genesis.buyer_signs = ownership.buyer_signs;
  genesis.half_life_steps = ownership.half_life_steps.value_or(0);
  genesis.total_steps = round.training.steps;
  genesis.steps_before = round.beginning ? round.beginning->step.value : 0;
  genesis.epoch_steps = round.ledger.epoch_steps;
  genesis.stage_prices = stage_prices(round);
  genesis.microbatches = round.training.microbatches;
  genesis.tokens_per_microbatch = round_shape(round).tokens_per_microbatch;
  return genesis;
}

std::vector<std::uint64_t> stage_prices(const RoundFile& round) {
  std::vector<std::uint64_t> prices;
  for (const shard::StageSlice& slice : round.model.slices)
    prices.push_back(shard::flops_per_token(round.model.spec, slice));
  return prices;
}

std::uint64_t founded_ms(ByteView genesis_entry) {
  const auto entry = ledger::decode_entry(genesis_entry);
  return entry ? entry->seq_ms : 0;
}

}  // namespace coshard::node
