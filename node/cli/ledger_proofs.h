// What a contributor keeps and what a reader holds against a log: .tlog-proof files, evidence of a
// fork, the last checkpoint seen. Home thread: main.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "ledger/proof_file.h"
#include "ledger/verify.h"
#include "node/cli/ledger_queries.h"

namespace coshard::cli {

/// The proof of entry `query.index` under the checkpoint as published.
Result<ledger::ProofFile> make_proof(const LedgerQuery& query);

/// Writes a .tlog-proof of entry `query.index` to `query.out`, under the checkpoint as published.
int run_make_proof(const LedgerQuery& query, std::ostream& out, std::ostream& err);

/// Checks a proof without a ledger, under `query`'s policy or log key; `entry` empty: the copy in
/// the proof. kFailed when it does not hold.
int run_check_proof(const std::filesystem::path& proof, const std::filesystem::path& entry,
                    const LedgerQuery& query, std::ostream& out, std::ostream& err);

/// Explains evidence of a fork: kDone when it holds, kFailed when it shows none, kBadInput when it
/// is no such file.
int run_evidence(const std::filesystem::path& file, bool json, std::ostream& out,
                 std::ostream& err);

/// Holds a verified ledger against the checkpoint in `seen` (TOFU: made when missing) and renews
/// it. kCorruption for one that does not continue it: evidence is written to `seen`.fork, and the
/// file stays; kFailedPrecondition for one that is older.
Result<void> hold_against_seen(const std::filesystem::path& seen,
                               const ledger::VerifiedLedger& ledger);
/// --seen with several ledgers.
Error one_ledger_for_seen();

}  // namespace coshard::cli
