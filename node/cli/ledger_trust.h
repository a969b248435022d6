// Whom the reader of a ledger believes, from flags. Home thread: main.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "ledger/verify.h"
#include "node/cli/ledger_queries.h"

namespace coshard::cli {

/// A policy file. kInvalidArgument naming file and line.
Result<ledger::Policy> read_policy(const std::filesystem::path& file);

/// What --vkey and --policy say.
Result<ledger::ReaderTrust> trust_of(const LedgerQuery& query);

}  // namespace coshard::cli
