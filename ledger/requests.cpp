// SPDX-License-Identifier: Apache-2.0
#include "ledger/requests.h"

#include <algorithm>

#include "crypto/signed_payload.h"

namespace coshard::ledger {
namespace {

/// Signed by its author, who is not the coordinator as such.
bool is_signed_kind(LeafType type) {
  switch (type) {
    case LeafType::kWorkBatch:
    case LeafType::kAuditVerdict:
    case LeafType::kUnitTransfer:
    case LeafType::kBond:
    case LeafType::kBondRelease:
    case LeafType::kRecoveryName:
    case LeafType::kRecoveryClaim:
    case LeafType::kRecoveryFinish:
      return true;
    default:
      return false;
  }
}

/// Carries signatures of roots or governors; the coordinator only writes it down.
bool is_loose_kind(LeafType type) {
  switch (type) {
    case LeafType::kIdentityRegister:
    case LeafType::kIdentityRevoke:
    case LeafType::kKeyRotate:
    case LeafType::kWitnessRegister:
    case LeafType::kParamChange:
    case LeafType::kRoleGrants:
      return true;
    default:
      return false;
  }
}

/// Said by the coordinator on its operator's word. What training decides is not among them.
bool is_operator_kind(LeafType type) {
  switch (type) {
    case LeafType::kCreditVoid:
    case LeafType::kPenalty:
    case LeafType::kRevenueReported:
    case LeafType::kCorrection:
    case LeafType::kSettle:
    case LeafType::kPayoutInitiated:
    case LeafType::kPayoutFinal:
    case LeafType::kStateSnapshot:
      return true;
    default:
      return is_loose_kind(type);
  }
}

tl::unexpected<Error> not_asked_for(LeafType type) {
  return fail(ErrorCode::kPermissionDenied,
              "an entry of kind " + std::string(to_string(type)) +
                  " cannot be asked for in this way: only its author says it");
}

LooseLeaf loosen(const Leaf& leaf) { return {type_of(leaf), encode_leaf(leaf)}; }

Result<Asked> read_signed(SignedBody body, const NetworkId& network) {
  COSHARD_ASSIGN(VerifiedBody verified, VerifiedBody::verify(std::move(body), network));
  const LeafType type = type_of(verified.body().leaf);
  if (!is_signed_kind(type)) return not_asked_for(type);
  return Asked(std::move(verified));
}

Result<Asked> read_loose(const LooseLeaf& loose) {
  if (!is_loose_kind(loose.type)) return not_asked_for(loose.type);
  COSHARD_ASSIGN(Leaf leaf, decode_leaf(loose.type, loose.leaf));
  return Asked(std::move(leaf));
}

Result<Asked> read_operator(OperatorRequest request, const NetworkId& network,
                            const crypto::PublicKey& operating) {
  const crypto::Signature signature = std::exchange(request.signature, {});
  if (!crypto::verify_payload(operating, crypto::domains::kLedgerRequest, network, encode(request),
                              signature)) {
    return fail(ErrorCode::kPermissionDenied,
                "the request is not signed with this coordinator's operating key");
  }
  if (request.leaves.empty() || request.leaves.size() > kRequestLeavesMax) {
    return fail(ErrorCode::kInvalidArgument,
                "a request of 1 to " + std::to_string(kRequestLeavesMax) +
                    " entries was expected, found " + std::to_string(request.leaves.size()));
  }
  OperatorLeaves out{request.since, {}};
  for (const LooseLeaf& one : request.leaves) {
    if (!is_operator_kind(one.type)) return not_asked_for(one.type);
    COSHARD_ASSIGN(Leaf leaf, decode_leaf(one.type, one.leaf));
    out.leaves.push_back(std::move(leaf));
  }
  return Asked(std::move(out));
}

}  // namespace

Result<Asked> read_request(ByteView bytes, const NetworkId& network,
                           const crypto::PublicKey& operating) {
  if (bytes.size() > kRequestBytesMax) {
    return fail(ErrorCode::kInvalidArgument,
                "a request of at most " + std::to_string(kRequestBytesMax) +
                    " bytes was expected, found " + std::to_string(bytes.size()));
  }
  COSHARD_ASSIGN(LedgerRequest request, decode<LedgerRequest>(bytes));
  if (request.network != network) {
    return fail(ErrorCode::kInvalidArgument, "a request to ledger " + network.short_hex() +
                                                 " was expected, found one to " +
                                                 request.network.short_hex());
  }
  const std::size_t parts =
      request.signed_bodies.size() + request.loose.size() + request.operators.size();
  if (parts != 1) {
    return fail(ErrorCode::kInvalidArgument, "one thing per request was expected");
  }
  if (!request.signed_bodies.empty()) {
    return read_signed(std::move(request.signed_bodies.front()), network);
  }
  if (!request.loose.empty()) return read_loose(request.loose.front());
  return read_operator(std::move(request.operators.front()), network, operating);
}

Result<VerifiedBody> read_work_batch(ByteView signed_batch, const NetworkId& network) {
  if (signed_batch.size() > limits::kEntryBytesMax) {
    return fail(ErrorCode::kInvalidArgument, "work batch is longer than an entry may be");
  }
  COSHARD_ASSIGN(SignedBody body, decode<SignedBody>(signed_batch));
  COSHARD_ASSIGN(VerifiedBody verified, VerifiedBody::verify(std::move(body), network));
  if (type_of(verified.body().leaf) != LeafType::kWorkBatch) {
    return fail(ErrorCode::kPermissionDenied, "nodes append work batches only");
  }
  return verified;
}

Bytes encode_request(const NetworkId& network, const SignedBody& body) {
  return encode(LedgerRequest{network, {body}, {}, {}});
}

Bytes encode_request(const NetworkId& network, const Leaf& leaf) {
  return encode(LedgerRequest{network, {}, {loosen(leaf)}, {}});
}

Bytes encode_request(const NetworkId& network, const crypto::KeyPair& operating, LogIndex since,
                     const std::vector<Leaf>& leaves) {
  OperatorRequest request{since, {}, {}};
  for (const Leaf& leaf : leaves) request.leaves.push_back(loosen(leaf));
  request.signature =
      crypto::sign_payload(operating, crypto::domains::kLedgerRequest, network, encode(request));
  return encode(LedgerRequest{network, {}, {}, {request}});
}

void RequestLimiter::refill(Allowance& allowance, std::uint64_t now_ms) {
  if (now_ms <= allowance.since_ms) return;  // clocks go back
  const std::uint64_t refills = (now_ms - allowance.since_ms) / kRefillMs;
  allowance.since_ms += refills * kRefillMs;
  allowance.used -= std::min(allowance.used, refills);
}

void RequestLimiter::forget_full(std::uint64_t now_ms) {
  for (auto& [account, allowance] : allowances_) refill(allowance, now_ms);
  std::erase_if(allowances_, [](const auto& one) { return one.second.used == 0; });
}

Result<void> RequestLimiter::check(const std::optional<AccountId>& account, std::uint64_t now_ms) {
  const auto found = allowances_.find(account);
  if (found == allowances_.end()) return {};
  refill(found->second, now_ms);
  if (found->second.used < kBurst) return {};
  return fail(ErrorCode::kResourceExhausted,
              "too many entries at once: try again in " + std::to_string(kRefillMs / 1000) + " s");
}

void RequestLimiter::charge(const std::optional<AccountId>& account, std::uint64_t now_ms) {
  if (allowances_.size() >= kAccountsMax) forget_full(now_ms);
  const bool is_full = allowances_.size() >= kAccountsMax && !allowances_.contains(account);
  Allowance& allowance = allowances_[is_full ? std::nullopt : account];
  if (allowance.used == 0) allowance.since_ms = now_ms;
  refill(allowance, now_ms);
  ++allowance.used;
}

}  // namespace coshard::ledger
