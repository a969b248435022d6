// What coshard-node was asked to do on its command line, checked. Value types; main.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "protocol/base/error.h"
#include "protocol/base/limits.h"
#include "protocol/base/log.h"

namespace coshard::node {

struct NodeOptions {
  std::string join;  ///< an invitation, or a file that holds one
  std::filesystem::path directory;
  std::filesystem::path key;          ///< default: directory/node.key, made when missing
  std::filesystem::path data;         ///< folder of the token shards; default: directory/data
  std::filesystem::path checkpoints;  ///< default: directory/checkpoints
  std::string listen = "tcp://127.0.0.1:0";
  std::string advertise;  ///< "HOST:PORT" when others reach us elsewhere than where we listen
  std::string device = "auto";
  int threads = 0;           ///< of libtorch's pool; default: all cores
  std::uint64_t memory = 0;  ///< bytes that a stage may take; default: what the device has free
  double tflops = 0;         ///< what the box counts as; default: measured
  std::int64_t patience = std::chrono::seconds(limits::kCoordinatorPatience).count();  ///< seconds
  int passphrase_fd = -1;
  LogLevel log_level = LogLevel::kInfo;
};

/// Parses the command line. Nothing: help or version was printed, exit 0. kInvalidArgument: one
/// line for stderr, exit 2.
Result<std::optional<NodeOptions>> parse_node_options(int argc, char** argv);

}  // namespace coshard::node
