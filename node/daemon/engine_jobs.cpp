// Engine calls, one unit, chunk or file at a time.
// SPDX-License-Identifier: Apache-2.0
#include "node/daemon/engine_jobs.h"

#include <cmath>
#include <limits>

#include "node/daemon/checkpoint_folder.h"
#include "node/daemon/stage_host.h"
#include "protocol/base/failpoint.h"
#include "protocol/base/limits.h"

namespace coshard::node {

using round::WorkOp;

namespace {

/// No neighbour's fault and nothing about the unit.
Result<shard::TokenBatch> tokens_of(EngineHome& home, const Unit& unit) {
  auto tokens = home.tokens->batch(unit.step, unit.microbatch);
  if (!tokens) return fail(ErrorCode::kInternal, tokens.error().message);
  return tokens;
}

Result<ComputeOutcome> blank(EngineHome& home, const round::Work& work,
                             const std::optional<TensorBlob>& input) {
  ComputeOutcome outcome{{}, std::numeric_limits<double>::quiet_NaN()};
  const bool forward = work.op == WorkOp::kForward || work.op == WorkOp::kForwardOnly;
  if (!forward && work.unit.stage.value == 0) return outcome;
  Shape shape;
  if (input) {
    shape = input->shape;
  } else {
    COSHARD_ASSIGN(const shard::TokenBatch tokens, tokens_of(home, work.unit));
    shape = {tokens.sequences, tokens.length, home.hidden};
  }
  const auto bytes = dense_bytes(DType::kF32, shape);
  if (!bytes) return fail(ErrorCode::kInternal, "zeros of an impossible shape");
  outcome.output = home.codec->encode({DType::kF32, BoundaryEncoding::kNone, shape,
                                       share(Bytes(static_cast<std::size_t>(*bytes)))});
  return outcome;
}

}  // namespace

Result<ComputeOutcome> compute(EngineHome& home, const round::Work& work,
                               const std::optional<TensorBlob>& encoded_input) {
  const MicrobatchIndex microbatch = work.unit.microbatch;
  std::optional<TensorBlob> input;
  if (encoded_input) {
    COSHARD_ASSIGN(input, home.codec->decode(*encoded_input));
  }
  if (work.blank) return blank(home, work, input);
  const auto accumulate = work.counts ? shard::Accumulate::kYes : shard::Accumulate::kNo;
  ComputeOutcome outcome;
  if (work.op == WorkOp::kBackward) {
    COSHARD_ASSIGN(outcome.output, home.engine->backward(microbatch, *input, accumulate));
  } else {
    shard::TokenBatch tokens;
    if (!input || work.op == WorkOp::kForwardLoss) {
      COSHARD_ASSIGN(tokens, tokens_of(home, work.unit));
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
    const bool neither = std::isnan(norm) && std::isnan(average.squared_norm);
    if (norm != average.squared_norm && !neither)
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
  drop_old(where.checkpoints, where.step, file.filename().string(), limits::kCheckpointsHeld);
  return saved;
}

}  // namespace coshard::node
