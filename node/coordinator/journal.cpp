// The one file that speaks SQLite for the journal.
// SPDX-License-Identifier: Apache-2.0
#include "node/coordinator/journal.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <sys/utsname.h>

#include <cerrno>
#include <cstring>
#include <fstream>

#include "crypto/hash.h"

namespace coshard::node {

namespace {

constexpr int kApplicationId = 0x63734A31;  // "csJ1"
constexpr int kVersion = 1;
constexpr const char* kRemedy =
    ": restore it from a copy, or start the round anew in another folder";
constexpr const char* kSchema =
    "CREATE TABLE record(sequence INTEGER PRIMARY KEY, chain BLOB NOT NULL, bytes BLOB NOT NULL)";

/// A prepared statement that finalises itself.
class Statement {
 public:
  Statement(sqlite3* db, const char* sql) { sqlite3_prepare_v2(db, sql, -1, &handle_, nullptr); }
  ~Statement() { sqlite3_finalize(handle_); }
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;
  int step() { return handle_ == nullptr ? SQLITE_ERROR : sqlite3_step(handle_); }
  void bind(int at, std::uint64_t number) {
    sqlite3_bind_int64(handle_, at, static_cast<sqlite3_int64>(number));
  }
  void bind(int at, ByteView bytes) {
    // An empty blob, not NULL: SQLite takes a null pointer for NULL.
    sqlite3_bind_blob64(handle_, at, bytes.empty() ? "" : static_cast<const void*>(bytes.data()),
                        bytes.size(), SQLITE_STATIC);
  }
  sqlite3_int64 number(int column) { return sqlite3_column_int64(handle_, column); }
  ByteView blob(int column) {
    return {static_cast<const std::uint8_t*>(sqlite3_column_blob(handle_, column)),
            static_cast<std::size_t>(sqlite3_column_bytes(handle_, column))};
  }

 private:
  sqlite3_stmt* handle_ = nullptr;
};

Hash next_link(const Hash& chain, std::uint64_t sequence, ByteView record) {
  Bytes place;
  put_le(place, sequence);
  return crypto::domain_hash("coshard/journal/v1", {chain, place, record});
}

Hash hash_of_home(std::string_view home) {
  return crypto::domain_hash("coshard/journal-home/v1", {as_bytes(home)});
}

}  // namespace

Result<std::unique_ptr<Journal>> Journal::open(const std::filesystem::path& file) {
  sqlite3* db = nullptr;
  const int opened = sqlite3_open_v2(
      file.c_str(), &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, nullptr);
  auto journal = std::unique_ptr<Journal>(new Journal(file, db));
  if (opened != SQLITE_OK) return tl::unexpected(journal->trouble("opening"));
  COSHARD_TRY(journal->prepare());
  return journal;
}

Journal::~Journal() { sqlite3_close(db_); }

Error Journal::trouble(const char* doing) const {
  const int code = sqlite3_extended_errcode(db_) & 0xFF;
  const std::string what =
      std::string(doing) + " journal " + file_.string() + ": " + sqlite3_errmsg(db_);
  switch (code) {
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return {ErrorCode::kCorruption, what + "; the file is damaged" + kRemedy};
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return {ErrorCode::kFailedPrecondition,
              what + "; another coordinator is running with this folder"};
    case SQLITE_FULL:
    case SQLITE_IOERR:
      return {ErrorCode::kUnavailable, what + "; free space on that disk and start again"};
    default:
      return {ErrorCode::kUnavailable, what};
  }
}

Result<void> Journal::run(const char* sql) {
  if (sqlite3_exec(db_, sql, nullptr, nullptr, nullptr) != SQLITE_OK)
    return tl::unexpected(trouble("writing"));
  return {};
}

Result<void> Journal::prepare() {
  COSHARD_ON(net_);
  // Exclusive locking: a second coordinator on the same folder fails here instead of diverging.
  COSHARD_TRY(
      run("PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=WAL; "
          "PRAGMA synchronous=FULL; BEGIN EXCLUSIVE; COMMIT"));
  COSHARD_TRY(check_version());
  Statement check(db_, "PRAGMA integrity_check");
  if (check.step() != SQLITE_ROW || as_text(check.blob(0)) != "ok")
    return fail(ErrorCode::kCorruption, "journal " + file_.string() + " is damaged" + kRemedy);
  COSHARD_TRY(records());
  return find_home();
}

/// Which machine, file system, file, and since when: a copy differs in one of them. The number of a
/// file that is gone may be given to the next one.
Result<void> Journal::find_home() {
  struct statx file {};
  if (::statx(AT_FDCWD, file_.c_str(), 0, STATX_INO | STATX_BTIME, &file) != 0)
    return fail(ErrorCode::kUnavailable,
                "looking at journal " + file_.string() + ": " + std::strerror(errno));
  std::string machine;
  std::ifstream("/etc/machine-id") >> machine;
  if (machine.empty()) {
    utsname system{};
    ::uname(&system);
    machine = system.nodename;
  }
  const statx_timestamp& born = file.stx_btime;  // zeros where the file system does not know
  for (const auto part : {std::uint64_t{file.stx_dev_major}, std::uint64_t{file.stx_dev_minor},
                          std::uint64_t{file.stx_ino}, static_cast<std::uint64_t>(born.tv_sec),
                          std::uint64_t{born.tv_nsec}})
    machine += ":" + std::to_string(part);
  home_ = machine;
  COSHARD_TRY(run("CREATE TABLE IF NOT EXISTS home(place TEXT NOT NULL, hash BLOB NOT NULL)"));
  std::string before;
  {
    Statement read(db_, "SELECT place, hash FROM home");
    if (read.step() == SQLITE_ROW) {
      before = as_text(read.blob(0));
      if (to_array<32>(read.blob(1)) != hash_of_home(before))
        return fail(ErrorCode::kCorruption, "journal " + file_.string() +
                                                " is damaged where it says on which machine it was "
                                                "written" +
                                                kRemedy);
    }
  }
  if (before == home_) return {};
  is_copy_ = !before.empty();
  return is_copy_ ? Result<void>() : settle_here();
}

Result<void> Journal::settle_here() {
  const auto write = [&]() -> Result<void> {
    COSHARD_TRY(run("BEGIN; DELETE FROM home"));
    const Hash hash = hash_of_home(home_);
    Statement place(db_, "INSERT INTO home(place, hash) VALUES (?, ?)");
    place.bind(1, as_bytes(home_));
    place.bind(2, hash);
    if (place.step() != SQLITE_DONE) return tl::unexpected(trouble("writing"));
    return run("COMMIT");
  };
  const Result<void> written = write();
  if (!written) sqlite3_exec(db_, "ROLLBACK", nullptr, nullptr, nullptr);
  if (written) is_copy_ = false;
  return written;
}

Result<void> Journal::check_version() {
  Statement id(db_, "PRAGMA application_id");
  if (id.step() != SQLITE_ROW) return tl::unexpected(trouble("reading"));
  Statement version(db_, "PRAGMA user_version");
  if (version.step() != SQLITE_ROW) return tl::unexpected(trouble("reading"));
  Statement tables(db_, "SELECT count(*) FROM sqlite_master");
  if (tables.step() != SQLITE_ROW) return tl::unexpected(trouble("reading"));
  if (id.number(0) == 0 && version.number(0) == 0 && tables.number(0) == 0) {
    const std::string fresh = std::string("BEGIN; ") + kSchema +
                              "; PRAGMA application_id=" + std::to_string(kApplicationId) +
                              "; PRAGMA user_version=" + std::to_string(kVersion) + "; COMMIT";
    return run(fresh.c_str());
  }
  if (id.number(0) != kApplicationId || version.number(0) != kVersion)
    return fail(ErrorCode::kCorruption, "expected a coordinator's journal of version " +
                                            std::to_string(kVersion) + " in " + file_.string() +
                                            ", found another kind of file");
  return {};
}

Result<std::vector<Bytes>> Journal::records() {
  COSHARD_ON(net_);
  std::vector<Bytes> records;
  Hash chain{};
  Statement read(db_, "SELECT sequence, chain, bytes FROM record ORDER BY sequence");
  int row = read.step();
  for (; row == SQLITE_ROW; row = read.step()) {
    const std::uint64_t sequence = records.size() + 1;
    const ByteView bytes = read.blob(2);
    chain = next_link(chain, sequence, bytes);
    if (static_cast<std::uint64_t>(read.number(0)) != sequence ||
        to_array<32>(read.blob(1)) != chain)
      return fail(ErrorCode::kCorruption, "journal " + file_.string() + " is damaged: record " +
                                              std::to_string(sequence) +
                                              " does not follow from the ones before it" + kRemedy);
    records.push_back(to_bytes(bytes));
  }
  if (row != SQLITE_DONE) return tl::unexpected(trouble("reading"));
  count_ = records.size();
  chain_ = chain;
  net_.release();  // read on main, appended to on cs-net
  return records;
}

Result<void> Journal::insert(const Bytes& record) {
  const Hash chain = next_link(chain_, count_ + 1, record);
  Statement write(db_, "INSERT INTO record(sequence, chain, bytes) VALUES (?, ?, ?)");
  write.bind(1, count_ + 1);
  write.bind(2, chain);
  write.bind(3, record);
  if (write.step() != SQLITE_DONE) return tl::unexpected(trouble("writing"));
  chain_ = chain;
  ++count_;
  return {};
}

Result<void> Journal::append(std::span<const Bytes> records) {
  COSHARD_ON(net_);
  const std::uint64_t count = count_;
  const Hash chain = chain_;
  const auto write_all = [&]() -> Result<void> {
    COSHARD_TRY(run("BEGIN"));
    for (const Bytes& record : records) COSHARD_TRY(insert(record));
    return run("COMMIT");
  };
  const Result<void> written = write_all();
  if (written) return {};
  sqlite3_exec(db_, "ROLLBACK", nullptr, nullptr, nullptr);
  count_ = count;
  chain_ = chain;
  return tl::unexpected(written.error());
}

}  // namespace coshard::node
