// The store in one SQLite file: one connection that nobody else can open beside it, write-ahead
// log, synchronous=FULL, no mmap (reference ledger.md 5.2). One thread (the log's).
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <memory>

#include "ledger/store/store.h"

namespace coshard::ledger {

/// Opens or creates the database. kUnavailable when another process has it open, kCorruption when
/// it is damaged or not ours, kFailedPrecondition when a setting that durability rests on does not
/// take; the message names the file. `vfs`: how SQLite reaches the disk (tests; nothing: as usual).
Result<std::unique_ptr<Store>> open_sqlite_store(const std::filesystem::path& path,
                                                 const char* vfs = nullptr);

}  // namespace coshard::ledger
