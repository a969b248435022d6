// What coshard-coordinator was asked to do on its command line, checked. Value types; main.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "protocol/base/error.h"
#include "protocol/base/limits.h"
#include "protocol/base/log.h"
#include "protocol/round/rebalance.h"

namespace coshard::node {

struct CoordinatorOptions {
  std::filesystem::path round;
  std::filesystem::path directory;
  std::filesystem::path key;  ///< default: directory/coordinator.key, made when missing
  std::string listen = "tcp://127.0.0.1:0";
  std::string advertise;  ///< "HOST:PORT" when nodes reach us elsewhere than where we listen
  std::string http = "127.0.0.1:0";
  std::string ledger_store;         ///< "sqlite" or a PostgreSQL URL; empty: where the log is
  std::string move_ledger_to;       ///< the same; moves the log there, and that is all
  std::filesystem::path witnesses;  ///< tlog-policy with the witnesses' URLs; empty: none
  bool former_is_dead = false;      ///< although the journal was brought here
  bool rotate_log_key = false;
  std::uint64_t log_key_overlap = 1024;  ///< entries
  bool roll_back = false;                ///< to the last complete checkpoint, whoever lives
  std::uint64_t stage_patience =
      std::chrono::seconds(limits::kStagePatience).count();  ///< seconds; 0: none
  std::uint64_t move_patience =
      std::chrono::duration_cast<std::chrono::seconds>(round::kMovePatience).count();  ///< seconds
  std::uint64_t admission_patience =
      std::chrono::seconds(limits::kAdmissionTimeout).count();  ///< seconds
  int passphrase_fd = -1;
  LogLevel log_level = LogLevel::kInfo;
};

/// Parses the command line. Nothing: help or version was printed, exit 0. kInvalidArgument: one
/// line for stderr, exit 2.
Result<std::optional<CoordinatorOptions>> parse_coordinator_options(int argc, char** argv);

}  // namespace coshard::node
