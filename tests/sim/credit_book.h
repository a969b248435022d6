// The real ledger behind a virtual round: it is told what a coordinator tells it, over all lives of
// the round, and at the end everybody must own what his committed work earned, also over a
// rollback. In memory; one thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "crypto/identity.h"
#include "ledger/round_ledger.h"
#include "tests/sim/virtual_round.h"

namespace coshard::simtest {

class CreditBook {
 public:
  explicit CreditBook(const Options& options);
  ~CreditBook();

  /// In the order in which the coordinator acts; other actions are ignored.
  void see(const round::CoordinatorAction& action);
  /// What was committed is what this journal says: a coordinator that died may have told of less.
  void recount(const std::vector<round::JournalRecord>& journal);
  /// What is off, in a sentence; empty when every unit that was committed is paid as it should be.
  /// After the last life.
  std::string audit() const;

 private:
  struct Home;  ///< keys, store and files of a log
  void on(const round::StepCommitted& action);
  void on(const round::EpochFinished& action);
  void on(const round::CheckpointComplete& action);
  void on(const round::RolledBack& action);
  template <class Other>
  void on(const Other&) {}
  void post_what_is_covered();
  const crypto::Identity& identity_of(const NodeId& node);
  template <class T>
  void check(const Result<T>& result, const char* what);
  std::map<AccountId, double> fair_shares() const;

  Options options_;
  std::unique_ptr<Home> home_;
  std::map<NodeId, crypto::Identity> identities_;
  std::vector<round::StepRecord> executions_;  ///< every commit of every life
  std::vector<round::CheckpointRecord> checkpoints_;
  std::string error_;  ///< the first that the ledger refused
};

}  // namespace coshard::simtest
