// Whom an entry concerns: the accounts whose balance, ties or keys it changes, and those about whom
// it says something (whose node did the work). Revenue concerns nobody in particular: every owner's
// claim follows from the accumulator. Pure; any thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "ledger/accounts.h"

namespace coshard::ledger {

/// Ascending, each once. `before`: the fold over the entries before it. Total: an entry that the
/// fold will refuse concerns whom it names.
std::vector<AccountId> concerned_accounts(const Body& body, const Accounts& before);

}  // namespace coshard::ledger
