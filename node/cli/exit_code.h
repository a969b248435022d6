// How commands end: one line on standard error and a number that scripts may rely on.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdio>

#include "protocol/base/error.h"

namespace coshard::cli {

enum ExitCode : int {
  kDone = 0,
  kFailed = 1,         ///< what was asked for did not come out: a ledger that does not verify, …
  kBadInput = 2,       ///< a wrong flag or file: nothing was started
  kEndedEarly = 3,     ///< a round that ended before its last step and can be resumed
  kInterrupted = 130,  ///< by the operator (as shells count SIGINT)
};

/// Prints "coshard: MESSAGE" and returns `code`.
inline int report(const Error& error, ExitCode code) {
  std::fprintf(stderr, "coshard: %s\n", error.message.c_str());
  return code;
}

/// The same, with the code that the error asks for: a flag or file that is wrong, or a refusal.
inline int report_refusal(const Error& error) {
  const bool bad_input =
      error.code == ErrorCode::kInvalidArgument || error.code == ErrorCode::kNotFound;
  return report(error, bad_input ? kBadInput : kFailed);
}

}  // namespace coshard::cli
