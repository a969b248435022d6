// What costs time in reading a log, on all cores: hashing, decoding, signatures. The fold itself
// stays with one thread. Home thread: the caller's, which waits.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <vector>

#include "ledger/accounts.h"
#include "ledger/log_growth.h"

namespace coshard::ledger {

struct CheckedEntry {
  LedgerEntry entry;
  Body body;
};

struct CheckedBundle {
  GrownBundle grown;
  std::vector<CheckedEntry> entries;
};

class BundleChecker {
 public:
  static constexpr std::uint64_t kGroup = 64;  ///< bundles in memory at once

  /// `network`: nothing where the log is read from its beginning. `growth` outlives the checker.
  BundleChecker(const LogGrowth& growth, std::optional<NetworkId> network,
                SignatureCheck signatures)
      : growth_(&growth), network_(network), signatures_(signatures) {}

  /// Bundles [begin, end): entries that hash to the checkpoint's leaves, are canonical and
  /// signed by their authors. kCorruption names file and entry, the first one that is wrong.
  Result<std::vector<CheckedBundle>> check(std::uint64_t begin, std::uint64_t end);
  /// The same error, naming the file and the entry.
  Error at_entry(std::uint64_t index, const Error& error) const;

 private:
  Result<CheckedBundle> check_one(std::uint64_t number) const;
  Result<CheckedEntry> check_entry(std::uint64_t index, ByteView bytes) const;

  const LogGrowth* growth_;
  std::optional<NetworkId> network_;
  SignatureCheck signatures_;
};

}  // namespace coshard::ledger
