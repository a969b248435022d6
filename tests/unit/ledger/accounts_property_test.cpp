// Random rounds with epochs cut short, checkpoints anywhere and rollbacks: whatever happened on the
// way, a round that reaches its end has emitted exactly its cap.
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include "tests/unit/ledger/small_round.h"

namespace coshard::ledger {
namespace {

/// Closes the first `steps` steps of the open epoch, hands everything in, credits.
Result<void> run_steps(const SmallRound& round, RoundLedger& ledger, std::uint64_t steps) {
  COSHARD_ASSIGN(const OpenEpoch open, ledger.open_epoch());
  const std::uint64_t last = std::min(open.last_step.value, open.first_step.value + steps - 1);
  COSHARD_TRY(ledger.close_epoch(round.summary(open.epoch.value, open.first_step.value, last)));
  COSHARD_TRY(ledger.admit_missing(open.epoch));
  return ledger.credit(open.epoch);
}

RC_GTEST_PROP(AccountsProperty, RoundThatEndsHasEmittedExactlyItsCap, ()) {
  SmallRound round;
  round.params.unit_cap = *rc::gen::inRange<std::uint64_t>(1, 1u << 30);
  round.params.half_life_steps = *rc::gen::element<std::uint64_t>(0, 7, 30);
  round.params.microbatches = 1;
  auto ledger = round.begin();
  RC_ASSERT(ledger.has_value());
  int rollbacks_left = 4;
  std::uint64_t posted = 0;
  while (ledger->open_epoch()) {
    const auto steps = *rc::gen::inRange<std::uint64_t>(1, 15);
    RC_ASSERT(run_steps(round, *ledger, steps).has_value());
    const Accounts& accounts = ledger->accounts();
    const std::uint64_t covered = accounts.covered_step().value;
    const std::uint64_t reached = accounts.epochs().back().close.last_step.value;
    const int choice = *rc::gen::inRange(0, 3);
    if (choice == 0 && reached > covered) {
      const auto step = *rc::gen::inRange<std::uint64_t>(covered + 1, reached + 1);
      RC_ASSERT(ledger->post(StepId(step), round.shards()).has_value());
    } else if (choice == 1 && rollbacks_left-- > 0) {
      RC_ASSERT(ledger
                    ->rollback(StepId(covered), LedgerEpoch(ledger->accounts().epochs().size()),
                               "a stage was lost")
                    .has_value());
    }
    RC_ASSERT(accounts.totals().posted >= posted);  // what is posted is never taken back
    posted = accounts.totals().posted;
  }
  if (ledger->accounts().covered_step().value < round.params.total_steps) {
    RC_ASSERT(ledger->post(StepId(round.params.total_steps), round.shards()).has_value());
  }
  const UnitTotals totals = ledger->accounts().totals();
  RC_ASSERT(totals.posted == round.params.unit_cap);
  RC_ASSERT(totals.pending + totals.burnt + totals.remaining == 0u);
}

}  // namespace
}  // namespace coshard::ledger
