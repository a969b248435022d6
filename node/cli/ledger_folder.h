// Finding and reading the ledgers that a query means. Home thread: main.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <vector>

#include "ledger/verify.h"
#include "node/cli/ledger_queries.h"

namespace coshard::cli {

/// Folders of the ledgers that `query` means, by name. kInvalidArgument, in one line that says
/// what was expected and what to do, when there is none, or several where the query needs one.
Result<std::vector<std::filesystem::path>> find_ledgers(const LedgerQuery& query, bool only_one);

enum class Depth { kBalances, kEverything };

/// Reads and checks one ledger; tried again when a coordinator publishes meanwhile. `observer` is
/// told of the entries of the try that counts, after it.
struct ObservedLedger {
  ledger::VerifiedLedger ledger;
  /// Balance of the account in question after each entry; empty without an account.
  std::vector<ledger::Balance> balances;
};
Result<ObservedLedger> read_folder(const std::filesystem::path& folder, const LedgerQuery& query,
                                   Depth depth, const std::optional<AccountId>& account);

/// kInvalidArgument for what cannot be the beginning of an account's id.
Result<void> check_account_digits(const std::string& text);

/// The account that `text` means among those that the ledgers know; kInvalidArgument otherwise.
Result<AccountId> find_account(const std::string& text, const std::vector<ObservedLedger>& ledgers);

}  // namespace coshard::cli
