// Translations of the round file. SPDX-License-Identifier: Apache-2.0
#include "node/round_setup.h"

namespace coshard::node {

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

round::CoordinatorConfig coordinator_config(const RoundFile& round,
                                            std::uint64_t fingerprint_secret) {
  const OptimizerSettings& wanted = round.training.optimizer;
  round::CoordinatorConfig config;
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
  config.ledger_epoch_steps = round.ledger.epoch_steps;
  config.checkpoint_epochs = round.training.checkpoint_epochs;
  config.fingerprint_secret = fingerprint_secret;
  if (!round.admission.open) config.allowed = round.admission.allow;
  return config;
}

std::vector<std::uint64_t> stage_prices(const RoundFile& round) {
  std::vector<std::uint64_t> prices;
  for (const shard::StageSlice& slice : round.model.slices)
    prices.push_back(shard::flops_per_token(round.model.spec, slice));
  return prices;
}

}  // namespace coshard::node
