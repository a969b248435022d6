// Progress of data preparation on a terminal; nothing elsewhere. Home thread: the caller's.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdio>

#include "shard/data/prepare.h"

namespace coshard::cli {

/// Redraws one line on `stream` and clears it at the end; empty when `stream` is no terminal.
shard::PrepareProgressFn prepare_progress(std::FILE* stream);

}  // namespace coshard::cli
