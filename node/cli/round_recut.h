// A round that goes on from another one's checkpoint in another shape: the state of all stages is
// cut into the stages that the new round file wants, and the file that is launched says from which
// checkpoint it begins (its section [beginning]). One thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>

#include "node/cli/round_source.h"
#include "node/round_file.h"

namespace coshard::cli {

struct Recut {
  node::RoundFile round;              ///< with its beginning
  std::filesystem::path file;         ///< the round file that is launched
  std::filesystem::path checkpoints;  ///< holds step-<n>/stage-<k>.safetensors of the new stages
  std::string differs;                ///< keys of [training] that change the course, for people
};

/// The new round as its owner wrote it. kInvalidArgument where it has a beginning already.
Result<node::LoadedRound> load_next_round(const std::filesystem::path& file);

/// kInvalidArgument unless the new round trains the same model beyond the checkpoint, with a ledger
/// of its own.
Result<void> check_next_round(const RoundSource& source, const node::LoadedRound& next);

/// Writes OUT/checkpoints and, last, OUT/round.toml. kInvalidArgument and kCorruption about the
/// stages' files, kResourceExhausted for a full disk; OUT has no round.toml then.
Result<Recut> cut_beginning(const RoundState& state, const node::LoadedRound& next,
                            const std::filesystem::path& out);

}  // namespace coshard::cli
