// SPDX-License-Identifier: Apache-2.0
#include "ledger/store/index_file.h"

#include <sqlite3.h>

#include <system_error>
#include <unordered_map>

#include "crypto/hash.h"
#include "ledger/state_codec.h"

namespace coshard::ledger {
namespace {

constexpr int kApplicationId = 0x636f7369;  // "cosi"
/// Grows whenever a state, an event's words or a table change: older indexes are made anew.
constexpr std::int64_t kVersion = 2;
constexpr int kBusyMs = 60'000;
constexpr std::size_t kDigestBytes = 8;

constexpr const char* kSetUp = R"(
  PRAGMA journal_mode = WAL;
  PRAGMA synchronous = NORMAL;
  PRAGMA cache_size = -65536;
  PRAGMA mmap_size = 1073741824;
)";
constexpr const char* kSchema = R"(
  CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT;
  CREATE TABLE IF NOT EXISTS accounts (id BLOB PRIMARY KEY, state BLOB NOT NULL, last INTEGER)
    STRICT;
  CREATE TABLE IF NOT EXISTS events (id INTEGER PRIMARY KEY, previous INTEGER NOT NULL,
    idx INTEGER NOT NULL, body BLOB NOT NULL) STRICT;
  CREATE TABLE IF NOT EXISTS revenues (idx INTEGER PRIMARY KEY, event BLOB NOT NULL) STRICT;
  CREATE TABLE IF NOT EXISTS states (size INTEGER PRIMARY KEY, state BLOB NOT NULL) STRICT;
  CREATE TABLE IF NOT EXISTS tail (idx INTEGER PRIMARY KEY, entry BLOB NOT NULL) STRICT;
)";

struct Closer {
  void operator()(sqlite3* database) const { sqlite3_close(database); }
  void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
};
using Database = std::unique_ptr<sqlite3, Closer>;
using Statement = std::unique_ptr<sqlite3_stmt, Closer>;

std::int64_t signed_of(std::uint64_t value) { return static_cast<std::int64_t>(value); }

/// What is stored: a digest that ties the bytes to their place, and the bytes.
Bytes sealed(ByteView place, ByteView bytes) {
  const Hash digest = crypto::Sha256().update(place).update(bytes).finish();
  Bytes out(digest.begin(), digest.begin() + kDigestBytes);
  append(out, bytes);
  return out;
}

Bytes place_of(std::string_view table, std::uint64_t number) {
  Bytes out = to_bytes(as_bytes(table));
  put_be<std::uint64_t>(out, number);
  return out;
}

template <class T>
Bytes bytes_of(const T& value) {
  StateWriter writer;
  writer(value);
  return writer.take();
}

class SqliteIndex final : public IndexFile {
 public:
  SqliteIndex(Database database, std::string path)
      : database_(std::move(database)), path_(std::move(path)) {}

  Result<void> set_up(const std::string& vkey);

  Result<std::optional<IndexHead>> head() override;
  Result<std::optional<Bytes>> account(const AccountId& account) override;
  Result<std::vector<std::pair<AccountId, Bytes>>> accounts() override;
  Result<std::vector<AccountId>> find(const std::string& digits, std::size_t max) override;
  Result<std::vector<AccountEvent>> events(const AccountId& account, LogIndex from, LogIndex to,
                                           std::uint64_t count) override;
  Result<std::vector<RevenueEvent>> revenues(LogIndex from, LogIndex to) override;
  Result<std::optional<IndexState>> state_before(std::uint64_t size) override;
  Result<std::vector<Bytes>> tail() override;
  Result<void> reading(const std::function<Result<void>()>& read) override {
    return transact("BEGIN", read);
  }
  Result<void> writing(const std::function<Result<void>()>& write) override;
  Result<void> put_head(const IndexHead& head) override;
  Result<void> put_account(const AccountId& account, const Bytes& state) override;
  Result<void> add_event(const AccountId& account, const AccountEvent& event) override;
  Result<void> add_revenue(const RevenueEvent& event) override;
  Result<void> add_tail(LogIndex index, const Bytes& entry) override;
  Result<void> put_state(const IndexState& state, std::uint64_t every) override;
  bool is_damaged() const override { return damaged_; }
  void set_damaged() override { damaged_ = true; }

 private:
  tl::unexpected<Error> damaged(const std::string& what) {
    damaged_ = true;
    return fail(ErrorCode::kCorruption, "index " + path_ + ": " + what);
  }
  tl::unexpected<Error> failed() {
    const int kind = sqlite3_extended_errcode(database_.get()) & 0xff;
    const std::string why = sqlite3_errmsg(database_.get());
    if (kind == SQLITE_CORRUPT || kind == SQLITE_NOTADB || kind == SQLITE_MISMATCH ||
        kind == SQLITE_ERROR) {
      return damaged(why);
    }
    if (kind == SQLITE_FULL || kind == SQLITE_IOERR) {
      return fail(ErrorCode::kResourceExhausted,
                  "index " + path_ + ": " + why + "; free space there, or use --no-index");
    }
    return fail(ErrorCode::kUnavailable, "index " + path_ + ": " + why + "; or use --no-index");
  }
  Result<void> run(const char* sql) {
    if (sqlite3_exec(database_.get(), sql, nullptr, nullptr, nullptr) != SQLITE_OK) return failed();
    return {};
  }
  /// A statement without bindings and rows, kept for the next time.
  Result<sqlite3_stmt*> prepare(const char* sql);
  /// True when a row is there, false at the end.
  Result<bool> step(sqlite3_stmt* statement) {
    const int result = sqlite3_step(statement);
    if (result == SQLITE_ROW) return true;
    if (result == SQLITE_DONE) return false;
    return failed();
  }
  /// Runs a statement that gives no row.
  Result<void> finish(sqlite3_stmt* statement) {
    COSHARD_TRY(step(statement));
    sqlite3_reset(statement);
    return {};
  }
  Result<void> transact(const char* begin, const std::function<Result<void>()>& work);
  Result<std::optional<Bytes>> value(std::string_view name);
  Result<void> put_value(std::string_view name, const Bytes& bytes);
  Result<Bytes> unsealed(sqlite3_stmt* statement, int column, ByteView place);
  template <class T>
  Result<T> read_as(const Bytes& bytes) {
    T out;
    StateReader reader(bytes);
    reader(out);
    if (!reader.done()) return damaged("a row cannot be read");
    return out;
  }
  /// The account's last event; 0 without one.
  Result<std::int64_t> last_event(const AccountId& account);

  Database database_;
  std::string path_;
  bool damaged_ = false;
  std::unordered_map<const char*, Statement> statements_;
  std::unordered_map<AccountId, std::int64_t>
      last_;  // of the accounts that this transaction touched
  std::int64_t next_event_ = 0;
};

void bind(sqlite3_stmt* statement, int at, ByteView bytes) {
  const void* from = bytes.empty() ? static_cast<const void*>("") : bytes.data();
  sqlite3_bind_blob64(statement, at, from, bytes.size(), SQLITE_STATIC);
}
void bind(sqlite3_stmt* statement, int at, std::uint64_t value) {
  sqlite3_bind_int64(statement, at, signed_of(value));
}

ByteView blob(sqlite3_stmt* statement, int column) {
  const auto* from = static_cast<const std::uint8_t*>(sqlite3_column_blob(statement, column));
  const auto length = static_cast<std::size_t>(sqlite3_column_bytes(statement, column));
  return from == nullptr ? ByteView() : ByteView(from, length);
}

Result<sqlite3_stmt*> SqliteIndex::prepare(const char* sql) {
  Statement& kept = statements_[sql];
  if (!kept) {
    sqlite3_stmt* statement = nullptr;
    if (sqlite3_prepare_v2(database_.get(), sql, -1, &statement, nullptr) != SQLITE_OK) {
      return failed();
    }
    kept.reset(statement);
  }
  sqlite3_reset(kept.get());
  return kept.get();
}

Result<void> SqliteIndex::transact(const char* begin, const std::function<Result<void>()>& work) {
  COSHARD_TRY(run(begin));
  Result<void> done = work();
  for (auto& [sql, statement] : statements_) sqlite3_reset(statement.get());
  if (done) done = run("COMMIT");
  if (!done) sqlite3_exec(database_.get(), "ROLLBACK", nullptr, nullptr, nullptr);
  return done;
}

Result<Bytes> SqliteIndex::unsealed(sqlite3_stmt* statement, int column, ByteView place) {
  const ByteView stored = blob(statement, column);
  if (stored.size() < kDigestBytes) return damaged("a row is cut short");
  Bytes bytes = to_bytes(stored.subspan(kDigestBytes));
  const Hash digest = crypto::Sha256().update(place).update(bytes).finish();
  if (!std::equal(digest.begin(), digest.begin() + kDigestBytes, stored.begin())) {
    return damaged("a row is not what was written");
  }
  return bytes;
}

Result<std::optional<Bytes>> SqliteIndex::value(std::string_view name) {
  COSHARD_ASSIGN(sqlite3_stmt * row, prepare("SELECT value FROM meta WHERE name = ?"));
  sqlite3_bind_text(row, 1, name.data(), static_cast<int>(name.size()), SQLITE_STATIC);
  COSHARD_ASSIGN(const bool found, step(row));
  if (!found) return std::nullopt;
  COSHARD_ASSIGN(Bytes bytes, unsealed(row, 0, as_bytes(name)));
  sqlite3_reset(row);
  return bytes;
}

Result<void> SqliteIndex::put_value(std::string_view name, const Bytes& bytes) {
  COSHARD_ASSIGN(sqlite3_stmt * row, prepare("INSERT OR REPLACE INTO meta VALUES (?, ?)"));
  const Bytes stored = sealed(as_bytes(name), bytes);
  sqlite3_bind_text(row, 1, name.data(), static_cast<int>(name.size()), SQLITE_STATIC);
  bind(row, 2, ByteView(stored));
  return finish(row);
}

Result<void> SqliteIndex::set_up(const std::string& vkey) {
  sqlite3_busy_timeout(database_.get(), kBusyMs);
  COSHARD_ASSIGN(sqlite3_stmt * id, prepare("PRAGMA application_id"));
  COSHARD_TRY(step(id));
  const int found = sqlite3_column_int(id, 0);
  sqlite3_reset(id);
  COSHARD_ASSIGN(sqlite3_stmt * pages, prepare("PRAGMA page_count"));
  COSHARD_TRY(step(pages));
  const bool is_new = sqlite3_column_int64(pages, 0) == 0;
  sqlite3_reset(pages);
  if (found != kApplicationId && !is_new) return damaged("is another program's database");
  COSHARD_TRY(run(kSetUp));
  Bytes identity = to_bytes(as_bytes(vkey));
  put_be<std::uint64_t>(identity, static_cast<std::uint64_t>(kVersion));
  if (is_new) {
    const Result<void> made = transact("BEGIN IMMEDIATE", [&]() -> Result<void> {
      COSHARD_TRY(run(kSchema));
      COSHARD_TRY(run(("PRAGMA application_id = " + std::to_string(kApplicationId)).c_str()));
      return put_value("identity", identity);
    });
    COSHARD_TRY(made);
  }
  COSHARD_ASSIGN(const std::optional<Bytes> known, value("identity"));
  if (known != identity) return damaged("is of another log or another version of coshard");
  return {};
}

Result<std::optional<IndexHead>> SqliteIndex::head() {
  COSHARD_ASSIGN(const std::optional<Bytes> bytes, value("head"));
  if (!bytes) return std::nullopt;
  COSHARD_ASSIGN(IndexHead head, read_as<IndexHead>(*bytes));
  return head;
}

Result<std::optional<Bytes>> SqliteIndex::account(const AccountId& account) {
  COSHARD_ASSIGN(sqlite3_stmt * row, prepare("SELECT state FROM accounts WHERE id = ?"));
  bind(row, 1, account.view());
  COSHARD_ASSIGN(const bool found, step(row));
  if (!found) return std::nullopt;
  COSHARD_ASSIGN(Bytes bytes, unsealed(row, 0, account.view()));
  sqlite3_reset(row);
  return bytes;
}

Result<std::vector<std::pair<AccountId, Bytes>>> SqliteIndex::accounts() {
  COSHARD_ASSIGN(sqlite3_stmt * rows, prepare("SELECT id, state FROM accounts ORDER BY id"));
  std::vector<std::pair<AccountId, Bytes>> out;
  for (;;) {
    COSHARD_ASSIGN(const bool more, step(rows));
    if (!more) return out;
    const auto id = to_array<32>(blob(rows, 0));
    if (!id) return damaged("an account's id is damaged");
    COSHARD_ASSIGN(Bytes state, unsealed(rows, 1, *id));
    out.emplace_back(AccountId{*id}, std::move(state));
  }
}

Result<std::vector<AccountId>> SqliteIndex::find(const std::string& digits, std::size_t max) {
  std::string first = digits;
  std::string last = digits;
  first.resize(2 * sizeof(AccountId), '0');
  last.resize(2 * sizeof(AccountId), 'f');
  const auto from = from_hex(first);
  const auto to = from_hex(last);
  std::vector<AccountId> out;
  if (!from || !to) return out;
  COSHARD_ASSIGN(sqlite3_stmt * rows,
                 prepare("SELECT id FROM accounts WHERE id BETWEEN ? AND ? ORDER BY id LIMIT ?"));
  bind(rows, 1, ByteView(*from));
  bind(rows, 2, ByteView(*to));
  bind(rows, 3, std::uint64_t{max});
  for (;;) {
    COSHARD_ASSIGN(const bool more, step(rows));
    if (!more) return out;
    const auto id = to_array<32>(blob(rows, 0));
    if (!id) return damaged("an account's id is damaged");
    out.push_back(AccountId{*id});
  }
}

Result<std::int64_t> SqliteIndex::last_event(const AccountId& account) {
  if (const auto found = last_.find(account); found != last_.end()) return found->second;
  COSHARD_ASSIGN(sqlite3_stmt * row,
                 prepare("SELECT coalesce(last, 0) FROM accounts WHERE id = ?"));
  bind(row, 1, account.view());
  COSHARD_ASSIGN(const bool found, step(row));
  const std::int64_t last = found ? sqlite3_column_int64(row, 0) : 0;
  sqlite3_reset(row);
  return last;
}

/// An account's events are a chain from its last one back, so that events are written in the order
/// of the log, whatever accounts they are of: a B-tree by account would be rewritten all over.
Result<std::vector<AccountEvent>> SqliteIndex::events(const AccountId& account, LogIndex from,
                                                      LogIndex to, std::uint64_t count) {
  COSHARD_ASSIGN(std::int64_t at, last_event(account));
  std::vector<AccountEvent> out;
  COSHARD_ASSIGN(sqlite3_stmt * row,
                 prepare("SELECT previous, idx, body FROM events WHERE id = ?"));
  while (at > 0 && out.size() < count) {
    sqlite3_bind_int64(row, 1, at);
    COSHARD_ASSIGN(const bool found, step(row));
    if (!found) return damaged("an event is missing");
    const std::int64_t previous = sqlite3_column_int64(row, 0);
    const auto index = static_cast<std::uint64_t>(sqlite3_column_int64(row, 1));
    if (previous >= at) return damaged("events are not in order");
    if (index < from.value) break;
    if (index < to.value) {
      Bytes place = to_bytes(account.view());
      put_be<std::uint64_t>(place, static_cast<std::uint64_t>(previous));
      COSHARD_ASSIGN(const Bytes body, unsealed(row, 2, place));
      auto event = decode<AccountEvent>(body);
      if (!event) return damaged("an event cannot be read");
      out.push_back(std::move(*event));
    }
    sqlite3_reset(row);
    at = previous;
  }
  std::reverse(out.begin(), out.end());
  return out;
}

Result<std::vector<RevenueEvent>> SqliteIndex::revenues(LogIndex from, LogIndex to) {
  COSHARD_ASSIGN(
      sqlite3_stmt * rows,
      prepare("SELECT idx, event FROM revenues WHERE idx >= ? AND idx < ? ORDER BY idx"));
  bind(rows, 1, from.value);
  bind(rows, 2, to.value);
  std::vector<RevenueEvent> out;
  for (;;) {
    COSHARD_ASSIGN(const bool more, step(rows));
    if (!more) return out;
    const auto index = static_cast<std::uint64_t>(sqlite3_column_int64(rows, 0));
    COSHARD_ASSIGN(const Bytes bytes, unsealed(rows, 1, place_of("revenues", index)));
    auto event = decode<RevenueEvent>(bytes);
    if (!event) return damaged("a revenue cannot be read");
    out.push_back(std::move(*event));
  }
}

Result<std::optional<IndexState>> SqliteIndex::state_before(std::uint64_t size) {
  COSHARD_ASSIGN(
      sqlite3_stmt * row,
      prepare("SELECT size, state FROM states WHERE size <= ? ORDER BY size DESC LIMIT 1"));
  bind(row, 1, size);
  COSHARD_ASSIGN(const bool found, step(row));
  if (!found) return std::nullopt;
  const auto at = static_cast<std::uint64_t>(sqlite3_column_int64(row, 0));
  COSHARD_ASSIGN(const Bytes bytes, unsealed(row, 1, place_of("states", at)));
  sqlite3_reset(row);
  IndexState out;
  StateReader reader(bytes);
  reader(out.position, out.state);
  if (!reader.done() || out.position.size() != at) return damaged("a state cannot be read");
  return out;
}

Result<std::vector<Bytes>> SqliteIndex::tail() {
  COSHARD_ASSIGN(sqlite3_stmt * rows, prepare("SELECT idx, entry FROM tail ORDER BY idx"));
  std::vector<Bytes> out;
  for (;;) {
    COSHARD_ASSIGN(const bool more, step(rows));
    if (!more) return out;
    const auto index = static_cast<std::uint64_t>(sqlite3_column_int64(rows, 0));
    COSHARD_ASSIGN(Bytes entry, unsealed(rows, 1, place_of("tail", index)));
    out.push_back(std::move(entry));
  }
}

Result<void> SqliteIndex::writing(const std::function<Result<void>()>& write) {
  last_.clear();
  Result<void> done = transact("BEGIN IMMEDIATE", [&]() -> Result<void> {
    COSHARD_ASSIGN(sqlite3_stmt * row, prepare("SELECT coalesce(max(id), 0) + 1 FROM events"));
    COSHARD_TRY(step(row));
    next_event_ = sqlite3_column_int64(row, 0);
    sqlite3_reset(row);
    return write();
  });
  last_.clear();
  return done;
}

Result<void> SqliteIndex::put_head(const IndexHead& head) {
  return put_value("head", bytes_of(head));
}

Result<void> SqliteIndex::put_account(const AccountId& account, const Bytes& state) {
  COSHARD_ASSIGN(const std::int64_t last, last_event(account));
  COSHARD_ASSIGN(sqlite3_stmt * row, prepare("INSERT OR REPLACE INTO accounts VALUES (?, ?, ?)"));
  const Bytes stored = sealed(account.view(), state);
  bind(row, 1, account.view());
  bind(row, 2, ByteView(stored));
  sqlite3_bind_int64(row, 3, last);
  return finish(row);
}

Result<void> SqliteIndex::add_event(const AccountId& account, const AccountEvent& event) {
  COSHARD_ASSIGN(const std::int64_t previous, last_event(account));
  Bytes place = to_bytes(account.view());
  put_be<std::uint64_t>(place, static_cast<std::uint64_t>(previous));
  const Bytes stored = sealed(place, encode(event));
  COSHARD_ASSIGN(sqlite3_stmt * row, prepare("INSERT INTO events VALUES (?, ?, ?, ?)"));
  sqlite3_bind_int64(row, 1, next_event_);
  sqlite3_bind_int64(row, 2, previous);
  bind(row, 3, event.index.value);
  bind(row, 4, ByteView(stored));
  COSHARD_TRY(finish(row));
  last_[account] = next_event_++;
  return {};
}

Result<void> SqliteIndex::add_revenue(const RevenueEvent& event) {
  COSHARD_ASSIGN(sqlite3_stmt * row, prepare("INSERT INTO revenues VALUES (?, ?)"));
  const Bytes stored = sealed(place_of("revenues", event.index.value), encode(event));
  bind(row, 1, event.index.value);
  bind(row, 2, ByteView(stored));
  return finish(row);
}

Result<void> SqliteIndex::add_tail(LogIndex index, const Bytes& entry) {
  COSHARD_ASSIGN(sqlite3_stmt * row, prepare("INSERT INTO tail VALUES (?, ?)"));
  const Bytes stored = sealed(place_of("tail", index.value), entry);
  bind(row, 1, index.value);
  bind(row, 2, ByteView(stored));
  return finish(row);
}

Result<void> SqliteIndex::put_state(const IndexState& state, std::uint64_t every) {
  COSHARD_TRY(run("DELETE FROM tail"));
  COSHARD_ASSIGN(sqlite3_stmt * old, prepare("DELETE FROM states WHERE size % ? <> 0"));
  bind(old, 1, every);
  COSHARD_TRY(finish(old));
  COSHARD_ASSIGN(sqlite3_stmt * row, prepare("INSERT OR REPLACE INTO states VALUES (?, ?)"));
  StateWriter writer;
  writer(state.position, state.state);
  const std::uint64_t size = state.position.size();
  const Bytes stored = sealed(place_of("states", size), writer.take());
  bind(row, 1, size);
  bind(row, 2, ByteView(stored));
  return finish(row);
}

}  // namespace

Result<std::unique_ptr<IndexFile>> open_index_file(const std::filesystem::path& path,
                                                   const std::string& vkey) {
  std::error_code ignored;  // sqlite says what is wrong
  if (!path.empty()) std::filesystem::create_directories(path.parent_path(), ignored);
  sqlite3* opened = nullptr;
  const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
  const int result =
      sqlite3_open_v2(path.empty() ? ":memory:" : path.c_str(), &opened, flags, nullptr);
  Database database(opened);
  if (result != SQLITE_OK) {
    return fail(ErrorCode::kUnavailable, "index " + path.string() + ": " + sqlite3_errstr(result) +
                                             "; name another place with --index, or use "
                                             "--no-index");
  }
  auto index = std::make_unique<SqliteIndex>(std::move(database), path.string());
  COSHARD_TRY(index->set_up(vkey));
  return index;
}

void remove_index(const std::filesystem::path& path) {
  std::error_code ignored;
  for (const char* suffix : {"", "-wal", "-shm"}) {
    std::filesystem::remove(path.string() + suffix, ignored);
  }
}

}  // namespace coshard::ledger
