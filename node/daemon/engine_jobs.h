// The bodies of the runner's jobs: what is done to the engine, without a queue in sight. All run on
// cs-engine but for what writes checkpoints.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <optional>
#include <vector>

#include "node/daemon/engine_thread.h"
#include "protocol/round/participant.h"

namespace coshard::node {

struct ComputeOutcome {
  TensorBlob output;    ///< without bytes where nothing goes on
  double loss_sum = 0;  ///< last stage only
};

/// One unit of work, or zeros in its place. Errors are StageEngine's: kUnavailable and kCorruption
/// say that the unit is not finite, kInvalidArgument that its input is refused. `encoded_input` is
/// as it came over the wire, nothing where work starts from tokens; the output is as it goes out.
Result<ComputeOutcome> compute(EngineHome& home, const round::Work& work,
                               const std::optional<TensorBlob>& encoded_input);

/// The average of one chunk; a null part is this engine's own sum, no parts: nothing else counts.
Result<shard::AveragedChunk> reduce(shard::StageEngine& engine, const round::ReduceChunk& action,
                                    std::vector<SharedBytes> parts);

/// A chunk that another replica reduced, with the squared norm that it signed.
struct ForeignAverage {
  ChunkIndex chunk;
  SharedBytes bytes;
  double squared_norm = 0;
  NodeId reducer;
};
/// kCorruption, naming the reducer, when a norm is not what its reducer signed.
Result<void> take_averages(shard::StageEngine& engine, const std::vector<ForeignAverage>& averages);

/// Where a stage's state goes.
struct SavedStage {
  std::filesystem::path checkpoints;
  StepId step;
  StageIndex stage;
};
/// Saves durably and lets go of this stage's oldest checkpoints (limits::kCheckpointsHeld stay).
/// The answer names the file when it could not be written. cs-save.
round::CheckpointSaved save_checkpoint(const shard::StageSnapshot& copy, const SavedStage& where);

}  // namespace coshard::node
