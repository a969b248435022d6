// SPDX-License-Identifier: Apache-2.0
#include "ledger/store/sqlite_store.h"

#include <sqlite3.h>

#include <utility>

namespace coshard::ledger {
namespace {

constexpr int kApplicationId = 0x636f7368;  // "cosh"

// EXCLUSIVE locking: a second connection is refused, which also keeps clear of the WAL-reset race
// of SQLite before 3.51.3 (reference ledger.md 5.2).
constexpr const char* kSetUp = R"(
  PRAGMA locking_mode = EXCLUSIVE;
  PRAGMA journal_mode = WAL;
  PRAGMA synchronous = FULL;
  PRAGMA foreign_keys = ON;
  PRAGMA mmap_size = 0;
)";

constexpr const char* kSchema = R"(
  CREATE TABLE IF NOT EXISTS entries (idx INTEGER PRIMARY KEY, bytes BLOB NOT NULL) STRICT;
  CREATE TABLE IF NOT EXISTS files (path TEXT PRIMARY KEY, bytes BLOB NOT NULL) STRICT;
  CREATE TABLE IF NOT EXISTS signed (one INTEGER PRIMARY KEY CHECK (one = 1), note TEXT NOT NULL)
    STRICT;
  CREATE TABLE IF NOT EXISTS role (one INTEGER PRIMARY KEY CHECK (one = 1), text TEXT NOT NULL)
    STRICT;
  PRAGMA application_id = 1668248424;
)";
static_assert(kApplicationId == 1668248424);

ErrorCode code_of(int result) {
  switch (result & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN:
      return ErrorCode::kUnavailable;
    case SQLITE_FULL:
      return ErrorCode::kResourceExhausted;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return ErrorCode::kCorruption;
    case SQLITE_PERM:
    case SQLITE_READONLY:
    case SQLITE_AUTH:
      return ErrorCode::kPermissionDenied;
    default:
      return ErrorCode::kInternal;
  }
}

struct Closer {
  void operator()(sqlite3* database) const { sqlite3_close(database); }
  void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
};
using Database = std::unique_ptr<sqlite3, Closer>;
using Statement = std::unique_ptr<sqlite3_stmt, Closer>;

class SqliteStore final : public Store {
 public:
  SqliteStore(Database database, std::string path)
      : database_(std::move(database)), path_(std::move(path)) {}

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
  tl::unexpected<Error> failed() const {
    const int result = sqlite3_extended_errcode(database_.get());
    const int kind = result & 0xff;
    const bool full = kind == SQLITE_FULL || kind == SQLITE_IOERR;
    const std::string help = kind == SQLITE_BUSY
                                 ? " (is another coordinator running on this folder?)"
                             : full ? "; free space on that disk and start again"
                                    : "";
    return fail(code_of(result),
                "ledger database " + path_ + ": " + sqlite3_errmsg(database_.get()) + help);
  }

  Result<void> run(const char* sql) const {
    if (sqlite3_exec(database_.get(), sql, nullptr, nullptr, nullptr) != SQLITE_OK) return failed();
    return {};
  }

  Result<Statement> prepare(const char* sql) const {
    sqlite3_stmt* statement = nullptr;
    if (sqlite3_prepare_v2(database_.get(), sql, -1, &statement, nullptr) != SQLITE_OK) {
      return failed();
    }
    return Statement(statement);
  }

  /// True when a row is there, false at the end.
  Result<bool> step(const Statement& statement) const {
    const int result = sqlite3_step(statement.get());
    if (result == SQLITE_ROW) return true;
    if (result == SQLITE_DONE) return false;
    return failed();
  }

  Result<void> check_settings() const;
  Result<void> check_contiguous() const;
  Result<void> insert_all(std::uint64_t first, const std::vector<Bytes>& entries,
                          const std::vector<SideFile>& files) const;

  /// Runs `work` inside one transaction; its error, or a failed commit, undoes everything.
  template <class Work>
  Result<void> transact(Work work) const {
    COSHARD_TRY(run("BEGIN IMMEDIATE"));
    Result<void> done = work();
    if (done) done = run("COMMIT");
    if (!done) sqlite3_exec(database_.get(), "ROLLBACK", nullptr, nullptr, nullptr);
    return done;
  }

  Database database_;
  std::string path_;
};

void bind(const Statement& statement, int at, ByteView bytes) {
  // A null pointer would bind NULL; an empty blob is not NULL.
  const void* from = bytes.empty() ? static_cast<const void*>("") : bytes.data();
  sqlite3_bind_blob64(statement.get(), at, from, bytes.size(), SQLITE_STATIC);
}

void bind(const Statement& statement, int at, const std::string& text) {
  sqlite3_bind_text(statement.get(), at, text.data(), static_cast<int>(text.size()), SQLITE_STATIC);
}

Bytes blob(const Statement& statement, int column) {
  const auto* from = static_cast<const std::uint8_t*>(sqlite3_column_blob(statement.get(), column));
  const auto length = static_cast<std::size_t>(sqlite3_column_bytes(statement.get(), column));
  return from == nullptr ? Bytes{} : Bytes(from, from + length);
}

std::string text(const Statement& statement, int column) {
  const Bytes bytes = blob(statement, column);
  return std::string(as_text(bytes));
}

Result<void> SqliteStore::set_up() {
  COSHARD_TRY(run(kSetUp));
  COSHARD_ASSIGN(const Statement id, prepare("PRAGMA application_id"));
  COSHARD_TRY(step(id));
  const int found = sqlite3_column_int(id.get(), 0);
  if (found != 0 && found != kApplicationId) {
    return fail(ErrorCode::kCorruption, path_ + " is another program's database");
  }
  COSHARD_TRY(check_settings());
  COSHARD_TRY(transact([this] { return run(kSchema); }));
  return check_contiguous();
}

/// A pragma that a build of SQLite does not know, or that a file system cannot do, is no error to
/// SQLite: it answers with what it does instead.
Result<void> SqliteStore::check_settings() const {
  // synchronous 2 is FULL: NORMAL may lose the last commits with the power.
  constexpr std::pair<const char*, const char*> kWanted[] = {{"journal_mode", "wal"},
                                                             {"locking_mode", "exclusive"},
                                                             {"synchronous", "2"},
                                                             {"foreign_keys", "1"},
                                                             {"mmap_size", "0"}};
  for (const auto& [setting, wanted] : kWanted) {
    COSHARD_ASSIGN(const Statement asked, prepare(("PRAGMA " + std::string(setting)).c_str()));
    COSHARD_ASSIGN(const bool answered, step(asked));
    const std::string found = answered ? text(asked, 0) : "0";  // no mmap at all says nothing
    if (found != wanted) {
      return fail(ErrorCode::kFailedPrecondition, "ledger database " + path_ + ": " + setting +
                                                      " = " + wanted + " was expected, found " +
                                                      found);
    }
  }
  return {};
}

/// Once: every append after it is checked against the last index.
Result<void> SqliteStore::check_contiguous() const {
  COSHARD_ASSIGN(const Statement count, prepare("SELECT count(*) FROM entries"));
  COSHARD_TRY(step(count));
  COSHARD_ASSIGN(const std::uint64_t last, size());
  if (static_cast<std::uint64_t>(sqlite3_column_int64(count.get(), 0)) != last) {
    return fail(ErrorCode::kCorruption, "ledger database " + path_ + ": an entry is missing");
  }
  return {};
}

Result<std::uint64_t> SqliteStore::size() const {
  COSHARD_ASSIGN(const Statement last, prepare("SELECT coalesce(max(idx), -1) + 1 FROM entries"));
  COSHARD_TRY(step(last));
  return static_cast<std::uint64_t>(sqlite3_column_int64(last.get(), 0));
}

Result<std::string> SqliteStore::role() const {
  COSHARD_ASSIGN(const Statement row, prepare("SELECT text FROM role"));
  COSHARD_ASSIGN(const bool found, step(row));
  return found ? text(row, 0) : std::string(kHome);
}

Result<void> SqliteStore::set_role(const std::string& role) {
  return transact([&]() -> Result<void> {
    COSHARD_ASSIGN(const Statement row, prepare("INSERT OR REPLACE INTO role VALUES (1, ?)"));
    bind(row, 1, role);
    COSHARD_TRY(step(row));
    return {};
  });
}

Result<void> SqliteStore::insert_all(std::uint64_t first, const std::vector<Bytes>& entries,
                                     const std::vector<SideFile>& files) const {
  COSHARD_ASSIGN(const std::uint64_t present, size());
  if (present != first) {
    return fail(ErrorCode::kFailedPrecondition, "the store has " + std::to_string(present) +
                                                    " entries, not " + std::to_string(first));
  }
  COSHARD_ASSIGN(const Statement entry, prepare("INSERT INTO entries VALUES (?, ?)"));
  for (std::size_t i = 0; i < entries.size(); ++i) {
    sqlite3_bind_int64(entry.get(), 1, static_cast<std::int64_t>(first + i));
    bind(entry, 2, ByteView(entries[i]));
    COSHARD_TRY(step(entry));
    sqlite3_reset(entry.get());
  }
  COSHARD_ASSIGN(const Statement file, prepare("INSERT OR REPLACE INTO files VALUES (?, ?)"));
  for (const SideFile& one : files) {
    bind(file, 1, one.path);
    bind(file, 2, ByteView(one.bytes));
    COSHARD_TRY(step(file));
    sqlite3_reset(file.get());
  }
  return {};
}

Result<void> SqliteStore::append(std::uint64_t first, const std::vector<Bytes>& entries,
                                 const std::vector<SideFile>& files) {
  return transact([&] { return insert_all(first, entries, files); });
}

Result<std::vector<Bytes>> SqliteStore::read(std::uint64_t first, std::uint64_t count) const {
  COSHARD_ASSIGN(const Statement rows,
                 prepare("SELECT bytes FROM entries WHERE idx >= ? ORDER BY idx LIMIT ?"));
  sqlite3_bind_int64(rows.get(), 1, static_cast<std::int64_t>(first));
  sqlite3_bind_int64(rows.get(), 2, static_cast<std::int64_t>(count));
  std::vector<Bytes> out;
  for (;;) {
    COSHARD_ASSIGN(const bool more, step(rows));
    if (!more) break;
    out.push_back(blob(rows, 0));
  }
  if (out.size() != count) {
    return fail(ErrorCode::kCorruption, "ledger database " + path_ + ": an entry is missing");
  }
  return out;
}

Result<std::vector<SideFile>> SqliteStore::side_files() const {
  COSHARD_ASSIGN(const Statement rows, prepare("SELECT path, bytes FROM files ORDER BY path"));
  std::vector<SideFile> out;
  for (;;) {
    COSHARD_ASSIGN(const bool more, step(rows));
    if (!more) return out;
    out.push_back({text(rows, 0), blob(rows, 1)});
  }
}

Result<std::optional<std::string>> SqliteStore::signed_checkpoint() const {
  COSHARD_ASSIGN(const Statement row, prepare("SELECT note FROM signed"));
  COSHARD_ASSIGN(const bool found, step(row));
  if (!found) return std::nullopt;
  return text(row, 0);
}

Result<void> SqliteStore::swap_signed_checkpoint(const std::optional<std::string>& expected,
                                                 const std::string& next) {
  return transact([&]() -> Result<void> {
    COSHARD_ASSIGN(const std::optional<std::string> present, signed_checkpoint());
    if (present != expected) {
      return fail(ErrorCode::kFailedPrecondition, "another checkpoint was signed meanwhile");
    }
    COSHARD_ASSIGN(const Statement row, prepare("INSERT OR REPLACE INTO signed VALUES (1, ?)"));
    bind(row, 1, next);
    COSHARD_TRY(step(row));
    return {};
  });
}

}  // namespace

Result<std::unique_ptr<Store>> open_sqlite_store(const std::filesystem::path& path,
                                                 const char* vfs) {
  sqlite3* opened = nullptr;
  const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
  const int result = sqlite3_open_v2(path.c_str(), &opened, flags, vfs);
  Database database(opened);
  if (result != SQLITE_OK) {
    return fail(code_of(result),
                "ledger database " + path.string() + ": " + sqlite3_errstr(result));
  }
  auto store = std::make_unique<SqliteStore>(std::move(database), path.string());
  COSHARD_TRY(store->set_up());
  return store;
}

}  // namespace coshard::ledger
