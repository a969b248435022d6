// The coordinator's memory across restarts: an append-only list of records in one SQLite file,
// durable before append() returns, so that what was spoken was written first (design 3.3). Every
// record is chained to the ones before it by SHA-256: a changed, missing or swapped record is
// noticed when the file is opened. What a record means: node/coordinator/journal_record.h. Home
// thread: cs-net.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "protocol/base/bytes.h"
#include "protocol/base/error.h"
#include "protocol/base/thread_role.h"

struct sqlite3;

namespace coshard::node {

class Journal {
 public:
  /// Opens or makes the file and holds it alone: WAL, synchronous=FULL, one connection.
  /// kCorruption naming the file when it is no journal, damaged or of another version;
  /// kFailedPrecondition when another coordinator holds it; kUnavailable when it cannot be written.
  static Result<std::unique_ptr<Journal>> open(const std::filesystem::path& file);
  ~Journal();
  Journal(const Journal&) = delete;
  Journal& operator=(const Journal&) = delete;

  /// All records, in the order in which they were appended. kCorruption as above.
  Result<std::vector<Bytes>> records();

  /// The file was copied or moved since it was last written: then the coordinator that wrote it may
  /// live on with the original. In place, holding the file shows that it does not.
  bool is_copy() const { return is_copy_; }
  /// From now on this is where it belongs. kUnavailable as for append().
  Result<void> settle_here();

  /// Appends in one transaction; on return they survive a power cut. kUnavailable (naming the file)
  /// when they could not be written: none of them is then in the journal.
  Result<void> append(std::span<const Bytes> records);

 private:
  Journal(std::filesystem::path file, sqlite3* db) : file_(std::move(file)), db_(db) {}
  Result<void> prepare();
  Result<void> check_version();
  Result<void> find_home();
  Result<void> run(const char* sql);
  Result<void> insert(const Bytes& record);
  Error trouble(const char* doing) const;

  const std::filesystem::path file_;
  sqlite3* db_ = nullptr;
  std::string home_;  ///< this file in this machine, as text
  bool is_copy_ = false;
  std::uint64_t count_ = 0;
  Hash chain_{};
  ThreadRole net_;
};

}  // namespace coshard::node
