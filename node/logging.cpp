// See logging.h.
// SPDX-License-Identifier: Apache-2.0
#include "node/logging.h"

#include <spdlog/sinks/rotating_file_sink.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <system_error>
#include <vector>

namespace coshard::node {
namespace {

constexpr std::size_t kLogFileBytesMax = std::size_t{16} << 20;
constexpr std::size_t kLogFilesKept = 3;
constexpr std::chrono::seconds kFlushInterval{2};

struct LevelName {
  std::string_view name;
  LogLevel level;
};
constexpr std::array<LevelName, 4> kLevels{{{"debug", LogLevel::kDebug},
                                            {"info", LogLevel::kInfo},
                                            {"warning", LogLevel::kWarning},
                                            {"error", LogLevel::kError}}};

spdlog::level::level_enum to_spdlog(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return spdlog::level::debug;
    case LogLevel::kInfo:
      return spdlog::level::info;
    case LogLevel::kWarning:
      return spdlog::level::warn;
    case LogLevel::kError:
      return spdlog::level::err;
  }
  return spdlog::level::err;
}

/// Whoever started us may have sent standard error to that very file: each line would stand there
/// twice.
bool is_standard_error(const std::filesystem::path& file) {
  struct stat ours = {}, theirs = {};
  return fstat(STDERR_FILENO, &ours) == 0 && stat(file.c_str(), &theirs) == 0 &&
         ours.st_dev == theirs.st_dev && ours.st_ino == theirs.st_ino;
}

}  // namespace

Result<LogLevel> parse_log_level(std::string_view name) {
  for (const LevelName& known : kLevels) {
    if (known.name == name) return known.level;
  }
  return fail(
      ErrorCode::kInvalidArgument,
      "log level: expected debug, info, warning or error, found \"" + std::string(name) + "\"");
}

Result<void> start_logging(const LoggingConfig& config) {
  try {
    std::vector<spdlog::sink_ptr> sinks{std::make_shared<spdlog::sinks::stderr_color_sink_mt>()};
    if (config.folder) {
      std::filesystem::create_directories(*config.folder);
      const auto file = *config.folder / (config.program + ".log");
      if (is_standard_error(file)) sinks.clear();
      sinks.push_back(std::make_shared<spdlog::sinks::rotating_file_sink_mt>(
          file.string(), kLogFileBytesMax, kLogFilesKept));
    }
    auto logger = std::make_shared<spdlog::logger>(config.program, sinks.begin(), sinks.end());
    logger->set_level(to_spdlog(config.level));
    logger->set_pattern("%Y-%m-%dT%H:%M:%S.%eZ %^%l%$ %v", spdlog::pattern_time_type::utc);
    logger->flush_on(spdlog::level::warn);
    spdlog::register_logger(logger);
    spdlog::flush_every(kFlushInterval);
    set_log_sink([logger](LogLevel level, std::string_view component, std::string_view line) {
      logger->log(to_spdlog(level), "{}: {}", component, line);
    });
  } catch (const std::exception& error) {
    return fail(ErrorCode::kUnavailable,
                "logs: expected to write under " +
                    config.folder.value_or(std::filesystem::path("standard error")).string() +
                    ", found: " + error.what());
  }
  return {};
}

void stop_logging() {
  set_log_sink([](LogLevel, std::string_view, std::string_view) {});
  spdlog::shutdown();
}

}  // namespace coshard::node
