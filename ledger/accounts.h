// Who owns what: a pure fold over the entries of a log, in integers. The same prefix gives the same
// bytes on every machine. One thread at a time; no I/O, no clock. The rules that an entry must obey
// to be applied are in accounts_rules.cpp.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <optional>
#include <set>
#include <vector>

#include "crypto/identity.h"
#include "ledger/entry.h"

namespace coshard::ledger {

struct Balance {
  std::uint64_t posted = 0;   ///< owned
  std::uint64_t pending = 0;  ///< earned, not yet covered by a checkpoint
  bool operator==(const Balance&) const = default;
};

/// Where all units of the model are. Always: posted + pending + burnt + remaining == cap.
struct UnitTotals {
  std::uint64_t cap = 0;
  std::uint64_t posted = 0;
  std::uint64_t pending = 0;
  std::uint64_t burnt = 0;
  std::uint64_t remaining = 0;  ///< not yet emitted to anybody
  bool operator==(const UnitTotals&) const = default;
};

/// A node that the log admitted.
struct Registration {
  crypto::NodeCertificate certificate;
  AccountId account;
  LogIndex index;                   ///< of the newest IdentityRegister
  std::optional<LogIndex> revoked;  ///< from this index on its entries are refused
};

/// One closed ledger epoch.
struct EpochState {
  enum class Status : std::uint8_t {
    kClosed = 1,   ///< counted; batches come in
    kPending = 2,  ///< credited
    kPosted = 3,   ///< covered by a checkpoint: final
    kVoided = 4,   ///< rolled back before it was posted; credited again once a checkpoint covers it
  };
  EpochClose close;
  LogIndex index;  ///< of the EpochClose
  Status status = Status::kClosed;
  std::set<std::pair<StageIndex, NodeId>> batches;  ///< work batches in the log
  std::vector<CreditLine> credit;

  const NodeTotal* find_total(StageIndex stage, const NodeId& node) const;
  bool is_complete() const { return batches.size() == close.totals.size(); }
};

/// A ledger epoch that is announced and not yet closed.
struct OpenEpoch {
  LedgerEpoch epoch;
  StepId first_step;
  StepId last_step;
};

class Accounts {
 public:
  /// Applies the entry at `index`, which is the number of entries applied so far. On an error
  /// nothing has changed. kInvalidArgument: malformed or not canonical. kPermissionDenied:
  /// signature, author or key. kFailedPrecondition: against a rule; the message names it. A
  /// repeated event is kFailedPrecondition too (find_event tells a retry from a conflict).
  Result<void> apply(LogIndex index, const LedgerEntry& entry);

  bool has_genesis() const { return genesis_.has_value(); }
  const Genesis& genesis() const { return *genesis_; }
  const NetworkId& network() const { return network_; }
  std::uint64_t size() const { return size_; }

  UnitTotals totals() const { return totals_; }
  Balance balance(const AccountId& account) const;
  const std::map<AccountId, Balance>& balances() const { return balances_; }

  const std::map<NodeId, Registration>& nodes() const { return nodes_; }
  const Registration* find_node(const NodeId& node) const;
  const std::vector<EpochState>& epochs() const { return epochs_; }  ///< by LedgerEpoch
  const std::vector<OpenEpoch>& open_epochs() const { return open_; }
  StepId covered_step() const { return covered_step_; }      ///< of the last CheckpointRecord
  StepId committed_step() const { return committed_step_; }  ///< of the execution in force
  LogIndex covering_checkpoint() const;           ///< where that record is; 0 without one
  bool is_finished() const { return finished_; }  ///< the rest was burnt

  /// The next EpochOpen that the log accepts; kFailedPrecondition when no step is left.
  Result<EpochOpen> next_epoch() const;
  /// The Credit that the log accepts for a closed epoch; kFailedPrecondition, naming the reason,
  /// when none would be.
  Result<Credit> credit_for(LedgerEpoch epoch) const;
  /// Sequence number of the coordinator's next entry.
  std::uint64_t next_sequence() const { return coordinator_sequence_ + 1; }

  struct Event {
    LogIndex index;
    Hash body_hash{};
  };
  /// The entry that holds this event, if the log has one.
  const Event* find_event(const Hash& event_id) const;

  /// The whole state as bytes: equal states are equal bytes.
  Bytes serialize() const;

 private:
  /// What a rule needs to know about the entry that it judges.
  struct Context {
    LogIndex index;
    NodeId author;
    std::uint64_t sequence = 0;
  };

  Result<void> check_author(const Context& context, LeafType type) const;
  Result<void> on(const Context& context, const Genesis& leaf);
  Result<void> on(const Context& context, const IdentityRegister& leaf);
  Result<void> on(const Context& context, const IdentityRevoke& leaf);
  Result<void> on(const Context& context, const EpochOpen& leaf);
  Result<void> on(const Context& context, const EpochClose& leaf);
  Result<void> on(const Context& context, const WorkBatch& leaf);
  Result<void> on(const Context& context, const Credit& leaf);
  Result<void> on(const Context& context, const CreditPost& leaf);
  Result<void> on(const Context& context, const CheckpointRecord& leaf);
  Result<void> on(const Context& context, const Rollback& leaf);
  Result<void> on(const Context& context, const Burn& leaf);

  Result<void> check_totals(const EpochClose& close) const;
  const EpochState* find_epoch(LedgerEpoch epoch) const;
  std::uint64_t units_of(const EpochState& epoch) const;
  void void_credit(EpochState& epoch);
  void check_conservation() const;

  std::uint64_t size_ = 0;
  std::optional<Genesis> genesis_;
  NetworkId network_;
  std::uint64_t coordinator_sequence_ = 0;
  std::map<Hash, Event> events_;
  std::map<NodeId, Registration> nodes_;
  std::vector<OpenEpoch> open_;
  std::vector<EpochState> epochs_;
  StepId committed_step_;  // last step of the execution in force
  StepId covered_step_;
  std::map<LogIndex, StepId> checkpoints_;
  bool finished_ = false;
  UnitTotals totals_;
  std::map<AccountId, Balance> balances_;
};

}  // namespace coshard::ledger
