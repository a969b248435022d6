// ownership, balance, statement and verify: what a contributor asks of a ledger's files. Each reads
// a local folder and believes nothing in it that it has not checked. Home thread: main.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <ostream>
#include <string>

#include "ledger/files.h"

namespace coshard::cli {

/// The flags that the ledger queries share.
struct LedgerQuery {
  /// A model's ledger folder, or a folder above it (a demo's DIR, or DIR/ledger).
  std::filesystem::path ledger;
  /// Model; empty: the only one below `ledger` (every one, for balance, statement and verify).
  std::string model;
  /// Account id in hexadecimal, or its first digits where they are unambiguous (at least 8).
  std::string account;
  /// The log key that the reader trusts ("name+id+base64"); empty: the folder's own log.vkey.
  std::string vkey;
  /// tlog-policy file whose quorum a checkpoint needs; empty: none.
  std::filesystem::path policy;
  /// verify: file with the last checkpoint that was seen; empty: none.
  std::filesystem::path seen;
  /// proof: which entry, and the file to write.
  std::uint64_t index = 0;
  std::filesystem::path out;
  /// ownership: where the Merkle tree of owners goes; empty: nowhere.
  std::filesystem::path distributor;
  bool json = false;
  /// The log as it is served; nothing: the folder `ledger`.
  std::shared_ptr<const ledger::LogFolder> remote;
  /// Where verified indexes are kept; empty: everything is verified again, in memory.
  std::filesystem::path index_folder;
  std::optional<std::uint64_t> at;    ///< entries of the log that count; nothing: all
  std::uint64_t from = 0;             ///< statement: the first index
  std::optional<std::uint64_t> last;  ///< statement: so many, the last ones
};

// Each writes a table, or one JSON object and a newline, to `out`; problems go to `err` in one
// line. They return an ExitCode (exit_code.h): kDone, kFailed when the ledger does not verify,
// kBadInput when there is no such ledger, model or account.

/// Who owns how much of a model: units posted and pending, and the share of what was emitted.
int run_ownership(const LedgerQuery& query, std::ostream& out, std::ostream& err);

/// One account: units in each model, money owed and paid.
int run_balance(const LedgerQuery& query, std::ostream& out, std::ostream& err);

/// Every entry that concerns one account, with log indices.
int run_statement(const LedgerQuery& query, std::ostream& out, std::ostream& err);

/// What `coshard monitor` is asked.
struct MonitorQuery {
  LedgerQuery query;
  bool once = false;
  std::function<bool()> wait;  ///< until the next look; false: the operator ends it
};

/// Follows a log: each checkpoint, every entry, every sum, every epoch's units. Prints what it
/// verified; ends with kFailed, saying what was found, at the first violation.
int run_monitor(const MonitorQuery& monitor, std::ostream& out, std::ostream& err);

/// Recomputes everything: every byte of the folder is accounted for.
int run_verify(const LedgerQuery& query, std::ostream& out, std::ostream& err);

}  // namespace coshard::cli
