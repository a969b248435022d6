// One section of a round file that has rules enough for a file of its own. Any thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "node/round_file.h"
#include "node/toml_reader.h"

namespace coshard::node {

/// Reads [ownership] of `file` where it has one; what is wrong goes to the reader's problems.
void read_ownership(const TomlReader& file, OwnershipSection& out);

}  // namespace coshard::node
