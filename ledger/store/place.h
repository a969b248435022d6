// Which store a log lives in, remembered beside it, and how it moves to another one. At no moment
// are there two stores that a log may be written to. Main thread, before the log is opened.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "ledger/store/store.h"

namespace coshard::ledger {

/// The store in DIR/ledger.sqlite; any other is the URL of a PostgreSQL database.
inline constexpr const char* kSqlitePlace = "sqlite";

/// Opens the store of the log in `directory`: the one that DIR/ledger.store names, and for a new
/// log `place` (nothing: kSqlitePlace), which is remembered first. kFailedPrecondition when `place`
/// is another one than the log's, or the log has moved; kInvalidArgument when it is no place, or a
/// URL with a password; otherwise as open_sqlite_store and open_postgres_store.
Result<std::unique_ptr<Store>> open_store_at(const std::filesystem::path& directory,
                                             const std::string& place);

/// Moves the log in `directory` to `place`: copies entries, side files and the last signed
/// checkpoint, reads all of it again, marks the old store as moved, and remembers the new one. Cut
/// short anywhere, it can be said again and goes on. Errors as open_store_at; kCorruption when the
/// copy differs, kFailedPrecondition when the other store has a log of its own.
Result<void> move_store_to(const std::filesystem::path& directory, const std::string& place);

/// The same between two open stores, for which somebody else remembers. `from` and `to` are the
/// names by which they know each other.
Result<void> move_store(Store& from, const std::string& from_name, Store& to,
                        const std::string& to_name);

}  // namespace coshard::ledger
