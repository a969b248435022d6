// Starting a coordinator as a process of its own, and remembering how, so that it can be started
// again. Home thread: main.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <filesystem>
#include <optional>
#include <string>

#include "node/cli/child_process.h"
#include "node/cli/round_handle.h"

namespace coshard::cli {

/// The flags of coshard-coordinator that a restart must repeat: DIR/launch.json.
struct CoordinatorLaunch {
  std::filesystem::path round;  ///< absolute
  std::filesystem::path dir;    ///< absolute
  std::string listen;
  std::string advertise;
  std::string http;
  bool dies_with_us = false;                             ///< stops when we end, however we end
  std::optional<std::chrono::seconds> stage_patience{};  ///< nothing: the program's own
  std::string ledger_store = {};  ///< of a new round; its folder remembers it, not launch.json
  std::string witnesses = {};     ///< absolute path of a policy file; empty: none
};

Result<void> write_launch(const CoordinatorLaunch& launch);
/// kNotFound when the coordinator in `dir` was not started by us.
Result<CoordinatorLaunch> read_launch(const std::filesystem::path& dir);

struct RunningCoordinator {
  ChildProcess process;
  CoordinatorFile file;
  std::string invitation;  ///< what a node needs to join
};

/// Starts it, logging to DIR/logs/coordinator.log, and waits until it answers. An error carries the
/// end of its log; kInvalidArgument when it refused its input (exit 2).
Result<RunningCoordinator> start_coordinator(const CoordinatorLaunch& launch);

}  // namespace coshard::cli
