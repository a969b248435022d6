// A change that governors agree on, on its way from one to the next to the ledger: one small file
// that each signs in turn. What they read is made from the bytes that they sign, never from the
// file's words. Pure; any thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

#include "ledger/accounts.h"

namespace coshard::cli {

struct Proposal {
  NetworkId network;
  std::string model;
  ledger::Leaf leaf;  ///< ParamChange or RoleGrants

  LedgerEpoch first_epoch() const;
  const std::vector<ledger::EntrySignature>& signatures() const;
  /// Adds one, unless the key has signed already.
  void sign(const crypto::KeyPair& governor);
};

std::string to_json(const Proposal& proposal);

/// kInvalidArgument for anything but a proposal to the ledger of `accounts`, kPermissionDenied when
/// a signature is false or nobody's who governs.
Result<Proposal> parse_proposal(std::string_view text, const ledger::Accounts& accounts);

/// In plain words, one line per fact: what is, and what is to be.
std::string describe(const Proposal& proposal, const ledger::Accounts& accounts);

bool is_governor(const ledger::Accounts& accounts, const crypto::PublicKey& key);
/// The first epoch that is not announced yet: a change takes effect then or later.
LedgerEpoch first_open_to_change(const ledger::Accounts& accounts);

}  // namespace coshard::cli
