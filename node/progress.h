// Live progress of a round in the terminal: one block that is redrawn in place on a terminal, plain
// lines where output goes to a file or another program. Home thread: the caller's.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdio>
#include <optional>
#include <string>
#include <vector>

#include "node/round_status.h"

namespace coshard::node {

/// What the place that we print to can show.
struct Terminal {
  bool interactive = false;  ///< a terminal: the cursor can go back
  bool unicode = false;      ///< the locale is UTF-8
  std::size_t width = 80;

  static Terminal of(std::FILE* stream);
};

/// The block: round, step with a bar, loss, rates, time left, one line per node, what is waited
/// for. No line is wider than the terminal.
std::vector<std::string> render_block(const RoundStatus& status, const Terminal& terminal);

/// One line without line end, for logs.
std::string render_line(const RoundStatus& status);

/// "3 min 20 s", "45 s", "2 h 5 min"; for people.
std::string render_seconds(double seconds);

/// "1,234,567"
std::string render_count(std::uint64_t number);

/// Prints what changed.
class ProgressPrinter {
 public:
  ProgressPrinter(std::FILE* stream, Terminal terminal) : stream_(stream), terminal_(terminal) {}

  /// On a terminal every call redraws; elsewhere a line is printed when the round's or a node's
  /// state changes, and at most every `kLineInterval` for steps. `now` is monotonic.
  void show(const RoundStatus& status, std::chrono::steady_clock::time_point now);
  /// Leaves the block where it is: what follows is printed below.
  void leave();

 private:
  static constexpr std::chrono::seconds kLineInterval{5};
  std::FILE* stream_;
  Terminal terminal_;
  std::size_t lines_shown_ = 0;
  std::string situation_shown_;
  std::uint64_t step_shown_ = 0;
  std::optional<std::chrono::steady_clock::time_point> line_shown_at_;
};

}  // namespace coshard::node
