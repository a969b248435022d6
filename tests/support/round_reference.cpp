// One engine, all layers; and the comparison with it.
// SPDX-License-Identifier: Apache-2.0
#include "tests/support/round_reference.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "node/daemon/stage_host.h"
#include "node/round_setup.h"
#include "protocol/round/lr_schedule.h"
#include "shard/engine/stage_engine.h"

namespace coshard::test {

namespace {

shard::StageConfig engine_config(const node::RoundFile& round, const shard::StageSlice& slice,
                                 std::uint32_t stage) {
  shard::StageConfig config;
  config.spec = round.model.spec;
  config.slice = slice;
  config.stage = StageIndex(stage);
  config.seed = round.training.seed;
  config.threads = 1;
  return config;
}

std::vector<std::string> parameters_of(shard::StageEngine& engine, const shard::ModelSpec& spec,
                                       const shard::StageSlice& slice) {
  std::vector<std::string> all;
  for (const shard::ParameterSpec& parameter : shard::parameters(spec, slice))
    all.emplace_back(as_text(engine.parameter(parameter.name).value().view()));
  return all;
}

MetricsLine reference_step(shard::StageEngine& engine, const shard::TokenSource& tokens,
                           const node::RoundFile& round, StepId step, bool is_skipped) {
  double loss_sum = 0;
  for (std::uint32_t m = 0; m < round.training.microbatches; ++m) {
    const shard::TokenBatch batch = tokens.batch(step, MicrobatchIndex(m)).value();
    loss_sum += engine.forward_loss(MicrobatchIndex(m), batch, batch).value().loss_sum;
  }
  const auto token_count = static_cast<double>(round.tokens_per_step());
  std::vector<double> norms;
  for (std::uint32_t chunk = 0; chunk < engine.layout().size(); ++chunk)
    norms.push_back(
        engine.reduce_chunk(ChunkIndex(chunk), {}, 1.0F / static_cast<float>(token_count))
            .value()
            .squared_norm);
  const double norm = round::gradient_norm(std::span(&norms, 1));
  const round::OptimizerConfig optimizer = node::coordinator_config(round, 0).optimizer;
  const double nothing = std::numeric_limits<double>::quiet_NaN();
  EXPECT_TRUE(
      engine.apply_update(round::commit_scalars(optimizer, step, is_skipped ? nothing : norm, {})));
  return {step.value, is_skipped ? nothing : loss_sum / token_count, norm, round.tokens_per_step()};
}

}  // namespace

ReferenceRun reference_run(const node::RoundFile& round, const Path& manifest,
                           const std::set<std::uint64_t>& skipped) {
  const shard::StageSlice whole = shard::whole_model(round.model.spec);
  const auto engine = shard::make_stage_engine(engine_config(round, whole, 0)).value();
  const auto tokens = shard::TokenSource::open(manifest, node::token_order(round)).value();
  ReferenceRun run;
  for (std::uint64_t step = 1; step <= round.training.steps; ++step)
    run.lines.push_back(
        reference_step(*engine, tokens, round, StepId(step), skipped.contains(step)));
  run.parameters = parameters_of(*engine, round.model.spec, whole);
  return run;
}

std::vector<std::string> checkpoint_parameters(const node::RoundFile& round,
                                               const std::vector<Path>& checkpoint_folders,
                                               std::uint64_t step) {
  std::vector<std::string> all;
  for (std::uint32_t stage = 0; stage < round.model.stages(); ++stage) {
    const shard::StageSlice& slice = round.model.slices[stage];
    const auto engine = shard::make_stage_engine(engine_config(round, slice, stage)).value();
    bool loaded = false;
    for (const Path& folder : checkpoint_folders) {
      const Path file = node::checkpoint_path(folder, StepId(step), StageIndex(stage));
      if (loaded || !std::filesystem::exists(file)) continue;
      loaded = engine->load(file).has_value();
    }
    EXPECT_TRUE(loaded) << "no checkpoint of stage " << stage << " after step " << step;
    const auto own = parameters_of(*engine, round.model.spec, slice);
    all.insert(all.end(), own.begin(), own.end());
  }
  return all;
}

ledger::VerifiedLedger expect_verified(const RoundFolder& round) {
  const ledger::DiskFolder folder(round.coordinator_dir() / "ledger" / round.round().model.name);
  auto verified = ledger::verify_ledger(folder);
  EXPECT_TRUE(verified.has_value()) << verified.error().message;
  return std::move(*verified);
}

void expect_same_losses(const RoundFolder& round, const ReferenceRun& reference) {
  const auto lines = round.last_metrics();
  ASSERT_EQ(lines.size(), reference.lines.size());
  for (std::size_t i = 0; i < lines.size(); ++i) {
    const double expected = reference.lines[i].loss;
    if (std::isnan(expected))
      EXPECT_TRUE(std::isnan(lines[i].loss)) << "step " << i + 1;
    else
      EXPECT_NEAR(lines[i].loss, expected, 1e-5 * expected) << "step " << i + 1;
  }
}

void expect_same_bits(const RoundFolder& round, const ReferenceRun& reference) {
  const auto lines = round.last_metrics();
  ASSERT_EQ(lines.size(), reference.lines.size());
  for (std::size_t i = 0; i < lines.size(); ++i) {
    EXPECT_EQ(lines[i].loss, reference.lines[i].loss) << "step " << i + 1;
    EXPECT_EQ(lines[i].grad_norm, reference.lines[i].grad_norm) << "step " << i + 1;
    EXPECT_EQ(lines[i].tokens, reference.lines[i].tokens);
  }
  EXPECT_EQ(checkpoint_parameters(round.round(), round.checkpoint_folders(), lines.back().step),
            reference.parameters);
}

namespace {

/// Every unit of every step counts once, whoever has one counted owns something, and nothing is
/// owned by anybody else.
void expect_paid(const RoundFixture& round, const ledger::Accounts& accounts) {
  std::uint64_t units = 0;
  std::set<AccountId> workers;
  for (const ledger::EpochState& epoch : accounts.epochs())
    for (const ledger::NodeTotal& total : epoch.close.totals) {
      units += total.units;
      workers.insert(accounts.find_node(total.node)->account);
    }
  const node::RoundFile& file = round.round();
  EXPECT_EQ(units, file.training.steps * file.training.microbatches * file.model.stages());
  for (const AccountId& worker : workers) EXPECT_GT(accounts.balance(worker).posted, 0U);
  EXPECT_EQ(accounts.balances().size(), workers.size());
  const ledger::UnitTotals totals = accounts.totals();
  EXPECT_EQ(totals.posted + totals.burnt, totals.cap);
}

}  // namespace

void expect_done_once(RoundFixture& round, const std::set<std::size_t>& struck) {
  constexpr auto kPatience = std::chrono::seconds(120);
  ASSERT_EQ(round.coordinator().wait_exit(kPatience), 0) << round.outputs();
  for (std::size_t i = 0; i < round.node_count(); ++i) {
    if (struck.contains(i)) continue;
    EXPECT_EQ(round.node(i).wait_exit(std::chrono::seconds(30)), 0) << i << round.outputs();
    EXPECT_EQ(count_of(round.node(i).output(), "admitted to"), 1U)
        << "node " << i << " was lost and came back" << round.outputs();
  }
  EXPECT_EQ(round.metrics().size(), round.round().training.steps) << "no step was done twice";
  expect_paid(round, expect_verified(round).accounts);
}

void expect_survived(RoundFixture& round, const std::set<std::size_t>& struck,
                     const std::set<std::uint64_t>& skipped) {
  expect_done_once(round, struck);
  expect_same_losses(round, reference_run(round.round(), round.manifest(), skipped));
}

}  // namespace coshard::test
