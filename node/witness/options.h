// What coshard-witness was asked to do on its command line, checked. Value types; main.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "ledger/note.h"
#include "protocol/base/error.h"
#include "protocol/base/log.h"

namespace coshard::node {

struct WitnessOptions {
  std::filesystem::path key;
  std::filesystem::path directory;
  std::string listen = "127.0.0.1:0";
  std::map<std::string, std::vector<ledger::NoteKey>> logs;  ///< by origin; at least one
  int passphrase_fd = -1;
  LogLevel log_level = LogLevel::kInfo;
};

/// Parses the command line. Nothing: help or version was printed, exit 0. kInvalidArgument: one
/// line for stderr, exit 2.
Result<std::optional<WitnessOptions>> parse_witness_options(int argc, char** argv);

}  // namespace coshard::node
