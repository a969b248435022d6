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
#include "node/signals.h"
#include "node/web_url.h"

namespace coshard::cli {
namespace {

using Query = int (*)(const LedgerQuery&, std::ostream&, std::ostream&);

/// The folder or URL that the flags or the configuration name.
Result<std::string> find_place(const LedgerFlags& flags) {
  if (!flags.ledger.empty()) return flags.ledger;
  COSHARD_ASSIGN(const auto config, node::load_config(node::process_environment()));
  if (config.ledger) return *config.ledger;
  return fail(ErrorCode::kInvalidArgument,
              "--ledger: expected a folder or an URL there or as `ledger` in "
              "~/.config/coshard/config.toml, found neither");
}

void take_flags(const LedgerFlags& flags, const std::string& place, LedgerQuery& query) {
  query.vkey = flags.vkey;
  query.policy = flags.policy;
  query.json = flags.json;
  query.ledger = place;
}

/// Fills in what reads through the reader's index: where that is, and the log where it is served.
int take_index(const IndexFlags& index, const std::string& place, LedgerQuery& query) {
  query.at = index.at;
  if (!index.none) {
    query.index_folder =
        index.folder.value_or(node::cache_folder(node::process_environment()) / "index");
  }
  if (!node::is_web_url(place)) return kDone;
  auto remote = open_remote_ledger(place, query.model);
  if (!remote) return report(remote.error(), kFailed);
  query.remote = std::move(*remote);
  return kDone;
}

/// Runs a question that reads what it needs, from the reader's index where that knows it.
int run_indexed(const LedgerFlags& flags, const IndexFlags& index, LedgerQuery query,
                Query run_query) {
  const auto place = find_place(flags);
  if (!place) return report(place.error(), kBadInput);
  take_flags(flags, *place, query);
  if (const int failed = take_index(index, *place, query); failed != kDone) return failed;
  return run_query(query, std::cout, std::cerr);
}

/// Runs a question that reads everything.
int run_on_ledger(const LedgerFlags& flags, LedgerQuery query, Query run_query) {
  const auto place = find_place(flags);
  if (!place) return report(place.error(), kBadInput);
  take_flags(flags, *place, query);
  if (!node::is_web_url(*place)) return run_query(query, std::cout, std::cerr);
  const auto mirror = LedgerMirror::fetch(*place, query.model);
  if (!mirror) return report(mirror.error(), kFailed);
  query.ledger = mirror->folder();
  return run_query(query, std::cout, std::cerr);
}

}  // namespace

int run(const OwnershipCommand& command) {
  LedgerQuery query;
  query.model = command.model;
  query.distributor = command.distributor.value_or("");
  return run_indexed(command.flags, command.index, std::move(query), run_ownership);
}

int run(const BalanceCommand& command) {
  LedgerQuery query;
  query.account = command.account;
  if (command.proof) {
    query.out = *command.proof;
    return run_on_ledger(command.flags, query, run_balance_proof);
  }
  return run_indexed(command.flags, command.index, std::move(query), run_balance);
}

int run(const StatementCommand& command) {
  LedgerQuery query;
  query.account = command.account;
  query.from = command.from;
  query.last = command.last;
  return run_indexed(command.flags, command.index, std::move(query), run_statement);
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

int run(const MonitorCommand& command) {
  const auto signals = node::Signals::block();
  if (!signals) return report(signals.error(), kFailed);
  const auto place = find_place(command.flags);
  if (!place) return report(place.error(), kBadInput);
  MonitorQuery monitor;
  take_flags(command.flags, *place, monitor.query);
  if (const int failed = take_index(command.index, *place, monitor.query); failed != kDone) {
    return failed;
  }
  monitor.once = command.once;
  monitor.wait = [&] {
    return (*signals)->wait(std::chrono::seconds(command.seconds)) != node::Wake::kSignal;
  };
  return run_monitor(monitor, std::cout, std::cerr);
}

int run(const ProofCommand& command) {
  LedgerQuery query;
  query.index = command.index;
  query.out = command.out;
  return run_on_ledger(command.flags, query, run_make_proof);
}

}  // namespace coshard::cli
