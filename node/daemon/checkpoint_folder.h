// What a node's folder of checkpoints holds, as it says when it asks to join, and how room is made
// in it. Paths: node/checkpoint_path.h. Any thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <vector>

#include "protocol/base/messages.h"

namespace coshard::node {

/// Checkpoints in the folder, newest first, at most limits::kCheckpointsHeld steps, each with its
/// hash. Reads every file whole.
std::vector<HeldCheckpoint> held_checkpoints(const std::filesystem::path& checkpoints);

/// Of the files called `name` of steps up to `step` the newest `kept` stay; older ones are deleted,
/// and copies of them that were broken off: nobody goes on with these.
void drop_old(const std::filesystem::path& checkpoints, StepId step, const std::string& name,
              std::size_t kept);

}  // namespace coshard::node
