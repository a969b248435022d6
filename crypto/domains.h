// Every meaning that a signature of coshard can have, in one list: a signature made for one line
// can never be presented as another. Bytes: reference ledger.md 4.2.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace coshard::crypto {

/// The name and the number both enter the preimage. Neither is ever reused or renumbered.
struct SignatureDomain {
  std::string_view name;
  std::uint32_t type = 0;
};

namespace domains {
inline constexpr SignatureDomain kCertificate{"certificate", 1};  ///< by root and operating key
inline constexpr SignatureDomain kChannel{"chan", 2};       ///< CURVE keys bound to identities
inline constexpr SignatureDomain kEnvelope{"envelope", 3};  ///< wire envelope header
inline constexpr SignatureDomain kReducerChunk{"reducer-chunk", 4};    ///< hash and norm of a chunk
inline constexpr SignatureDomain kCommit{"commit", 5};                 ///< commit of a step
inline constexpr SignatureDomain kEntryBody{"entry", 6};               ///< author of a ledger entry
inline constexpr SignatureDomain kReceiptWindow{"receipt-window", 7};  ///< sender of a window
inline constexpr SignatureDomain kCountersign{"countersign", 8};       ///< receiver of a window
inline constexpr SignatureDomain kAssignment{"assignment", 9};         ///< coordinator's admission
inline constexpr SignatureDomain kComplaint{"complaint", 10};          ///< refused tensor
inline constexpr SignatureDomain kCheckpointShard{"checkpoint-shard", 11};  ///< stage checkpoint
inline constexpr SignatureDomain kRevocation{"revocation",
                                             12};            ///< root takes back an operating key
inline constexpr SignatureDomain kRecovery{"recovery", 13};  ///< new root takes an account over
inline constexpr SignatureDomain kWitness{"witness", 14};    ///< root and witness key, certificate
inline constexpr SignatureDomain kGovernance{"governance", 16};         ///< governor of a ledger
inline constexpr SignatureDomain kLedgerRequest{"ledger-request", 17};  ///< operator to coordinator
inline constexpr SignatureDomain kLogKey{"log-key", 18};        ///< old and new key of a log
inline constexpr SignatureDomain kAuditSeed{"audit-seed", 15};  ///< what an epoch's seed is made of

inline constexpr std::array kAll{
    kCertificate,   kChannel,     kEnvelope,   kReducerChunk, kCommit,          kEntryBody,
    kReceiptWindow, kCountersign, kAssignment, kComplaint,    kCheckpointShard, kRevocation,
    kRecovery,      kWitness,     kAuditSeed,  kGovernance,   kLedgerRequest,   kLogKey};
}  // namespace domains

namespace internal {
consteval bool domains_are_distinct() {
  for (std::size_t i = 0; i < domains::kAll.size(); ++i) {
    for (std::size_t j = i + 1; j < domains::kAll.size(); ++j) {
      if (domains::kAll[i].type == domains::kAll[j].type) return false;
      if (domains::kAll[i].name == domains::kAll[j].name) return false;
    }
  }
  return true;
}
}  // namespace internal
static_assert(internal::domains_are_distinct());

}  // namespace coshard::crypto
