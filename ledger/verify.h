// Stand-alone verification of a ledger's folder: no store, no clock, nothing of ours in the trust
// but SHA-256, Ed25519 and the rules in accounts_rules.cpp. What other people and fuzzers run.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "ledger/accounts.h"
#include "ledger/checkpoint.h"
#include "ledger/files.h"
#include "ledger/policy.h"
#include "ledger/tiles.h"

namespace coshard::ledger {

struct VerifiedEntry {
  LogIndex index;
  std::uint64_t seq_ms = 0;
  Body body;
};

/// Whom a reader believes. Nothing given: the folder's own log.vkey, without witnesses.
struct ReaderTrust {
  ReaderTrust() = default;
  ReaderTrust(std::optional<NoteKey> log) : pinned(std::move(log)) {}
  ReaderTrust(NoteKey log) : pinned(std::move(log)) {}
  ReaderTrust(std::optional<NoteKey> log, Policy quorum)
      : pinned(std::move(log)), policy(std::move(quorum)) {}

  std::optional<NoteKey> pinned;  ///< the log's key
  Policy policy;                  ///< whose quorum a checkpoint needs
};

/// A log of which everything that was read has been checked.
struct VerifiedLedger {
  NoteKey key;
  Checkpoint checkpoint;
  std::string note;                    ///< the file `checkpoint`, verbatim
  std::vector<std::string> witnesses;  ///< of the policy, who cosigned it
  LevelHashes hashes;                  ///< of all entries
  Accounts accounts;
  std::vector<VerifiedEntry> entries;
};

/// A log's checkpoint as a reader finds it.
struct LogHead {
  NoteKey key;  ///< log.vkey
  Checkpoint checkpoint;
  std::string note;                    ///< the file `checkpoint`, verbatim
  std::vector<std::string> witnesses;  ///< of the policy, who cosigned it
  std::optional<NoteKey> trusted;      ///< must be one of the log's keys; nothing: any
};

/// Reads log.vkey and checkpoint and checks signatures and quorum; the checkpoint is of one entry
/// at least. Errors as read_ledger's.
Result<LogHead> read_head(const LogFolder& folder, const ReaderTrust& trust);

/// That the head's key is the log's by what `accounts` (its entries) say, and that the trusted one
/// is it or handed over to it. kPermissionDenied or kCorruption.
Result<void> check_log_key(const LogFolder& folder, const LogHead& head, const Accounts& accounts);

/// Told of each entry, with the accounts as they are after it.
using EntryObserver = std::function<void(const VerifiedEntry&, const Accounts&)>;

/// Reads what balances follow from: the checkpoint's signature, every entry, every tile, every
/// rule. Errors
/// name the file and the index: kNotFound when the folder holds no ledger, kCorruption and
/// kPermissionDenied otherwise.
Result<VerifiedLedger> read_ledger(const LogFolder& folder, const ReaderTrust& trust = {},
                                   const EntryObserver& observer = {});

/// read_ledger, and everything else in the folder: every unit of every epoch, partial tiles of
/// earlier sizes, and that no other file is there.
Result<VerifiedLedger> verify_ledger(const LogFolder& folder, const ReaderTrust& trust = {},
                                     const EntryObserver& observer = {});

}  // namespace coshard::ledger
