// Engine calls, one unit, chunk or file at a time.
// SPDX-License-Identifier: Apache-2.0
#include "node/daemon/engine_jobs.h"

#include "node/daemon/stage_host.h"
#include "protocol/base/failpoint.h"

namespace coshard::node {

using round::WorkOp;

Result<ComputeOutcome> compute(EngineHome& home, const round::Work& work,
                               const std::optional<TensorBlob>& encoded_input) {
  const MicrobatchIndex microbatch = work.unit.microbatch;
  std::optional<TensorBlob> input;
  if (encoded_input) {
    COSHARD_ASSIGN(input, home.codec->decode(*encoded_input));
  }
  const auto accumulate = work.counts ? shard::Accumulate::kYes : shard::Accumulate::kNo;
  ComputeOutcome outcome;
  if (work.op == WorkOp::kBackward) {
    COSHARD_ASSIGN(outcome.output, home.engine->backward(microbatch, *input, accumulate));
  } else {
    shard::TokenBatch tokens;
    if (!input || work.op == WorkOp::kForwardLoss) {
      COSHARD_ASSIGN(tokens, home.tokens->batch(work.unit.step, microbatch));
    }
    const shard::StageInput from = input ? shard::StageInput(*input) : tokens;
    if (work.op == WorkOp::kForwardOnly) {
      COSHARD_ASSIGN(outcome.output, home.engine->forward_only(from));
    } else if (work.op == WorkOp::kForward) {
      // A stash that is still there is of an attempt that was given up: its path lost a node.
      home.engine->drop_stash(microbatch);
      COSHARD_ASSIGN(outcome.output, home.engine->forward(microbatch, from));
    } else {
      COSHARD_ASSIGN(shard::LossResult loss,
                     home.engine->forward_loss(microbatch, from, tokens, accumulate));
      outcome.output = std::move(loss.input_grad);
      outcome.loss_sum = loss.loss_sum;
    }
  }
  const bool goes_on = outcome.output.bytes != nullptr && !outcome.output.bytes->empty();
  if (goes_on) outcome.output = home.codec->encode(outcome.output);
  return outcome;
}

Result<shard::AveragedChunk> reduce(shard::StageEngine& engine, const round::ReduceChunk& action,
                                    std::vector<SharedBytes> parts) {
  COSHARD_FAILPOINT("average.reduce");
  for (SharedBytes& part : parts) {
    if (part == nullptr) {
      COSHARD_ASSIGN(part, engine.gradient_chunk(action.chunk));
    }
  }
  return engine.reduce_chunk(action.chunk, parts, 1.0F / static_cast<float>(action.tokens));
}

Result<void> take_averages(shard::StageEngine& engine,
                           const std::vector<ForeignAverage>& averages) {
  for (const ForeignAverage& average : averages) {
    COSHARD_ASSIGN(const double norm, engine.set_average(average.chunk, average.bytes));
    if (norm != average.squared_norm)
      return fail(ErrorCode::kCorruption,
                  "the average of chunk " + std::to_string(average.chunk.value) + " from node " +
                      average.reducer.short_hex() + ": expected the squared norm that it signed (" +
                      std::to_string(average.squared_norm) + "), found " + std::to_string(norm));
  }
  return {};
}

round::CheckpointSaved save_checkpoint(const shard::StageSnapshot& copy, const SavedStage& where) {
  round::CheckpointSaved saved{where.step, {}, 0, ""};
  const auto file = checkpoint_path(where.checkpoints, where.step, where.stage);
  std::error_code error;
  std::filesystem::create_directories(file.parent_path(), error);
  auto hash = copy.write(file);
  const auto durable = hash ? shard::sync_folder_of(file.parent_path()) : Result<void>();
  if (!hash || !durable) {
    saved.error = hash ? durable.error().message : hash.error().message;
    return saved;
  }
  COSHARD_FAILPOINT("checkpoint.saved");
  saved.file_hash = hash->file;
  saved.bytes = std::filesystem::file_size(file, error);
  drop_old_checkpoints(where.checkpoints, where.step, where.stage);
  return saved;
}

}  // namespace coshard::node
