// Running a program of this build to its end, with a home folder of its own. One thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "tests/support/process.h"

namespace coshard::test {

/// The folder of the programs under test.
inline Path bin_dir() { return COSHARD_BIN_DIR; }

inline Path source_dir() { return COSHARD_SOURCE_DIR; }

struct Ran {
  int status = -1;     ///< exit status; -1: still running at the limit
  std::string output;  ///< standard output and error
};

/// Runs `name` with `arguments`; configuration and state are looked for under `home`.
inline Ran run_program(const std::string& name, const std::vector<std::string>& arguments,
                       const Path& home,
                       std::chrono::milliseconds limit = std::chrono::seconds(30)) {
  static int count = 0;
  const Path output = home / ("output-" + std::to_string(++count));
  ChildProcess child({bin_dir() / name,
                      arguments,
                      output,
                      {},
                      {{"HOME", home.string()},
                       {"XDG_CONFIG_HOME", (home / "config").string()},
                       {"XDG_STATE_HOME", (home / "state").string()},
                       {"XDG_CACHE_HOME", (home / "cache").string()},
                       {"LC_ALL", "C"}}});
  const auto status = child.wait_exit(limit);
  return {status.value_or(-1), read_text(output)};
}

}  // namespace coshard::test
