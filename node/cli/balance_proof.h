// A balance that is proved without the ledger: the owner's leaf is in the tree of owners that a
// StateSnapshot commits to, and that entry is in the log. Pure but for the two run functions; home
// thread: main. The text: balance_proof.cpp.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "ledger/entry.h"
#include "ledger/proof_file.h"
#include "node/cli/ledger_queries.h"

namespace coshard::cli {

struct BalanceProof {
  ledger::OwnerLeaf owner;
  LogIndex place;          ///< of the owner's leaf among the owners
  std::vector<Hash> path;  ///< in their tree, from the leaf's sibling upward
  ledger::ProofFile snapshot;

  std::string format() const;
  /// kInvalidArgument for anything that format() would not have written.
  static Result<BalanceProof> parse(std::string_view text);
};

/// Whether a file is one of these, by its first line.
bool is_balance_proof(std::string_view text);

/// The snapshot under which the balance holds, and the checkpoint over it. Errors of verify_proof;
/// kCorruption when the entry is no snapshot or the owner is not in its tree.
struct ProvedBalance {
  ledger::StateSnapshot snapshot;
  ledger::CosignedCheckpoint checkpoint;
};
Result<ProvedBalance> verify_balance(const BalanceProof& proof, const ledger::Policy& policy,
                                     const std::optional<ledger::NoteKey>& pinned);

/// Writes the proof of `query.account` as of the last snapshot to `query.out`.
int run_balance_proof(const LedgerQuery& query, std::ostream& out, std::ostream& err);
/// Checks one, given as text, under `query`'s policy or log key.
int run_check_balance(std::string_view text, const LedgerQuery& query, std::ostream& out,
                      std::ostream& err);

}  // namespace coshard::cli
