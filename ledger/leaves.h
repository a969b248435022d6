// The kinds of ledger entry: what each claims. Here those of the round and its work; keys are in
// identity_leaves.h, what owners and auditors say in owner_leaves.h, money in money_leaves.h. Value
// types, any thread. The rules that they must obey are in accounts_*.cpp; the bytes follow
// canonical.h and FORMAT.md. Field numbers are never reused.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <variant>
#include <vector>

#include "ledger/identity_leaves.h"
#include "ledger/leaf_type.h"
#include "ledger/money_leaves.h"
#include "ledger/owner_leaves.h"

namespace coshard::ledger {

/// Who may change what the round fixed, together with enough others.
struct Governor {
  crypto::PublicKey key{};
  bool operator==(const Governor&) const = default;
  template <class Codec, class Self>
  static void fields(Codec& codec, Self& self) {
    codec(1, self.key);
  }
};

/// The first entry of every log: what the round is, who runs it, what work earns.
struct Genesis {
  static constexpr LeafType kType = LeafType::kGenesis;
  std::string model;                 ///< [a-z0-9.-]: also the folder's name
  std::string origin;                ///< make_origin(): name of the log and of its key
  crypto::PublicKey coordinator{};   ///< operating key that signs the coordinator's entries
  crypto::PublicKey log_key{};       ///< key that signs checkpoints
  Hash nonce{};                      ///< random: two rounds with equal settings are two networks
  Hash round_hash{};                 ///< SHA-256 of the round file
  std::uint64_t unit_cap = 0;        ///< ownership units that this model will ever have
  std::vector<std::uint64_t> split;  ///< basis points by Role, sum 10,000
  std::vector<Grant> data;           ///< who gave the data; ascending accounts, sum 10,000
  std::vector<Grant> design;
  std::vector<Grant> treasury;
  std::uint64_t half_life_steps = 0;  ///< 0: every step emits the same
  std::uint64_t total_steps = 0;
  std::uint64_t epoch_steps = 0;            ///< steps of a ledger epoch
  std::vector<std::uint64_t> stage_prices;  ///< FLOPs per token, by stage
  std::uint64_t microbatches = 0;           ///< per step
  std::uint64_t tokens_per_microbatch = 0;
  std::uint64_t steps_before = 0;  ///< done by another round, with a ledger of its own
  std::string currency;            ///< for example USD; empty: no revenue is booked here
  Params params;
  std::vector<std::uint64_t> vesting_epochs;  ///< by Role; empty: what is posted is free at once
  std::uint64_t recovery_days = 0;  ///< from a claim until the new root speaks; 0: no recovery
  std::vector<Governor> governors;  ///< ascending; who may change params and grants
  std::uint64_t governors_needed = 0;
  bool buyer_signs = false;    ///< every transfer, not only one with a price
  std::string witness_policy;  ///< tlog-policy text that readers are advised to use; may be empty
  bool operator==(const Genesis&) const = default;

  std::size_t stages() const { return stage_prices.size(); }

  template <class Codec, class Self>
  static void fields(Codec& codec, Self& self) {
    codec(1, self.model);
    codec(2, self.origin);
    codec(3, self.coordinator);
    codec(4, self.log_key);
    codec(5, self.nonce);
    codec(6, self.round_hash);
    codec(7, self.unit_cap);
    codec(8, self.split);
    codec(9, self.data);
    codec(10, self.design);
    codec(11, self.treasury);
    codec(12, self.half_life_steps);
    codec(13, self.total_steps);
    codec(14, self.epoch_steps);
    codec(15, self.stage_prices);
    codec(16, self.microbatches);
    codec(17, self.tokens_per_microbatch);
    codec(18, self.steps_before);
    codec(19, self.currency);
    codec(20, self.params);
    codec(21, self.vesting_epochs);
    codec(22, self.recovery_days);
    codec(23, self.governors);
    codec(24, self.governors_needed);
    codec(25, self.buyer_signs);
    codec(26, self.witness_policy);
  }
};

/// Announces the steps of the next epoch and what they emit.
struct EpochOpen {
  static constexpr LeafType kType = LeafType::kEpochOpen;
  LedgerEpoch epoch;
  StepId first_step;
  StepId last_step;
  std::uint64_t emission = 0;  ///< units
  Hash seed_commitment{};      ///< SHA-256("coshard/seed/v1" 00 || seed): audits draw from the seed
  bool operator==(const EpochOpen&) const = default;
  template <class Codec, class Self>
  static void fields(Codec& codec, Self& self) {
    codec(1, self.epoch);
    codec(2, self.first_step);
    codec(3, self.last_step);
    codec(4, self.emission);
    codec(5, self.seed_commitment);
  }
};

/// What one node did for one stage in an epoch. A repair is recomputation that the coordinator
/// ordered: it is paid, but it is not the attempt that the step counted.
struct NodeTotal {
  StageIndex stage;
  NodeId node;
  std::uint64_t units = 0;
  std::uint64_t repairs = 0;
  std::uint64_t tokens = 0;  ///< of units and repairs
  bool operator==(const NodeTotal&) const = default;
  template <class Codec, class Self>
  static void fields(Codec& codec, Self& self) {
    codec(1, self.stage);
    codec(2, self.node);
    codec(3, self.units);
    codec(4, self.repairs);
    codec(5, self.tokens);
  }
};

/// What the coordinator counted: totals here, every unit in the file units/<epoch>.
struct EpochClose {
  static constexpr LeafType kType = LeafType::kEpochClose;
  LedgerEpoch epoch;
  StepId first_step;
  StepId last_step;
  Hash units_root{};              ///< RFC 6962 root over the units in canonical order
  std::uint64_t units_count = 0;  ///< leaves of that tree
  Hash units_file{};              ///< SHA-256 of units/<epoch>
  std::uint64_t tokens = 0;       ///< target tokens of the epoch's steps
  std::vector<NodeTotal> totals;  ///< ascending by (stage, node)
  bool operator==(const EpochClose&) const = default;
  template <class Codec, class Self>
  static void fields(Codec& codec, Self& self) {
    codec(1, self.epoch);
    codec(2, self.first_step);
    codec(3, self.last_step);
    codec(4, self.units_root);
    codec(5, self.units_count);
    codec(6, self.units_file);
    codec(7, self.tokens);
    codec(8, self.totals);
  }
};

/// One node's claim for one stage and epoch. Signed by the node, or handed in by the coordinator
/// for a node that is gone (then without receipts).
struct WorkBatch {
  static constexpr LeafType kType = LeafType::kWorkBatch;
  LedgerEpoch epoch;
  StageIndex stage;
  NodeId node;
  std::uint64_t units = 0;
  std::uint64_t repairs = 0;
  std::uint64_t tokens = 0;
  uint128_t flops = 0;
  Hash receipts_root{};  ///< RFC 6962 root over the receipts in order of seq
  std::uint64_t receipts = 0;
  std::uint64_t countersigned = 0;  ///< of those, in windows that the receiver signed as well
  bool operator==(const WorkBatch&) const = default;
  template <class Codec, class Self>
  static void fields(Codec& codec, Self& self) {
    codec(1, self.epoch);
    codec(2, self.stage);
    codec(3, self.node);
    codec(4, self.units);
    codec(5, self.repairs);
    codec(6, self.tokens);
    codec(7, self.flops);
    codec(8, self.receipts_root);
    codec(9, self.receipts);
    codec(10, self.countersigned);
  }
};

struct CreditLine {
  AccountId account;
  Role role = Role::kCompute;
  std::uint64_t units = 0;
  auto operator<=>(const CreditLine&) const = default;
  template <class Codec, class Self>
  static void fields(Codec& codec, Self& self) {
    codec(1, self.account);
    codec(2, self.role);
    codec(3, self.units);
  }
};

/// An epoch's units, account by account; pending until a checkpoint covers its steps. Whoever
/// replays the log computes the same lines, or refuses the entry.
struct Credit {
  static constexpr LeafType kType = LeafType::kCredit;
  LedgerEpoch epoch;
  std::vector<CreditLine> lines;  ///< ascending by (account, role), none of 0 units
  bool operator==(const Credit&) const = default;
  template <class Codec, class Self>
  static void fields(Codec& codec, Self& self) {
    codec(1, self.epoch);
    codec(2, self.lines);
  }
};

/// An epoch's pending units become owned, because the checkpoint recorded at `reason` covers them.
struct CreditPost {
  static constexpr LeafType kType = LeafType::kCreditPost;
  LedgerEpoch epoch;
  LogIndex reason;
  bool operator==(const CreditPost&) const = default;
  template <class Codec, class Self>
  static void fields(Codec& codec, Self& self) {
    codec(1, self.epoch);
    codec(2, self.reason);
  }
};

struct ShardHash {
  StageIndex stage;
  Hash sha256{};
  bool operator==(const ShardHash&) const = default;
  template <class Codec, class Self>
  static void fields(Codec& codec, Self& self) {
    codec(1, self.stage);
    codec(2, self.sha256);
  }
};

/// A complete checkpoint of the model after `step` is durable: one file per stage.
struct CheckpointRecord {
  static constexpr LeafType kType = LeafType::kCheckpointRecord;
  StepId step;
  std::vector<ShardHash> shards;  ///< one per stage, ascending
  bool operator==(const CheckpointRecord&) const = default;
  template <class Codec, class Self>
  static void fields(Codec& codec, Self& self) {
    codec(1, self.step);
    codec(2, self.shards);
  }
};

/// The round goes back to the state after `to_step`; later steps will be executed again.
struct Rollback {
  static constexpr LeafType kType = LeafType::kRollback;
  StepId to_step;
  std::string reason;
  bool operator==(const Rollback&) const = default;
  template <class Codec, class Self>
  static void fields(Codec& codec, Self& self) {
    codec(1, self.to_step);
    codec(2, self.reason);
  }
};

/// Units that nobody will ever own; ends the emission.
struct Burn {
  static constexpr LeafType kType = LeafType::kBurn;
  std::uint64_t units = 0;
  std::string reason;
  bool operator==(const Burn&) const = default;
  template <class Codec, class Self>
  static void fields(Codec& codec, Self& self) {
    codec(1, self.units);
    codec(2, self.reason);
  }
};

using Leaf = std::variant<Genesis, IdentityRegister, IdentityRevoke, EpochOpen, EpochClose,
                          WorkBatch, Credit, CreditPost, CheckpointRecord, Rollback, Burn,
                          KeyRotate, WitnessRegister, RecoveryName, RecoveryClaim, RecoveryFinish,
                          ParamChange, RoleGrants, SeedReveal, AuditVerdict, CreditVoid,
                          UnitTransfer, Bond, BondRelease, Penalty, RevenueReported, Correction,
                          Settle, PayoutInitiated, PayoutFinal, StateSnapshot, LogKeyRotate>;

LeafType type_of(const Leaf& leaf);

}  // namespace coshard::ledger
