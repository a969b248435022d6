// Where a command asks for an entry: the round's coordinator while it runs, and the round's own
// folder when it has ended. Reads the ledger first, and believes nothing in it that it has not
// checked. Home thread: main.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "crypto/identity.h"
#include "ledger/verify.h"
#include "node/cli/money_flags.h"
#include "node/cli/round_handle.h"

namespace coshard::cli {

class LedgerDesk {
 public:
  /// Finds the round and reads its ledger. kInvalidArgument or kNotFound for a round that is not
  /// there; kCorruption for a ledger that does not verify.
  static Result<LedgerDesk> open(const DeskFlags& flags);

  const ledger::VerifiedLedger& ledger() const { return *ledger_; }
  const ledger::Accounts& accounts() const { return ledger_->accounts; }
  const NetworkId& network() const { return accounts().network(); }
  const std::string& currency() const { return accounts().genesis().currency; }

  /// Hands a request in: to the coordinator, or (when the round has ended) to the folder, under
  /// the coordinator's key. The entries' indices, durable and published. Reads the ledger again.
  /// kUnavailable where witnesses have not cosigned: then they are durable, and the same said again
  /// publishes them.
  Result<std::vector<LogIndex>> submit(const Bytes& request);

  /// Which entries count as this one said before: those since the ledger was read, or also those
  /// of the last 60,000 entries.
  enum class Memory { kSinceRead, kLong };
  /// The same for what the operator says.
  Result<std::vector<LogIndex>> say(const std::vector<ledger::Leaf>& leaves,
                                    Memory memory = Memory::kSinceRead);

  /// An account by its id, or by the first digits (at least 8) of one that the ledger knows.
  Result<AccountId> find_account(const std::string& text) const;

 private:
  LedgerDesk(DeskFlags flags, RoundHandle round)
      : flags_(std::move(flags)), round_(std::move(round)) {}
  Result<void> read();
  Result<std::string> model() const;
  bool is_here() const { return round_.dir && !is_running(round_); }
  std::filesystem::path key_file() const;
  Result<std::vector<LogIndex>> post(const Bytes& request) const;
  Result<std::vector<LogIndex>> write(const Bytes& request);
  Result<ledger::Policy> witnesses() const;
  bool is_published(const std::vector<LogIndex>& indices) const;

  DeskFlags flags_;
  RoundHandle round_;
  std::optional<ledger::VerifiedLedger> ledger_;
  std::optional<crypto::Identity> coordinator_;  ///< opened when it is needed first
  std::optional<crypto::SecretBytes> passphrase_;
  Result<void> open_coordinator_key();
};

/// Prints where an entry is: "WHAT: entry N", or JSON.
void print_entry(LogIndex index, const std::string& what, bool as_json);
/// The same, or the error; returns the exit code.
int report_entry(const Result<LogIndex>& index, const std::string& what, bool as_json);

}  // namespace coshard::cli
