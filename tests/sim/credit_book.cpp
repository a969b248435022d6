// See credit_book.h.
// SPDX-License-Identifier: Apache-2.0
#include "tests/sim/credit_book.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <utility>

#include "ledger/checkpoint.h"
#include "ledger/store/memory_store.h"
#include "tests/unit/ledger/small_round.h"

namespace coshard::simtest {

namespace {

constexpr std::uint64_t kCap = 1'000'000'000'000;

std::uint64_t price_of(std::uint32_t stage) { return 1000 + 37 * stage; }

}  // namespace

struct CreditBook::Home {
  ledger::MemoryStore store;
  ledger::MemoryFolder folder;
  ManualClock clock;
  crypto::KeyPair operating = ledger::test_key(201), log_key = ledger::test_key(202);
  std::optional<ledger::RoundLedger> ledger;
};

CreditBook::CreditBook(const Options& options)
    : options_(options), home_(std::make_unique<Home>()) {
  auto opened = ledger::RoundLedger::open(home_->store, home_->folder, home_->operating,
                                          home_->log_key, home_->clock);
  check(opened, "open");
  home_->ledger = std::move(*opened);
  ledger::Genesis genesis;
  genesis.model = "virtual";
  genesis.origin = *ledger::make_origin("example.org", "virtual");
  genesis.unit_cap = kCap;
  genesis.split = {10'000, 0, 0, 0};
  genesis.total_steps = options_.steps;
  genesis.epoch_steps = options_.ledger_epoch_steps;
  for (std::uint32_t stage = 0; stage < options_.shape.stages; ++stage)
    genesis.stage_prices.push_back(price_of(stage));
  genesis.microbatches = options_.shape.microbatches;
  genesis.tokens_per_microbatch = options_.shape.tokens_per_microbatch;
  check(home_->ledger->genesis(genesis), "genesis");
}

CreditBook::~CreditBook() = default;

void CreditBook::see(const round::CoordinatorAction& action) {
  std::visit([this](const auto& what) { on(what); }, action);
}

void CreditBook::on(const round::StepCommitted& action) { executions_.push_back(action.record); }

void CreditBook::recount(const std::vector<round::JournalRecord>& journal) {
  executions_.clear();
  for (const auto& record : journal)
    if (const auto* step = std::get_if<round::StepRecord>(&record)) executions_.push_back(*step);
}

/// May come twice for one epoch around a crash.
void CreditBook::on(const round::EpochFinished& action) {
  ledger::RoundLedger& log = *home_->ledger;
  if (action.epoch.value < log.accounts().epochs().size()) return;
  ledger::EpochSummary summary{action.epoch, action.first_step, action.last_step, {}, {}, {}};
  for (const round::SettledStep& step : action.steps) {
    const StepId id = step.record.step();
    for (const round::UnitRecord& unit : step.record.units)
      summary.units.push_back({Unit{id, unit.microbatch, unit.stage, unit.attempt},
                               identity_of(unit.node).node(), false});
    for (std::uint32_t stage = 0; stage < step.digests.size(); ++stage)
      if (step.digests[stage])
        summary.digests.push_back({id, StageIndex(stage), *step.digests[stage]});
  }
  check(log.close_epoch(summary), "closing an epoch");
  check(log.admit_missing(action.epoch), "handing in an epoch's work");
  check(log.credit(action.epoch), "crediting an epoch");
  post_what_is_covered();
}

void CreditBook::on(const round::CheckpointComplete& action) {
  checkpoints_.push_back(action.record);
  post_what_is_covered();
}

void CreditBook::on(const round::RolledBack& action) {
  check(home_->ledger->rollback(action.to_step, action.next_epoch, "resumed"), "rolling back");
}

void CreditBook::post_what_is_covered() {
  ledger::RoundLedger& log = *home_->ledger;
  const StepId closed = log.accounts().committed_step();
  std::erase_if(checkpoints_, [&](const round::CheckpointRecord& record) {
    if (record.step > closed) return false;
    std::vector<ledger::ShardHash> shards;
    for (std::uint32_t stage = 0; stage < record.stages.size(); ++stage)
      shards.push_back({StageIndex(stage), record.stages[stage].file_hash});
    if (record.step > log.accounts().covered_step())
      check(log.post(record.step, std::move(shards)), "posting a checkpoint");
    return true;
  });
}

const crypto::Identity& CreditBook::identity_of(const NodeId& node) {
  const auto known = identities_.find(node);
  if (known != identities_.end()) return known->second;
  const auto number = static_cast<std::uint8_t>(identities_.size() + 1);
  auto& identity = identities_.emplace(node, ledger::test_identity(number)).first->second;
  check(home_->ledger->register_identity(identity.certificate()), "registering a node");
  return identity;
}

template <class T>
void CreditBook::check(const Result<T>& result, const char* what) {
  if (!result && error_.empty()) error_ = std::string(what) + ": " + result.error().message;
}

// ---- at the end ---------------------------------------------------------------------------------

/// A step that was executed n times gives each execution one part in n; an epoch's parts are shared
/// in proportion to work (ledger/FORMAT.md). Counted here with nothing of the ledger's.
std::map<AccountId, double> CreditBook::fair_shares() const {
  std::map<StepId, double> executions;
  for (const auto& record : executions_) ++executions[record.step()];
  const double emission = static_cast<double>(kCap) / static_cast<double>(options_.steps);
  std::map<LedgerEpoch, double> emitted, worked;
  for (const auto& record : executions_) {
    emitted[record.ledger_epoch] += emission / executions[record.step()];
    for (const auto& unit : record.units)
      worked[record.ledger_epoch] += static_cast<double>(price_of(unit.stage.value));
  }
  std::map<AccountId, double> shares;
  for (const auto& record : executions_)
    for (const auto& unit : record.units) {
      const auto identity = identities_.find(unit.node);
      if (identity == identities_.end()) continue;  // nothing of it was ever told: found by audit()
      shares[identity->second.account()] += emitted[record.ledger_epoch] *
                                            static_cast<double>(price_of(unit.stage.value)) /
                                            worked[record.ledger_epoch];
    }
  return shares;
}

std::string CreditBook::audit() const {
  if (!error_.empty()) return "the ledger refuses " + error_;
  const ledger::Accounts& accounts = home_->ledger->accounts();
  std::uint64_t paid = 0, committed = 0;
  for (const auto& epoch : accounts.epochs())
    for (const auto& total : epoch.close.totals) paid += total.units;
  for (const auto& record : executions_) committed += record.units.size();
  if (paid != committed)
    return std::to_string(committed) + " units were committed and " + std::to_string(paid) +
           " are in the ledger";
  const ledger::UnitTotals totals = accounts.totals();
  if (totals.posted + totals.pending + totals.burnt + totals.remaining != totals.cap)
    return "ownership units are made or lost";
  if (options_.shape.stages == 1) return "";  // nobody is paid: no work has two ends
  for (const auto& [account, fair] : fair_shares()) {
    const ledger::Balance balance = accounts.balance(account);
    if (balance.pending != 0) return "work that a checkpoint covers is pending";
    // Emission is apportioned in whole units, once an epoch.
    const double slack = 2 * static_cast<double>(accounts.epochs().size() + options_.steps);
    if (std::abs(static_cast<double>(balance.posted) - fair) > slack)
      return "an account owns " + std::to_string(balance.posted) + " and earned " +
             std::to_string(fair);
  }
  return "";
}

}  // namespace coshard::simtest
