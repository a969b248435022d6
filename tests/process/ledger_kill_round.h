// The log that ledger_kill_child writes and ledger_kill_test looks at.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "ledger/background_folder.h"
#include "ledger/store/postgres_store.h"
#include "ledger/store/sqlite_store.h"
#include "tests/unit/ledger/small_round.h"

namespace coshard::ledger {

inline Result<std::unique_ptr<Store>> open_kill_store(const std::string& place) {
  return place.starts_with("postgresql://") ? open_postgres_store(place) : open_sqlite_store(place);
}

/// Any number of entries: the coordinator registers nodes without end.
struct KillRound {
  explicit KillRound(const std::string& path) : disk(path) { round.folder = folder; }
  Result<RoundLedger> open() {
    COSHARD_ASSIGN(RoundLedger ledger, round.open());
    if (!ledger.has_genesis()) {
      COSHARD_TRY(ledger.genesis(round.params));
      for (const crypto::Identity& node : round.nodes)
        COSHARD_TRY(ledger.register_identity(node.certificate()));
    }
    return ledger;
  }
  /// One to three entries; of an epoch's end a side file as well.
  Result<void> append_some(RoundLedger& ledger) {
    for (std::uint64_t more = 1 + ledger.accounts().size() % 3; more > 0; --more) {
      const auto open = ledger.open_epoch();
      if (open && ledger.accounts().size() % 5 == 0) {
        const std::uint64_t step = open->first_step.value;
        COSHARD_TRY(
            ledger.close_epoch(round.summary(open->epoch.value, step, open->last_step.value)));
        continue;
      }
      COSHARD_TRY(ledger.register_identity(crypto::Identity::generate().certificate()));
    }
    return {};
  }

  DiskFolder disk;
  std::shared_ptr<BackgroundFolder> folder = std::make_shared<BackgroundFolder>(disk);
  SmallRound round;
};

}  // namespace coshard::ledger
