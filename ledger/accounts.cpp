// The fold itself: order, signatures, idempotency, conservation.
// SPDX-License-Identifier: Apache-2.0
#include "ledger/accounts.h"

#include <algorithm>

#include "crypto/signed_payload.h"
#include "ledger/refusal.h"
#include "protocol/base/check.h"

namespace coshard::ledger {
const NodeTotal* EpochState::find_total(StageIndex stage, const NodeId& node) const {
  const auto found = std::find_if(
      close.totals.begin(), close.totals.end(),
      [&](const NodeTotal& total) { return total.stage == stage && total.node == node; });
  return found == close.totals.end() ? nullptr : &*found;
}

Balance Accounts::balance(const AccountId& account) const {
  const auto found = balances_.find(account);
  if (found == balances_.end()) return {};
  Balance out = found->second;
  static_cast<PoolShare&>(out) = pool_.settled(out);
  return out;
}

const Registration* Accounts::find_node(const NodeId& node) const {
  const auto found = nodes_.find(node);
  return found == nodes_.end() ? nullptr : &found->second;
}

LogIndex Accounts::covering_checkpoint() const {
  return checkpoints_.empty() ? LogIndex{} : checkpoints_.rbegin()->first;
}

const EpochState* Accounts::find_epoch(LedgerEpoch epoch) const {
  return epoch.value < epochs_.size() ? &epochs_[epoch.value] : nullptr;
}

bool Accounts::is_over() const {
  if (finished_ || !genesis_) return finished_;
  return open_.empty() && covered_step_.value >= genesis_->total_steps;
}

namespace {

enum class Author : std::uint8_t { kCoordinator, kNode, kOwner, kRecoveryKey };

/// Who signs a kind of entry. A work batch may also be the coordinator's, for a node that is gone.
Author author_of(LeafType type) {
  switch (type) {
    case LeafType::kWorkBatch:
    case LeafType::kAuditVerdict:
      return Author::kNode;
    case LeafType::kUnitTransfer:
    case LeafType::kBond:
    case LeafType::kBondRelease:
    case LeafType::kRecoveryName:
    case LeafType::kRecoveryFinish:
      return Author::kOwner;
    case LeafType::kRecoveryClaim:
      return Author::kRecoveryKey;
    default:
      return Author::kCoordinator;
  }
}

}  // namespace

/// An entry that the coordinator says as such. His key may be an owner's or a node's too.
bool Accounts::is_coordinators(const NodeId& author, LeafType type) const {
  return author.bytes == genesis_->coordinator &&
         (author_of(type) == Author::kCoordinator || type == LeafType::kWorkBatch);
}

/// Every author counts his entries without a gap, so that nothing can be said twice; a node's
/// numbers follow from what it claims.
Result<void> Accounts::check_author(Context& context, LeafType type) const {
  const Author author = author_of(type);
  if (author == Author::kOwner) return check_owner(context, type);
  if (author == Author::kRecoveryKey) return {};  // the claim's own rule knows the key
  if (is_coordinators(context.author, type)) {
    if (context.sequence == coordinator_sequence_ + 1) return {};
    return refuse("entry " + std::to_string(coordinator_sequence_ + 1) +
                  " of the coordinator was expected, found " + std::to_string(context.sequence));
  }
  if (author == Author::kNode) return check_node_author(context);
  return fail(ErrorCode::kPermissionDenied, "author " + context.author.short_hex() +
                                                " may not append " + std::string(to_string(type)));
}

Result<void> Accounts::check_node_author(const Context& context) const {
  const Registration* node = find_node(context.author);
  if (node == nullptr) {
    return fail(ErrorCode::kPermissionDenied,
                "author " + context.author.short_hex() + " is not a registered node");
  }
  if (node->revoked && context.index >= *node->revoked) {
    return fail(ErrorCode::kPermissionDenied, "key " + context.author.short_hex() +
                                                  " is revoked from entry " +
                                                  std::to_string(node->revoked->value) + " on");
  }
  return {};
}

Result<void> Accounts::apply(LogIndex index, const LedgerEntry& entry, SignatureCheck signatures) {
  if (entry.version != 1 || entry.index != index || index.value != size_) {
    return fail(ErrorCode::kInvalidArgument,
                "entry of version 1 and index " + std::to_string(size_) + " was expected");
  }
  if (entry.seq_ms < seq_ms_) {
    return refuse("an entry is not older than the one before it");
  }
  COSHARD_ASSIGN(const Body body, decode_body(entry.body));
  const LeafType type = type_of(body.leaf);
  Context context{index, body.author, body.sequence, entry.seq_ms, &entry.signatures, {}};
  if ((type == LeafType::kGenesis) != (size_ == 0)) {
    return refuse("a log has exactly one genesis entry, the first");
  }
  COSHARD_TRY(check_signers(body.author, entry.signatures));
  if (signatures == SignatureCheck::kVerify) {
    const NetworkId network = size_ == 0 ? crypto::kNoNetwork : network_;
    COSHARD_TRY(verify_signatures(body.author, network, entry.body, entry.signatures));
  }
  if (size_ > 0) COSHARD_TRY(check_author(context, type));
  COSHARD_TRY(std::visit([&](const auto& leaf) { return on(context, leaf); }, body.leaf));
  // Applied: from here on nothing may fail.
  if (size_ == 0) network_ = crypto::network_id(encode(entry));
  if (is_coordinators(body.author, type)) coordinator_sequence_ = body.sequence;
  seq_ms_ = entry.seq_ms;
  ++size_;
  COSHARD_CHECK_OP(totals_.posted + totals_.pending + totals_.burnt + totals_.remaining, ==,
                   totals_.cap);
  COSHARD_CHECK_OP(totals_.posted, ==, pool_.units());
  COSHARD_CHECK(pool_.conserved());
  return {};
}

}  // namespace coshard::ledger
