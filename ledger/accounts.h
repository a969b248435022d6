// Who owns what: a pure fold over the entries of a log, in integers. The same prefix gives the same
// bytes on every machine. One thread at a time; no I/O, no clock. The rules that an entry must obey
// to be applied: accounts_rules.cpp (work), accounts_identity.cpp (keys), accounts_owner.cpp (what
// owners sign), accounts_money.cpp, accounts_audit.cpp (audits and governance).
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <optional>
#include <set>
#include <span>
#include <vector>

#include "crypto/identity.h"
#include "crypto/witness_certificate.h"
#include "ledger/entry.h"
#include "ledger/revenue_pool.h"
#include "ledger/state_codec.h"

namespace coshard::ledger {

/// One account.
struct Balance : PoolShare {
  std::uint64_t pending = 0;    ///< units earned, not yet covered by a checkpoint
  std::uint64_t bonded = 0;     ///< of posted; being released included
  std::uint64_t in_flight = 0;  ///< micro-units on their way out
  std::uint64_t entries = 0;    ///< that the owner signed: his next one has the next number
  std::uint64_t payouts = 0;    ///< begun
  std::uint64_t paid = 0;       ///< micro-units that arrived
  bool operator==(const Balance&) const = default;
  template <class Codec, class Self>
  static void state(Codec& codec, Self& self) {
    codec(self.posted, self.owed, self.frac, self.last, self.pending, self.bonded, self.in_flight,
          self.entries, self.payouts, self.paid);
  }
};

/// Posted units that may not be moved yet: all at `start`, none after `duration` more epochs.
struct VestingLot {
  LedgerEpoch start;
  std::uint64_t duration = 0;
  std::uint64_t units = 0;
  template <class Codec, class Self>
  static void state(Codec& codec, Self& self) {
    codec(self.start, self.duration, self.units);
  }
};

/// Bonded units that are free once `epochs` epochs are closed.
struct BondReturn {
  std::uint64_t epochs = 0;
  std::uint64_t units = 0;
  template <class Codec, class Self>
  static void state(Codec& codec, Self& self) {
    codec(self.epochs, self.units);
  }
};

/// What a recovery key claims an account for. Not a member of Recovery: clang takes such a class
/// for incomplete where Recovery's own optional asks about it.
struct OpenClaim {
  crypto::PublicKey root{};
  std::uint64_t since_ms = 0;  ///< of the log's own times
  template <class Codec, class Self>
  static void state(Codec& codec, Self& self) {
    codec(self.root, self.since_ms);
  }
};

/// The key that may claim an account, and its claim.
struct Recovery {
  using Claim = OpenClaim;
  crypto::PublicKey key{};   ///< zero: none
  std::uint64_t claims = 0;  ///< ever made
  std::optional<Claim> claim;
  template <class Codec, class Self>
  static void state(Codec& codec, Self& self) {
    codec(self.key, self.claims, self.claim);
  }
};

/// A RevenueReported, as corrected.
struct Revenue {
  LogIndex index;
  std::uint64_t amount = 0;
  template <class Codec, class Self>
  static void state(Codec& codec, Self& self) {
    codec(self.index, self.amount);
  }
};

/// A node that the log admitted.
struct Registration {
  crypto::NodeCertificate certificate;
  AccountId account;
  LogIndex index;                   ///< of the newest IdentityRegister
  std::optional<LogIndex> revoked;  ///< from this index on its entries are refused
  std::uint64_t verdicts = 0;       ///< that it signed
  template <class Codec, class Self>
  static void state(Codec& codec, Self& self) {
    Bytes encoded = self.certificate.encode();
    codec(encoded);
    if constexpr (!std::is_const_v<Self>) {
      if (auto read = crypto::NodeCertificate::decode(encoded)) self.certificate = *read;
    }
    codec(self.account, self.index, self.revoked, self.verdicts);
  }
};

/// A log key: it signs checkpoints of more than `after` entries.
struct LogKey {
  crypto::PublicKey key{};
  std::uint64_t after = 0;
  std::uint64_t until = 0;  ///< entries up to which the key before it signs as well
  template <class Codec, class Self>
  static void state(Codec& codec, Self& self) {
    codec(self.key, self.after, self.until);
  }
};

/// A witness that an owner of units vouches for.
struct WitnessRegistration {
  crypto::WitnessCertificate certificate;
  AccountId account;
  LogIndex index;
  std::optional<LogIndex> revoked;
  template <class Codec, class Self>
  static void state(Codec& codec, Self& self) {
    Bytes encoded = self.certificate.encode();
    codec(encoded);
    if constexpr (!std::is_const_v<Self>) {
      if (auto read = crypto::WitnessCertificate::decode(encoded)) self.certificate = *read;
    }
    codec(self.account, self.index, self.revoked);
  }
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
  std::set<AccountId> voided;  ///< accounts whose lines are burnt instead
  std::uint64_t burnt = 0;     ///< units of those
  Hash seed_commitment{};
  Hash seed{};  ///< zero until it is revealed

  template <class Codec, class Self>
  static void state(Codec& codec, Self& self) {
    codec(self.close, self.index, self.status, self.batches, self.credit, self.voided, self.burnt,
          self.seed_commitment, self.seed);
  }
  const NodeTotal* find_total(StageIndex stage, const NodeId& node) const;
  bool is_complete() const { return batches.size() == close.totals.size(); }
};

/// A ledger epoch that is announced and not yet closed.
struct OpenEpoch {
  LedgerEpoch epoch;
  StepId first_step;
  StepId last_step;
  Hash seed_commitment{};
  template <class Codec, class Self>
  static void state(Codec& codec, Self& self) {
    codec(self.epoch, self.first_step, self.last_step, self.seed_commitment);
  }
};

/// Whether an entry's signatures are to be verified, or were by whoever hands it in (a pool of
/// threads before the sequencer, an index that folded it before). Authorship is judged either way.
enum class SignatureCheck : std::uint8_t { kVerify, kDone };

class Accounts {
 public:
  /// Applies the entry at `index`, which is the number of entries applied so far. On an error
  /// nothing has changed. kInvalidArgument: malformed or not canonical. kPermissionDenied:
  /// signature, author or key. kFailedPrecondition: against a rule; the message names it. Sequence
  /// numbers refuse whatever was said before.
  Result<void> apply(LogIndex index, const LedgerEntry& entry,
                     SignatureCheck signatures = SignatureCheck::kVerify);

  bool has_genesis() const { return genesis_.has_value(); }
  const Genesis& genesis() const { return *genesis_; }
  const NetworkId& network() const { return network_; }
  std::uint64_t size() const { return size_; }
  std::uint64_t last_ms() const { return seq_ms_; }  ///< seq_ms of the last entry

  const UnitTotals& totals() const { return totals_; }
  const MoneyTotals& money() const { return pool_.totals(); }
  /// An account as it stands, its share of revenue included; all zero for one that has nothing.
  Balance balance(const AccountId& account) const;
  /// All accounts as last settled: balance() tells what each is owed.
  const std::map<AccountId, Balance>& balances() const { return balances_; }
  /// Posted units that the owner may transfer or bond now.
  std::uint64_t free_units(const AccountId& account) const;
  /// Posted units that a Penalty may take: bonded, and not returned yet.
  std::uint64_t bonded_units(const AccountId& account) const;
  /// The account that a root key speaks for; nullopt when another root took it over.
  std::optional<AccountId> account_of(const crypto::PublicKey& root) const;
  /// The root that took an account over; nullopt: the one whose hash it is.
  std::optional<crypto::PublicKey> new_root(const AccountId& account) const;
  const Recovery* find_recovery(const AccountId& account) const;
  /// Payouts on their way, by account and number: micro-units.
  const std::map<std::pair<AccountId, std::uint64_t>, std::uint64_t>& payouts() const {
    return payouts_;
  }
  const std::vector<Revenue>& revenues() const { return revenues_; }  ///< ascending index
  const std::map<crypto::PublicKey, WitnessRegistration>& witnesses() const { return witnesses_; }
  /// The log's keys so far, the first one from genesis, the last one in force.
  const std::vector<LogKey>& log_keys() const { return log_keys_; }
  /// What governs the epoch.
  Params params_at(LedgerEpoch epoch) const;
  const std::vector<Grant>& grants_at(Role role, LedgerEpoch epoch) const;

  const std::map<NodeId, Registration>& nodes() const { return nodes_; }
  const Registration* find_node(const NodeId& node) const;
  const std::vector<EpochState>& epochs() const { return epochs_; }  ///< by LedgerEpoch
  const std::vector<OpenEpoch>& open_epochs() const { return open_; }
  StepId covered_step() const { return covered_step_; }      ///< of the last CheckpointRecord
  StepId committed_step() const { return committed_step_; }  ///< of the execution in force
  LogIndex covering_checkpoint() const;           ///< where that record is; 0 without one
  bool is_finished() const { return finished_; }  ///< the rest was burnt

  /// A credit of the epoch may be posted as far as its challenge window is concerned.
  bool is_unchallenged(LedgerEpoch epoch) const;
  /// The round is over: a checkpoint covers its last step, or the rest was burnt. Nothing waits for
  /// an epoch then.
  bool is_over() const;

  /// The next EpochOpen that the log accepts, but for its commitment to a seed, which is the
  /// coordinator's; kFailedPrecondition when no step is left.
  Result<EpochOpen> next_epoch() const;
  /// The Credit that the log accepts for a closed epoch; kFailedPrecondition, naming the reason,
  /// when none would be.
  Result<Credit> credit_for(LedgerEpoch epoch) const;
  /// Sequence number of the coordinator's next entry.
  std::uint64_t next_sequence() const { return coordinator_sequence_ + 1; }

  /// What the entries so far add up to: the next StateSnapshot that the log accepts.
  StateSnapshot snapshot() const;
  /// SHA-256("coshard/state/v1" 00 || bytes of snapshot()): two readers of one prefix agree, or one
  /// of them reads the rules wrongly.
  Hash state_root() const;
  /// The leaves of the snapshot's tree, ascending accounts.
  std::vector<OwnerLeaf> owner_leaves() const;

  /// The whole state as bytes: equal states are equal bytes.
  Bytes serialize() const;
  /// The state that serialize() wrote; kCorruption for anything else. Trusts its numbers.
  static Result<Accounts> restore(ByteView state);

  /// For an index, which keeps accounts apart so that a question about one reads one: what all of
  /// them are judged by, and what is one account's own.
  Bytes serialize_frame() const;
  Bytes serialize_account(const AccountId& account) const;
  /// An Accounts that answers questions about `accounts` (balances, what is free, bonded or on its
  /// way, recovery), totals, nodes, keys and parameters as the whole one would. It knows of no
  /// other account, of epochs no more than how many there are, of no revenue: nothing can be
  /// applied to it. kCorruption as restore().
  static Result<Accounts> restore_view(ByteView frame_bytes,
                                       std::span<const std::pair<AccountId, Bytes>> accounts);

  /// Adds up every account and compares with the totals, which apply() keeps as it goes; aborts
  /// where they differ. O(accounts): a snapshot does it, and tests.
  void check_sums() const;

 private:
  /// What a rule needs to know about the entry that it judges.
  struct Context {
    LogIndex index;
    NodeId author;
    std::uint64_t sequence = 0;
    std::uint64_t seq_ms = 0;
    const std::vector<EntrySignature>* signatures = nullptr;
    AccountId account;  ///< an owner's, where the leaf is one that owners sign
  };

  template <class Codec, class Self>
  static void frame(Codec& codec, Self& self);
  template <class Codec, class Self>
  static void state(Codec& codec, Self& self);

  bool is_coordinators(const NodeId& author, LeafType type) const;
  Result<void> check_author(Context& context, LeafType type) const;
  Result<void> check_node_author(const Context& context) const;
  Result<void> check_owner(Context& context, LeafType type) const;
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
  Result<void> on(const Context& context, const KeyRotate& leaf);
  Result<void> on(const Context& context, const WitnessRegister& leaf);
  Result<void> on(const Context& context, const RecoveryName& leaf);
  Result<void> on(const Context& context, const RecoveryClaim& leaf);
  Result<void> on(const Context& context, const RecoveryFinish& leaf);
  Result<void> on(const Context& context, const ParamChange& leaf);
  Result<void> on(const Context& context, const RoleGrants& leaf);
  Result<void> on(const Context& context, const SeedReveal& leaf);
  Result<void> on(const Context& context, const AuditVerdict& leaf);
  Result<void> on(const Context& context, const CreditVoid& leaf);
  Result<void> on(const Context& context, const UnitTransfer& leaf);
  Result<void> on(const Context& context, const Bond& leaf);
  Result<void> on(const Context& context, const BondRelease& leaf);
  Result<void> on(const Context& context, const Penalty& leaf);
  Result<void> on(const Context& context, const RevenueReported& leaf);
  Result<void> on(const Context& context, const Correction& leaf);
  Result<void> on(const Context& context, const Settle& leaf);
  Result<void> on(const Context& context, const PayoutInitiated& leaf);
  Result<void> on(const Context& context, const PayoutFinal& leaf);
  Result<void> on(const Context& context, const StateSnapshot& leaf);
  Result<void> on(const Context& context, const LogKeyRotate& leaf);

  Result<void> check_certificate(const crypto::NodeCertificate& certificate) const;
  Result<void> check_revocation(const NodeId& node, const crypto::Signature& signature) const;
  Result<void> check_governed(ByteView unsigned_leaf, LedgerEpoch first,
                              const std::vector<EntrySignature>& signatures) const;
  Result<void> check_text(const std::string& text) const;
  bool is_member(const AccountId& account) const;
  bool is_granted(const AccountId& account) const;
  void drop_claim(Recovery& recovery);
  crypto::PublicKey root_of(const AccountId& account, const crypto::PublicKey& first) const;
  std::uint64_t unvested_units(const AccountId& account) const;
  void return_bonds(const AccountId& account);
  LedgerEpoch now() const { return LedgerEpoch(epochs_.size()); }  ///< epochs closed so far

  Result<void> check_totals(const EpochClose& close) const;
  const EpochState* find_epoch(LedgerEpoch epoch) const;
  std::uint64_t units_of(const EpochState& epoch) const;
  void void_credit(EpochState& epoch);

  std::uint64_t size_ = 0;
  std::optional<Genesis> genesis_;
  NetworkId network_;
  std::uint64_t coordinator_sequence_ = 0;
  std::uint64_t seq_ms_ = 0;
  std::map<NodeId, Registration> nodes_;
  std::map<crypto::PublicKey, WitnessRegistration> witnesses_;
  std::vector<LogKey> log_keys_;
  std::vector<OpenEpoch> open_;
  std::vector<EpochState> epochs_;
  StepId committed_step_;  // last step of the execution in force
  StepId covered_step_;
  std::map<LogIndex, StepId> checkpoints_;
  bool finished_ = false;
  std::map<LedgerEpoch, Params> params_;  // from that epoch on
  std::map<std::pair<Role, LedgerEpoch>, std::vector<Grant>> grants_;

  UnitTotals totals_;
  RevenuePool pool_;
  std::map<AccountId, Balance> balances_;
  std::map<AccountId, std::vector<VestingLot>> vesting_;
  std::map<AccountId, std::vector<BondReturn>> bond_returns_;
  std::map<AccountId, Recovery> recoveries_;
  std::map<AccountId, crypto::PublicKey> roots_;  // that took an account over
  std::map<AccountId, AccountId> reserved_;  // hash of a root that claims or took over: the account
  std::map<std::pair<AccountId, std::uint64_t>, std::uint64_t> payouts_;  // in flight
  std::vector<Revenue> revenues_;
  std::set<Hash> statements_;  // of revenue
};

}  // namespace coshard::ledger
