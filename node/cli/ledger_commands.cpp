// coshard ownership, balance, statement, verify: from flags to ledger_queries.
// SPDX-License-Identifier: Apache-2.0
#include <iostream>

#include "node/cli/balance_proof.h"
#include "node/cli/commands.h"
#include "node/cli/exit_code.h"
#include "node/cli/ledger_mirror.h"
#include "node/cli/ledger_proofs.h"
#include "node/cli/ledger_queries.h"
#include "node/config.h"
#include "node/web_url.h"

namespace coshard::cli {
namespace {

using Query = int (*)(const LedgerQuery&, std::ostream&, std::ostream&);

/// Runs `query` on the folder or URL that the flags or the configuration name.
int run_on_ledger(const LedgerFlags& flags, LedgerQuery query, Query run_query) {
  std::string place = flags.ledger;
  if (place.empty()) {
    const auto config = node::load_config(node::process_environment());
    if (!config) return report(config.error(), kBadInput);
    if (!config->ledger)
      return report({ErrorCode::kInvalidArgument,
                     "--ledger: expected a folder or an URL there or as `ledger` in "
                     "~/.config/coshard/config.toml, found neither"},
                    kBadInput);
    place = *config->ledger;
  }
  query.vkey = flags.vkey;
  query.policy = flags.policy;
  query.json = flags.json;
  query.ledger = place;
  if (!node::is_web_url(place)) return run_query(query, std::cout, std::cerr);
  const auto mirror = LedgerMirror::fetch(place, query.model);
  if (!mirror) return report(mirror.error(), kFailed);
  query.ledger = mirror->folder();
  return run_query(query, std::cout, std::cerr);
}

}  // namespace

int run(const OwnershipCommand& command) {
  LedgerQuery query;
  query.model = command.model;
  query.distributor = command.distributor.value_or("");
  return run_on_ledger(command.flags, query, run_ownership);
}

int run(const BalanceCommand& command) {
  LedgerQuery query;
  query.account = command.account;
  query.out = command.proof.value_or("");
  return run_on_ledger(command.flags, query, command.proof ? run_balance_proof : run_balance);
}

int run(const StatementCommand& command) {
  LedgerQuery query;
  query.account = command.account;
  return run_on_ledger(command.flags, query, run_statement);
}

int run(const VerifyCommand& command) {
  LedgerQuery query;
  query.account = command.account.value_or("");
  query.seen = command.seen.value_or("");
  query.vkey = command.flags.vkey;
  query.policy = command.flags.policy;
  query.json = command.flags.json;
  if (command.evidence) return run_evidence(*command.evidence, query.json, std::cout, std::cerr);
  if (command.proof)
    return run_check_proof(*command.proof, command.entry.value_or(""), query, std::cout, std::cerr);
  return run_on_ledger(command.flags, query, run_verify);
}

int run(const ProofCommand& command) {
  LedgerQuery query;
  query.index = command.index;
  query.out = command.out;
  return run_on_ledger(command.flags, query, run_make_proof);
}

}  // namespace coshard::cli
