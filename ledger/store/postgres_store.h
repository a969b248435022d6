// The store in a PostgreSQL database of its own: for several coordinator processes on one server,
// or a log of more than 100 GB. One writer: an advisory lock that lives as long as the connection,
// and a generation that every write transaction checks, so that a writer whose connection was given
// up for dead cannot write later. One thread (the log's).
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>

#include "ledger/store/store.h"

namespace coshard::ledger {

/// Opens or creates the tables (schema `coshard`) in the database that `url` (postgresql://…)
/// names. One log per database. kUnavailable when the server is not there or another coordinator
/// has the log, kFailedPrecondition when the server would lose what it has acknowledged (fsync,
/// full_page_writes, synchronous_commit), kCorruption when an entry is missing. A connection that
/// is lost later is kUnavailable for good: open the store again.
Result<std::unique_ptr<Store>> open_postgres_store(const std::string& url);

}  // namespace coshard::ledger
