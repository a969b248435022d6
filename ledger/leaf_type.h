// Which kinds of ledger entry there are, and the words that several of them share. Values are never
// reused or renumbered: they are in every log. Any thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <string_view>

#include "crypto/keys.h"
#include "ledger/canonical.h"

namespace coshard::ledger {

enum class LeafType : std::uint32_t {
  kGenesis = 1,
  kIdentityRegister = 2,
  kIdentityRevoke = 3,
  kEpochOpen = 4,
  kEpochClose = 5,
  kWorkBatch = 6,
  kCredit = 7,
  kCreditPost = 8,
  kCheckpointRecord = 9,
  kRollback = 10,
  kBurn = 11,
  kKeyRotate = 12,
  kWitnessRegister = 13,
  kRecoveryName = 14,
  kRecoveryClaim = 15,
  kRecoveryFinish = 16,
  kParamChange = 17,
  kRoleGrants = 18,
  kSeedReveal = 19,
  kAuditVerdict = 20,
  kCreditVoid = 21,
  kUnitTransfer = 22,
  kBond = 23,
  kBondRelease = 24,
  kPenalty = 25,
  kRevenueReported = 26,
  kCorrection = 27,
  kSettle = 28,
  kPayoutInitiated = 29,
  kPayoutFinal = 30,
  kStateSnapshot = 31,
  kLogKeyRotate = 32,
};

/// Why an account is credited. The order is the order of basis points in Genesis.
enum class Role : std::uint8_t { kCompute = 0, kData = 1, kDesign = 2, kTreasury = 3 };
inline constexpr std::size_t kRoles = 4;
inline constexpr std::uint64_t kBasisPoints = 10'000;

/// Name for people and JSON, for example "work_batch".
std::string_view to_string(LeafType type);
std::string_view to_string(Role role);

/// A signature and the Ed25519 public key that made it.
struct EntrySignature {
  crypto::PublicKey key_id{};
  crypto::Signature signature{};
  bool operator==(const EntrySignature&) const = default;
  template <class Codec, class Self>
  static void fields(Codec& codec, Self& self) {
    codec(1, self.key_id);
    codec(2, self.signature);
  }
};

/// An account's part of a role's units.
struct Grant {
  AccountId account;
  std::uint64_t basis_points = 0;
  bool operator==(const Grant&) const = default;
  template <class Codec, class Self>
  static void fields(Codec& codec, Self& self) {
    codec(1, self.account);
    codec(2, self.basis_points);
  }
};

}  // namespace coshard::ledger
