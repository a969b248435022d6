// SPDX-License-Identifier: Apache-2.0
#include "ledger/store/postgres_store.h"

#include <algorithm>
#include <utility>

#include "ledger/store/postgres_connection.h"

namespace coshard::ledger {
namespace {

/// Bytes of entries in one statement; a transaction may have many.
constexpr std::size_t kStatementBytesMax = 8u << 20;

// A statement that hangs, or a lock that another one holds, is an error well before the connection
// is given up. The server looks for a dead client as well, whose lock would otherwise stay.
constexpr const char* kSession[] = {
    "SET statement_timeout = '30s'", "SET idle_in_transaction_session_timeout = '30s'",
    "SET tcp_keepalives_idle = 10",  "SET tcp_keepalives_interval = 5",
    "SET tcp_keepalives_count = 3",  "SET client_min_messages = error",
};

// "coshard" in ASCII. Advisory locks are per database. The server gives the lock of a process that
// died back a moment later, so who starts again right away waits a little.
constexpr const char* kWaitLittle = "SET lock_timeout = '3s'";
constexpr const char* kTakeLock = "SELECT pg_advisory_lock(27988542883561060)";
constexpr const char* kWaitLong = "SET lock_timeout = '10s'";

constexpr const char* kSchema[] = {
    "CREATE SCHEMA IF NOT EXISTS coshard",
    "CREATE TABLE IF NOT EXISTS coshard.entries (idx bigint PRIMARY KEY, bytes bytea NOT NULL)",
    "CREATE TABLE IF NOT EXISTS coshard.files (path text PRIMARY KEY, bytes bytea NOT NULL)",
    "CREATE TABLE IF NOT EXISTS coshard.signed (one int PRIMARY KEY CHECK (one = 1),"
    " note text NOT NULL)",
    "CREATE TABLE IF NOT EXISTS coshard.writer (one int PRIMARY KEY CHECK (one = 1),"
    " generation bigint NOT NULL, role text NOT NULL)",
    "INSERT INTO coshard.writer VALUES (1, 0, '') ON CONFLICT DO NOTHING",
};

// The row is locked, so that a new writer waits for the end of this transaction, or this one sees
// that there is a new writer. The settings can change while the server runs.
constexpr const char* kFence =
    "SELECT generation, current_setting('fsync'), current_setting('full_page_writes'),"
    " current_setting('synchronous_commit') FROM coshard.writer WHERE one = 1 FOR UPDATE";

class PostgresStore final : public Store {
 public:
  explicit PostgresStore(PgConnection connection) : connection_(std::move(connection)) {}

  Result<void> set_up();
  Result<std::uint64_t> size() const override;
  Result<void> append(std::uint64_t first, const std::vector<Bytes>& entries,
                      const std::vector<SideFile>& files) override;
  Result<std::vector<Bytes>> read(std::uint64_t first, std::uint64_t count) const override;
  Result<std::vector<SideFile>> side_files() const override;
  Result<std::optional<std::string>> signed_checkpoint() const override;
  Result<void> swap_signed_checkpoint(const std::optional<std::string>& expected,
                                      const std::string& next) override;
  Result<std::string> role() const override;
  Result<void> set_role(const std::string& role) override;

 private:
  Result<PgRows> run(const char* sql, const std::vector<PgValue>& values = {}) const {
    return connection_.run(sql, values);
  }
  Result<void> become_writer();
  Result<void> check_settings(const PgRows& row) const;
  Result<void> check_contiguous() const;
  Result<void> check_fence() const;
  Result<void> insert_all(std::uint64_t first, const std::vector<Bytes>& entries,
                          const std::vector<SideFile>& files) const;

  /// Runs `work` inside one transaction of the writer that we are; its error, or a failed commit,
  /// undoes everything. A connection lost in COMMIT leaves open whether it happened: who opens the
  /// store again sees.
  template <class Work>
  Result<void> transact(Work work) const {
    COSHARD_TRY(run("BEGIN"));
    Result<void> done = check_fence();
    if (done) done = work();
    if (done) {
      const auto committed = run("COMMIT");
      if (!committed) done = tl::unexpected(committed.error());
    }
    if (!done && connection_.is_alive()) (void)run("ROLLBACK");
    return done;
  }

  mutable PgConnection connection_;
  std::uint64_t generation_ = 0;
};

Result<void> PostgresStore::check_settings(const PgRows& row) const {
  constexpr const char* kNames[] = {"fsync", "full_page_writes", "synchronous_commit"};
  for (int i = 0; i < 3; ++i) {
    const std::string found = row.text(0, i + 1);
    if (found == "on" || (i == 2 && found == "remote_apply")) continue;
    return fail(ErrorCode::kFailedPrecondition,
                connection_.name() + ": " + kNames[i] + " = on was expected, found " + found +
                    ": the server would lose entries that it has acknowledged; change its "
                    "configuration");
  }
  return {};
}

Result<void> PostgresStore::check_fence() const {
  COSHARD_ASSIGN(const PgRows row, run(kFence));
  if (row.count() != 1 || row.number(0, 0) != generation_) {
    return fail(ErrorCode::kFailedPrecondition,
                connection_.name() +
                    ": another coordinator has taken this log over; this one may "
                    "write no more");
  }
  return check_settings(row);
}

Result<void> PostgresStore::become_writer() {
  COSHARD_TRY(run(kWaitLittle));
  if (auto taken = run(kTakeLock); !taken && !connection_.is_alive()) {
    return tl::unexpected(taken.error());
  }
  COSHARD_TRY(run(kWaitLong));
  COSHARD_ASSIGN(const PgRows mine,
                 run("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted AND "
                     "pid = pg_backend_pid()"));
  if (mine.number(0, 0) == 0) {
    return fail(ErrorCode::kUnavailable,
                connection_.name() + " is in use (is another coordinator running on it?)");
  }
  return {};
}

Result<void> PostgresStore::set_up() {
  for (const char* sql : kSession) COSHARD_TRY(run(sql));
  COSHARD_TRY(become_writer());
  for (const char* sql : kSchema) COSHARD_TRY(run(sql));
  COSHARD_ASSIGN(const PgRows next, run("UPDATE coshard.writer SET generation = generation + 1 "
                                        "WHERE one = 1 RETURNING generation"));
  generation_ = next.number(0, 0);
  COSHARD_TRY(transact([]() -> Result<void> { return {}; }));
  return check_contiguous();
}

/// Once: every append after it is checked against the last index.
Result<void> PostgresStore::check_contiguous() const {
  COSHARD_ASSIGN(const PgRows count, run("SELECT count(*) FROM coshard.entries"));
  COSHARD_ASSIGN(const std::uint64_t present, size());
  if (count.number(0, 0) == present) return {};
  return fail(ErrorCode::kCorruption, connection_.name() + ": an entry is missing");
}

Result<std::uint64_t> PostgresStore::size() const {
  COSHARD_ASSIGN(const PgRows last, run("SELECT coalesce(max(idx), -1) + 1 FROM coshard.entries"));
  return last.number(0, 0);
}

Result<void> PostgresStore::insert_all(std::uint64_t first, const std::vector<Bytes>& entries,
                                       const std::vector<SideFile>& files) const {
  COSHARD_ASSIGN(const std::uint64_t present, size());
  if (present != first) {
    return fail(ErrorCode::kFailedPrecondition, "the store has " + std::to_string(present) +
                                                    " entries, not " + std::to_string(first));
  }
  for (std::size_t at = 0; at < entries.size();) {
    std::size_t count = 0, bytes = 0;
    while (at + count < entries.size() && (count == 0 || bytes < kStatementBytesMax))
      bytes += entries[at + count++].size();
    COSHARD_TRY(
        run("INSERT INTO coshard.entries SELECT $1 + ord - 1, bytes "
            "FROM unnest($2::bytea[]) WITH ORDINALITY AS given (bytes, ord)",
            {pg_int(first + at), pg_array(entries, at, count)}));
    at += count;
  }
  for (const SideFile& file : files) {
    COSHARD_TRY(
        run("INSERT INTO coshard.files VALUES ($1, $2) "
            "ON CONFLICT (path) DO UPDATE SET bytes = excluded.bytes",
            {pg_text(file.path), pg_bytes(file.bytes)}));
  }
  return {};
}

Result<void> PostgresStore::append(std::uint64_t first, const std::vector<Bytes>& entries,
                                   const std::vector<SideFile>& files) {
  return transact([&] { return insert_all(first, entries, files); });
}

Result<std::vector<Bytes>> PostgresStore::read(std::uint64_t first, std::uint64_t count) const {
  COSHARD_ASSIGN(const PgRows rows,
                 run("SELECT bytes FROM coshard.entries WHERE idx >= $1 ORDER BY idx LIMIT $2",
                     {pg_int(first), pg_int(count)}));
  std::vector<Bytes> out;
  for (std::size_t i = 0; i < rows.count(); ++i) out.push_back(rows.bytes(i, 0));
  if (out.size() == count) return out;
  return fail(ErrorCode::kCorruption, connection_.name() + ": an entry is missing");
}

Result<std::vector<SideFile>> PostgresStore::side_files() const {
  COSHARD_ASSIGN(const PgRows rows, run("SELECT path, bytes FROM coshard.files"));
  std::vector<SideFile> out;
  for (std::size_t i = 0; i < rows.count(); ++i) out.push_back({rows.text(i, 0), rows.bytes(i, 1)});
  // Not by the server, whose order depends on the database's language.
  std::ranges::sort(out, {}, &SideFile::path);
  return out;
}

Result<std::optional<std::string>> PostgresStore::signed_checkpoint() const {
  COSHARD_ASSIGN(const PgRows rows, run("SELECT note FROM coshard.signed"));
  if (rows.count() == 0) return std::nullopt;
  return rows.text(0, 0);
}

Result<void> PostgresStore::swap_signed_checkpoint(const std::optional<std::string>& expected,
                                                   const std::string& next) {
  return transact([&]() -> Result<void> {
    COSHARD_ASSIGN(const std::optional<std::string> present, signed_checkpoint());
    if (present != expected) {
      return fail(ErrorCode::kFailedPrecondition, "another checkpoint was signed meanwhile");
    }
    COSHARD_TRY(
        run("INSERT INTO coshard.signed VALUES (1, $1) "
            "ON CONFLICT (one) DO UPDATE SET note = excluded.note",
            {pg_text(next)}));
    return {};
  });
}

Result<std::string> PostgresStore::role() const {
  COSHARD_ASSIGN(const PgRows rows, run("SELECT role FROM coshard.writer WHERE one = 1"));
  return rows.text(0, 0);
}

Result<void> PostgresStore::set_role(const std::string& role) {
  return transact([&]() -> Result<void> {
    COSHARD_TRY(run("UPDATE coshard.writer SET role = $1 WHERE one = 1", {pg_text(role)}));
    return {};
  });
}

}  // namespace

Result<std::unique_ptr<Store>> open_postgres_store(const std::string& url) {
  COSHARD_ASSIGN(PgConnection connection, PgConnection::open(url));
  auto store = std::make_unique<PostgresStore>(std::move(connection));
  COSHARD_TRY(store->set_up());
  return store;
}

}  // namespace coshard::ledger
