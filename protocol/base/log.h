// Log lines without a logging library: programs bind a sink once at start (node/logging binds
// spdlog), tests capture. A line that a peer can cause at will is never above kDebug (a stranger
// must not be able to fill a disk).
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>
#include <string_view>

namespace coshard {

enum class LogLevel { kDebug, kInfo, kWarning, kError };

/// Receives every line; called from any thread, so it locks for itself.
using LogSink = std::function<void(LogLevel, std::string_view component, std::string_view line)>;

/// Replaces the sink; call before threads start. The default writes warnings and errors to stderr.
void set_log_sink(LogSink sink);

/// `component` names a folder or thread, for example "transport".
void log(LogLevel level, std::string_view component, std::string_view line);

}  // namespace coshard
