// coshard monitor: follows a log and believes nothing. Each checkpoint is verified (signatures,
// quorum, that it continues the last one), every new entry replayed with its signatures (the fold
// asserts conservation and refuses what breaks a rule, snapshots included), all accounts added up,
// and every epoch's units compared with its EpochClose.
// SPDX-License-Identifier: Apache-2.0
#include <chrono>
#include <iostream>
#include <nlohmann/json.hpp>

#include "ledger/round_ledger.h"
#include "ledger/units_file.h"
#include "node/cli/exit_code.h"
#include "node/cli/ledger_queries.h"
#include "node/cli/ledger_view.h"
#include "node/progress.h"
#include "protocol/base/limits.h"

namespace coshard::cli {
namespace {

using Json = nlohmann::ordered_json;

/// What one look at the log found.
struct Look {
  ledger::Checkpoint checkpoint;
  std::uint64_t epochs = 0;  ///< whose units were compared so far
};

/// Every unit of the epochs from `first` on.
Result<std::uint64_t> check_units(const ledger::LogFolder& folder, const ledger::Accounts& accounts,
                                  std::uint64_t first) {
  for (; first < accounts.epochs().size(); ++first) {
    const ledger::EpochState& epoch = accounts.epochs()[first];
    const std::string path = ledger::units_path(epoch.close.epoch);
    COSHARD_ASSIGN(const Bytes bytes, folder.read(path, limits::kUnitsFileBytesMax));
    const auto checked = ledger::verify_units_file(accounts.genesis(), epoch.close, bytes);
    if (!checked) return tl::unexpected(checked.error().within(folder.describe(path)));
  }
  return first;
}

Result<Look> look(const std::shared_ptr<const ledger::LogFolder>& folder, const LedgerQuery& query,
                  std::uint64_t epochs, std::ostream& err) {
  COSHARD_ASSIGN(OpenLedger opened, OpenLedger::open(folder, query, err));
  COSHARD_ASSIGN(const ledger::Accounts* accounts, opened.whole());
  accounts->check_sums();
  COSHARD_ASSIGN(epochs, check_units(*folder, *accounts, epochs));
  return Look{opened.index().checkpoint(), epochs};
}

void print(const MonitorQuery& monitor, const Look& found, double seconds, std::ostream& out) {
  if (monitor.query.json) {
    out << Json{{"size", found.checkpoint.size},
                {"root", to_base64(found.checkpoint.root)},
                {"epochs", found.epochs},
                {"seconds", seconds}}
               .dump()
        << std::endl;
    return;
  }
  out << node::render_count(found.checkpoint.size) << " entries, "
      << node::render_count(found.epochs) << " epochs: all verified, root "
      << to_base64(found.checkpoint.root) << std::endl;
}

}  // namespace

int run_monitor(const MonitorQuery& monitor, std::ostream& out, std::ostream& err) {
  const auto logs = find_logs(monitor.query, /*only_one=*/true);
  if (!logs) {
    err << "coshard: " << logs.error().message << "\n";
    return kBadInput;
  }
  std::uint64_t epochs = 0;
  ledger::Checkpoint last;
  for (;;) {
    const auto began = std::chrono::steady_clock::now();
    const auto found = look(logs->front(), monitor.query, epochs, err);
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
    if (!found) {
      const bool unreachable = found.error().code == ErrorCode::kUnavailable;
      if (monitor.query.json) {
        out << Json{{"violation", !unreachable}, {"what", found.error().message}}.dump()
            << std::endl;
      }
      err << "coshard: " << (unreachable ? "cannot be watched: " : "VIOLATION: ")
          << found.error().message << std::endl;
      if (!unreachable || monitor.once) return kFailed;
    } else {
      if (found->checkpoint != last) print(monitor, *found, took.count(), out);
      epochs = found->epochs;
      last = found->checkpoint;
    }
    if (monitor.once) return kDone;
    if (!monitor.wait()) return kInterrupted;
  }
}

}  // namespace coshard::cli
