// See pipeline.h.
// SPDX-License-Identifier: Apache-2.0
#include "tests/support/pipeline.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <optional>

#include "protocol/base/check.h"
#include "protocol/base/rng.h"
#include "shard/plan/partition.h"

namespace coshard::test {
namespace {

template <class T>
T must(Result<T> result) {
  if (!result) {
    ADD_FAILURE() << result.error().message;
    std::fprintf(stderr, "%s\n", result.error().message.c_str());
  }
  COSHARD_CHECK(result.has_value());
  return std::move(*result);
}

}  // namespace

struct Pipeline::Run {
  std::vector<shard::TokenBatch> batches;
  std::vector<std::vector<std::optional<TensorBlob>>> activations;  // [stage][microbatch]: inputs
  std::vector<std::vector<std::optional<TensorBlob>>> gradients;    // [stage][microbatch]: outputs'
  std::vector<std::vector<Operation>> order;
  std::vector<std::size_t> next;  // by stage
  double loss_sum = 0;
  std::uint64_t tokens = 0;
};

Pipeline::Pipeline(const PipelineOptions& options) : options_(options) {
  const auto& layers = options.layers_per_stage;
  slices_ = layers.empty() ? std::vector{shard::whole_model(options.spec)}
                           : must(shard::partition(options.spec, layers));
  for (std::size_t stage = 0; stage < slices_.size(); ++stage) {
    auto& replicas = engines_.emplace_back();
    for (std::uint32_t replica = 0; replica < options.replicas; ++replica) {
      shard::StageConfig config = options.engine;
      config.spec = options.spec;
      config.slice = slices_[stage];
      config.stage = StageIndex(static_cast<std::uint32_t>(stage));
      replicas.push_back(must(shard::make_stage_engine(config)));
    }
  }
}

shard::TokenBatch Pipeline::batch(StepId step, std::uint32_t microbatch) const {
  shard::TokenBatch batch{options_.sequences, options_.spec.sequence, {}, {}};
  Rng rng(options_.engine.seed + step.value, microbatch);
  const auto vocab = static_cast<std::uint64_t>(options_.spec.vocab);
  for (std::int64_t s = 0; s < batch.sequences; ++s) {
    // Each sequence counts up by its own stride: something that a model can learn.
    const std::uint64_t stride = 1 + rng.below(3);
    std::uint64_t token = rng.below(vocab);
    for (std::int64_t t = 0; t < batch.length; ++t) {
      batch.inputs.push_back(static_cast<std::int32_t>(token));
      token = (token + stride) % vocab;
      batch.targets.push_back(static_cast<std::int32_t>(token));
    }
  }
  return batch;
}

std::vector<Pipeline::Operation> Pipeline::order_of(std::size_t stage) const {
  const std::uint32_t count = options_.microbatches;
  const auto depth = static_cast<std::uint32_t>(engines_.size() - stage);
  const std::uint32_t ahead = options_.order == Order::kGPipe ? count : std::min(count, depth);
  std::vector<Operation> order;
  std::uint32_t forward = 0;
  for (; forward < ahead; ++forward) order.push_back({true, forward});
  for (std::uint32_t backward = 0; backward < count; ++backward) {
    order.push_back({false, backward});
    if (forward < count) order.push_back({true, forward++});
  }
  return order;
}

bool Pipeline::run_one(Run& run, std::size_t stage) {
  if (run.next[stage] == run.order[stage].size()) return false;
  const Operation operation = run.order[stage][run.next[stage]];
  const std::uint32_t m = operation.microbatch;
  const MicrobatchIndex microbatch(m);
  shard::StageEngine& engine = *engines_[stage][m % options_.replicas];
  const bool last = stage + 1 == engines_.size();
  if (operation.forward) {
    if (stage > 0 && !run.activations[stage][m]) return false;
    const shard::StageInput input = stage == 0 ? shard::StageInput(run.batches[m])
                                               : shard::StageInput(*run.activations[stage][m]);
    if (last) {
      shard::LossResult loss = must(engine.forward_loss(microbatch, input, run.batches[m]));
      run.loss_sum += loss.loss_sum;
      run.tokens += loss.tokens;
      if (stage > 0) run.gradients[stage - 1][m] = std::move(loss.input_grad);
    } else {
      run.activations[stage + 1][m] = must(engine.forward(microbatch, input));
    }
  } else if (!last) {
    if (!run.gradients[stage][m]) return false;
    TensorBlob dx = must(engine.backward(microbatch, *run.gradients[stage][m]));
    if (stage > 0) run.gradients[stage - 1][m] = std::move(dx);
  }
  ++run.next[stage];
  return true;
}

std::vector<std::vector<double>> Pipeline::average(float inv_tokens) {
  std::vector<std::vector<double>> norms(engines_.size());
  for (std::size_t stage = 0; stage < engines_.size(); ++stage) {
    auto& replicas = engines_[stage];
    for (std::uint32_t c = 0; c < replicas[0]->layout().size(); ++c) {
      const ChunkIndex chunk(c);
      std::vector<SharedBytes> contributions;
      if (replicas.size() > 1)
        for (const auto& replica : replicas)
          contributions.push_back(must(replica->gradient_chunk(chunk)));
      const std::size_t reducer = c % replicas.size();
      const shard::AveragedChunk averaged =
          must(replicas[reducer]->reduce_chunk(chunk, contributions, inv_tokens));
      for (std::size_t r = 0; r < replicas.size(); ++r) {
        if (r == reducer) continue;
        EXPECT_EQ(must(replicas[r]->set_average(chunk, averaged.bytes)), averaged.squared_norm);
      }
      norms[stage].push_back(averaged.squared_norm);
    }
  }
  return norms;
}

StepRecord Pipeline::step() {
  last_ = last_.next();
  const std::size_t stages = engines_.size();
  Run run;
  for (std::uint32_t m = 0; m < options_.microbatches; ++m) run.batches.push_back(batch(last_, m));
  run.activations.assign(stages, std::vector<std::optional<TensorBlob>>(options_.microbatches));
  run.gradients = run.activations;
  for (std::size_t stage = 0; stage < stages; ++stage) run.order.push_back(order_of(stage));
  run.next.assign(stages, 0);
  for (bool progress = true; progress;) {
    progress = false;
    for (std::size_t stage = 0; stage < stages; ++stage) progress |= run_one(run, stage);
  }
  for (std::size_t stage = 0; stage < stages; ++stage)
    COSHARD_CHECK_OP(run.next[stage], ==, run.order[stage].size());

  StepRecord record;
  record.loss = run.loss_sum / static_cast<double>(run.tokens);
  record.grad_norm = round::gradient_norm(average(1.0F / static_cast<float>(run.tokens)));
  const CommitScalars scalars =
      round::commit_scalars(options_.optimizer, last_, record.grad_norm, {1, 2, 3});
  for (auto& replicas : engines_) {
    for (std::size_t r = 0; r < replicas.size(); ++r) {
      const Fingerprint digest = must(replicas[r]->apply_update(scalars)).digest;
      if (r == 0) record.digests.push_back(digest);
      EXPECT_EQ(digest, record.digests.back()) << "replicas of a stage disagree";
    }
  }
  return record;
}

StepRecord Pipeline::steps(std::uint64_t count) {
  StepRecord record;
  for (std::uint64_t i = 0; i < count; ++i) record = step();
  return record;
}

std::vector<std::string> Pipeline::parameters() {
  std::vector<std::string> values;
  for (std::size_t stage = 0; stage < engines_.size(); ++stage)
    for (const auto& parameter : shard::parameters(options_.spec, slices_[stage]))
      values.emplace_back(as_text(must(engines_[stage][0]->parameter(parameter.name)).view()));
  return values;
}

}  // namespace coshard::test
