// What the sequencer needs of durable storage. One writer, on the log's thread. Every function that
// returns success has made its effect durable.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "ledger/files.h"
#include "protocol/base/bytes.h"
#include "protocol/base/error.h"

namespace coshard::ledger {

/// A file that is published beside the log, kept so that it can be published again.
using SideFile = PublicFile;

class Store {
 public:
  virtual ~Store() = default;

  /// Number of entries.
  virtual Result<std::uint64_t> size() const = 0;
  /// Appends entries and side files in one transaction: all or nothing. kFailedPrecondition when
  /// `first` is not size(). kResourceExhausted: disk full, nothing changed.
  virtual Result<void> append(std::uint64_t first, const std::vector<Bytes>& entries,
                              const std::vector<SideFile>& files) = 0;
  /// The entries [first, first + count). kCorruption when one is missing.
  virtual Result<std::vector<Bytes>> read(std::uint64_t first, std::uint64_t count) const = 0;
  /// All side files, by path.
  virtual Result<std::vector<SideFile>> side_files() const = 0;

  /// The last checkpoint that was signed, as signed.
  virtual Result<std::optional<std::string>> signed_checkpoint() const = 0;
  /// Replaces it if it still is `expected`; kFailedPrecondition otherwise. This record is what
  /// keeps a log from forking itself (reference ledger.md 1.1).
  virtual Result<void> swap_signed_checkpoint(const std::optional<std::string>& expected,
                                              const std::string& next) = 0;

  /// Whether this store is the log's home: kHome, or why it is not (move.h).
  virtual Result<std::string> role() const = 0;
  virtual Result<void> set_role(const std::string& role) = 0;
};

/// The role of a store that the log lives in.
inline constexpr const char* kHome = "";

}  // namespace coshard::ledger
