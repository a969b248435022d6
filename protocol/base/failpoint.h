// Named places where a test makes its process die, freeze or be asked to stop, for example
// COSHARD_FAILPOINT("tensor.send"). In test builds only (CMake option COSHARD_FAILPOINTS):
// elsewhere the macro is nothing. The environment variable COSHARD_FAILPOINTS gives the orders:
// "tensor.send=kill@5,update.half=stop@20" is SIGKILL at the fifth passage of the one, SIGSTOP at
// the twentieth of the other; "term" is SIGTERM. "update.half=kill@20:FILE" strikes another process
// than the one that passes: whose id FILE has. Who strikes first of several moves FILE to
// FILE.taken, and the others do nothing. Armed before there are threads; passed by any thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "protocol/base/error.h"

#ifdef COSHARD_FAILPOINTS

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace coshard {

/// Every failpoint of the product, in the order in which a step comes by: a node's, then the
/// coordinator's.
inline constexpr std::array<std::string_view, 15> kFailpoints{
    "stage.raise",        // a stage is about to be loaded
    "tensor.send",        // an activation or gradient is about to be sent
    "message.half",       // its header is handed to the socket, this payload is not
    "backward.begin",     // a microbatch's forward is done, its backward begins
    "average.reduce",     // a chunk's contributions are here, its average is not made
    "average.half_sent",  // one replica has been sent the average, the next has not
    "update.half",        // a parameter is updated, the next is not
    "update.done",        // all are, and nobody has heard so
    "checkpoint.half",    // one tensor of a checkpoint is written, the next is not
    "checkpoint.saved",   // it lies durably under its name, and nobody has heard so
    "close.half_sent",    // one replica knows who averages, the next does not
    "journal.write",      // something was decided and is not durable
    "journal.written",    // it is, and nobody has heard so
    "commit.half_sent",   // one node has the commit, the next has not
    "epoch.closed",       // an epoch's end is in the ledger, and the journal lacks it
};

struct FailpointOrder {
  std::size_t failpoint = 0;  ///< index in kFailpoints
  int signal = 0;             ///< SIGKILL, SIGSTOP or SIGTERM
  std::uint64_t passage = 0;  ///< counted from 1
  std::string pid_file;       ///< of the process that is struck; empty: the one that passes
};

/// kInvalidArgument, listing the names, for anything but "NAME=kill@N", "NAME=stop@N" or
/// "NAME=term@N", each with ":FILE" behind it or not, with commas between several.
Result<std::vector<FailpointOrder>> parse_failpoints(std::string_view text);

/// What `text` (the variable's value, or null) orders is done from now on. Errors as above. A FILE
/// is read when its order's place is passed; one that names no process that lives is a test's bug.
Result<void> arm_failpoints(const char* text);

namespace internal {

void pass_failpoint(std::size_t failpoint);
void no_such_failpoint();  ///< not constant: calling it is the compiler's error

consteval std::size_t failpoint_index(std::string_view name) {
  for (std::size_t i = 0; i < kFailpoints.size(); ++i)
    if (kFailpoints[i] == name) return i;
  no_such_failpoint();
  return kFailpoints.size();
}

}  // namespace internal
}  // namespace coshard

#define COSHARD_FAILPOINT(name) \
  ::coshard::internal::pass_failpoint(::coshard::internal::failpoint_index(name))

#else

namespace coshard {
inline Result<void> arm_failpoints(const char*) { return {}; }
}  // namespace coshard

#define COSHARD_FAILPOINT(name) static_cast<void>(0)

#endif
