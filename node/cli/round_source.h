// The state of an open round, as its ledger recorded it: which checkpoint, and a sound file for
// each stage, from a folder on this machine or copied from the nodes that hold the stage while the
// round runs (round_owners). What export is made from, whatever its format. One thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "ledger/leaves.h"
#include "node/cli/command_line.h"
#include "node/cli/exit_code.h"
#include "node/cli/round_handle.h"
#include "node/round_file.h"

namespace coshard::cli {

/// Everything that is known before a weight is read.
struct RoundSource {
  RoundHandle round;
  NetworkId network;
  std::string origin;  ///< of its ledger
  node::LoadedRound loaded;
  ledger::CheckpointRecord record;
  std::vector<std::filesystem::path> checkpoints;  ///< folders, looked through in this order
};

struct RoundState {
  RoundSource source;
  std::vector<std::filesystem::path> files;  ///< by stage, each with the hash that is recorded
};

/// Finds round, ledger and round file, has `check` look at them, and gets the files; copies lie in
/// `parts`, where the next try goes on. kPermissionDenied for a protected round. The newest
/// checkpoint may be replaced while it is copied: then the one that replaced it is taken, unless
/// the command names a step. `failure`: the exit code of an error.
Result<RoundState> collect_state(const RoundExportCommand& command,
                                 const std::filesystem::path& parts,
                                 const std::function<Result<void>(const RoundSource&)>& check,
                                 ExitCode& failure);

}  // namespace coshard::cli
