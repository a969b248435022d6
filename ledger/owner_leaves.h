// Ledger entries that owners sign, those that govern a round, and those that audits are made of.
// Value types, any thread. Rules: accounts_owner.cpp and accounts_audit.cpp.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "ledger/leaf_type.h"

namespace coshard::ledger {

/// What governors may change for epochs to come. Amounts in micro-units of the currency.
struct Params {
  std::uint64_t challenge_epochs =
      0;  ///< further epochs that must be closed before a credit is posted
  std::uint64_t minimum_payout = 0;  ///< of an account that still owns units; 0: any
  std::uint64_t bond_epochs = 0;     ///< from a BondRelease until the units are free
  std::uint64_t audit_rate = 0;      ///< basis points of the committed units; no audits yet
  bool operator==(const Params&) const = default;
  template <class Codec, class Self>
  static void fields(Codec& codec, Self& self) {
    codec(1, self.challenge_epochs);
    codec(2, self.minimum_payout);
    codec(3, self.bond_epochs);
    codec(4, self.audit_rate);
  }
};

/// New parameters from an epoch on that is not announced yet. As many governors as the genesis asks
/// for sign the leaf as it is without their signatures, domain "governance".
struct ParamChange {
  static constexpr LeafType kType = LeafType::kParamChange;
  LedgerEpoch first_epoch;
  Params params;
  std::vector<EntrySignature> governors;
  bool operator==(const ParamChange&) const = default;
  template <class Codec, class Self>
  static void fields(Codec& codec, Self& self) {
    codec(1, self.first_epoch);
    codec(2, self.params);
    codec(3, self.governors);
  }
};

/// Who gets the units of a role (data or design, for instance) from an epoch on that is not
/// announced yet. Signed as ParamChange.
struct RoleGrants {
  static constexpr LeafType kType = LeafType::kRoleGrants;
  LedgerEpoch first_epoch;
  Role role = Role::kData;    ///< never compute
  std::vector<Grant> grants;  ///< ascending accounts, sum 10,000
  std::vector<EntrySignature> governors;
  bool operator==(const RoleGrants&) const = default;
  template <class Codec, class Self>
  static void fields(Codec& codec, Self& self) {
    codec(1, self.first_epoch);
    codec(2, self.role);
    codec(3, self.grants);
    codec(4, self.governors);
  }
};

/// The seed that the EpochOpen committed to, once every work batch of the epoch is in the log.
struct SeedReveal {
  static constexpr LeafType kType = LeafType::kSeedReveal;
  LedgerEpoch epoch;
  Hash seed{};
  bool operator==(const SeedReveal&) const = default;
  template <class Codec, class Self>
  static void fields(Codec& codec, Self& self) {
    codec(1, self.epoch);
    codec(2, self.seed);
  }
};

/// A node recomputed a unit of another account's node and says what it found. Evidence for
/// CreditVoid and Penalty; moves nothing by itself.
struct AuditVerdict {
  static constexpr LeafType kType = LeafType::kAuditVerdict;
  LedgerEpoch epoch;
  StepId step;
  StageIndex stage;
  MicrobatchIndex microbatch;
  Attempt attempt;
  NodeId node;  ///< whose unit it is
  bool passed = false;
  std::uint64_t error_ppb = 0;  ///< relative error, parts in 10^9
  Hash evidence{};              ///< SHA-256 of what was compared
  bool operator==(const AuditVerdict&) const = default;
  template <class Codec, class Self>
  static void fields(Codec& codec, Self& self) {
    codec(1, self.epoch);
    codec(2, self.step);
    codec(3, self.stage);
    codec(4, self.microbatch);
    codec(5, self.attempt);
    codec(6, self.node);
    codec(7, self.passed);
    codec(8, self.error_ppb);
    codec(9, self.evidence);
  }
};

/// An account loses its pending units of an epoch; they are burnt. What is posted is never taken.
struct CreditVoid {
  static constexpr LeafType kType = LeafType::kCreditVoid;
  LedgerEpoch epoch;
  AccountId account;
  std::string reason;
  Hash evidence{};  ///< SHA-256 of the evidence, or of the AuditVerdict entry
  bool operator==(const CreditVoid&) const = default;
  template <class Codec, class Self>
  static void fields(Codec& codec, Self& self) {
    codec(1, self.epoch);
    codec(2, self.account);
    codec(3, self.reason);
    codec(4, self.evidence);
  }
};

/// An owner gives or sells posted units. With a price the buyer signs as well, after the owner.
/// What the units earned before stays with the seller.
struct UnitTransfer {
  static constexpr LeafType kType = LeafType::kUnitTransfer;
  AccountId from;  ///< the author's
  AccountId to;
  std::uint64_t units = 0;
  std::uint64_t price = 0;  ///< micro-units for all of them; paid outside of the log
  LogIndex expires;         ///< the first index that is too late; 0: never
  std::string reference;    ///< the parties' own
  bool operator==(const UnitTransfer&) const = default;
  template <class Codec, class Self>
  static void fields(Codec& codec, Self& self) {
    codec(1, self.from);
    codec(2, self.to);
    codec(3, self.units);
    codec(4, self.price);
    codec(5, self.expires);
    codec(6, self.reference);
  }
};

/// An owner puts posted units up as a bond, which a Penalty can take.
struct Bond {
  static constexpr LeafType kType = LeafType::kBond;
  std::uint64_t units = 0;
  bool operator==(const Bond&) const = default;
  template <class Codec, class Self>
  static void fields(Codec& codec, Self& self) {
    codec(1, self.units);
  }
};

/// An owner asks for bonded units back; they are free after the bond_epochs of that time.
struct BondRelease {
  static constexpr LeafType kType = LeafType::kBondRelease;
  std::uint64_t units = 0;
  bool operator==(const BondRelease&) const = default;
  template <class Codec, class Self>
  static void fields(Codec& codec, Self& self) {
    codec(1, self.units);
  }
};

/// Bonded units are burnt.
struct Penalty {
  static constexpr LeafType kType = LeafType::kPenalty;
  AccountId account;
  std::uint64_t units = 0;
  std::string reason;
  Hash evidence{};
  bool operator==(const Penalty&) const = default;
  template <class Codec, class Self>
  static void fields(Codec& codec, Self& self) {
    codec(1, self.account);
    codec(2, self.units);
    codec(3, self.reason);
    codec(4, self.evidence);
  }
};

}  // namespace coshard::ledger
