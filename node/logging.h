// Where log lines of the programs go: standard error, and files under DIR/logs that are rotated, so
// that nothing fills a disk. Warnings are flushed at once. Call start_logging() in main before any
// thread starts; log() (protocol/base/log.h) from any thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "protocol/base/error.h"
#include "protocol/base/log.h"

namespace coshard::node {

/// "debug", "info", "warning", "error"; kInvalidArgument with that list otherwise.
Result<LogLevel> parse_log_level(std::string_view name);

struct LoggingConfig {
  std::string program;                          ///< names the file: DIR/logs/<program>.log
  std::optional<std::filesystem::path> folder;  ///< DIR/logs; nothing: standard error alone
  LogLevel level = LogLevel::kInfo;             ///< lines below it are dropped
};

/// Binds the sink of log(). Makes the folder. kUnavailable when the file cannot be opened.
Result<void> start_logging(const LoggingConfig& config);

/// Writes out what is buffered; last thing in main: later lines are dropped.
void stop_logging();

}  // namespace coshard::node
