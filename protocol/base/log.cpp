// SPDX-License-Identifier: Apache-2.0
#include "protocol/base/log.h"

#include <cstdio>
#include <utility>

namespace coshard {
namespace {

LogSink& sink() {
  static LogSink bound = [](LogLevel level, std::string_view component, std::string_view line) {
    if (level < LogLevel::kWarning) return;
    std::fprintf(stderr, "%.*s: %.*s\n", static_cast<int>(component.size()), component.data(),
                 static_cast<int>(line.size()), line.data());
  };
  return bound;
}

}  // namespace

void set_log_sink(LogSink replacement) { sink() = std::move(replacement); }

void log(LogLevel level, std::string_view component, std::string_view line) {
  sink()(level, component, line);
}

}  // namespace coshard
