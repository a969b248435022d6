// Ledger entries in words for the account that they concern. Pure; any thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "ledger/accounts.h"

namespace coshard::cli {

/// What an entry says about the account, or nothing when it does not concern it. `accounts` is the
/// ledger at its end; `before` and `after` are the account's balances around the entry.
std::string words_for(const ledger::Leaf& leaf, const ledger::Accounts& accounts,
                      const AccountId& account, const ledger::Balance& before,
                      const ledger::Balance& after);

/// "12.34 USD"
std::string money_text(std::uint64_t micro_units, const std::string& currency);

}  // namespace coshard::cli
