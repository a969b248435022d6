// That a log has forked, as a file that convinces anybody who knows the log's key: two checkpoints
// that one log cannot both have signed honestly. Pure; any thread. Bytes: FORMAT.md.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "ledger/checkpoint.h"

namespace coshard::ledger {

struct ForkEvidence {
  NoteKey log;
  std::string first;   ///< note of the smaller checkpoint
  std::string second;  ///< note of the other one
  /// Where the sizes differ: what shows that the second log's beginning is not the first log
  /// (roots_of_path: leads to the second root, and to another root than the first's). Empty where
  /// the sizes are one.
  std::vector<Hash> path;

  std::string format() const;
  /// kInvalidArgument for anything that format() would not have written.
  static Result<ForkEvidence> parse(std::string_view text);
};

/// Evidence that was examined and holds.
struct Fork {
  Checkpoint first;
  Checkpoint second;
  std::string words;  ///< what it shows, for people; several lines
};

/// Checks both signatures and that the two exclude each other. kInvalidArgument: a note is no
/// checkpoint; kPermissionDenied: a signature is not the log's; kFailedPrecondition: both are
/// genuine and show no fork.
Result<Fork> examine(const ForkEvidence& evidence);

}  // namespace coshard::ledger
