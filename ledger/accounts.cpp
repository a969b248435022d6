// The fold itself: order, signatures, idempotency, conservation.
// SPDX-License-Identifier: Apache-2.0
#include "ledger/accounts.h"

#include <algorithm>

#include "crypto/hash.h"
#include "crypto/signed_payload.h"
#include "protocol/base/check.h"

namespace coshard::ledger {
namespace {

Result<void> refuse(const std::string& why) { return fail(ErrorCode::kFailedPrecondition, why); }

}  // namespace

const NodeTotal* EpochState::find_total(StageIndex stage, const NodeId& node) const {
  const auto found = std::find_if(
      close.totals.begin(), close.totals.end(),
      [&](const NodeTotal& total) { return total.stage == stage && total.node == node; });
  return found == close.totals.end() ? nullptr : &*found;
}

Balance Accounts::balance(const AccountId& account) const {
  const auto found = balances_.find(account);
  return found == balances_.end() ? Balance{} : found->second;
}

const Registration* Accounts::find_node(const NodeId& node) const {
  const auto found = nodes_.find(node);
  return found == nodes_.end() ? nullptr : &found->second;
}

const Accounts::Event* Accounts::find_event(const Hash& event) const {
  const auto found = events_.find(event);
  return found == events_.end() ? nullptr : &found->second;
}

LogIndex Accounts::covering_checkpoint() const {
  return checkpoints_.empty() ? LogIndex{} : checkpoints_.rbegin()->first;
}

const EpochState* Accounts::find_epoch(LedgerEpoch epoch) const {
  return epoch.value < epochs_.size() ? &epochs_[epoch.value] : nullptr;
}

/// The coordinator signs everything but a node's own work batch, and counts its entries without a
/// gap; a node's sequence number follows from what it claims.
Result<void> Accounts::check_author(const Context& context, LeafType type) const {
  if (context.author.bytes == genesis_->coordinator) {
    if (context.sequence == coordinator_sequence_ + 1) return {};
    return refuse("entry " + std::to_string(coordinator_sequence_ + 1) +
                  " of the coordinator was expected, found " + std::to_string(context.sequence));
  }
  const Registration* node = find_node(context.author);
  if (type != LeafType::kWorkBatch || node == nullptr) {
    return fail(
        ErrorCode::kPermissionDenied,
        "author " + context.author.short_hex() + " may not append " + std::string(to_string(type)));
  }
  if (node->revoked && context.index >= *node->revoked) {
    return fail(ErrorCode::kPermissionDenied, "key " + context.author.short_hex() +
                                                  " is revoked from entry " +
                                                  std::to_string(node->revoked->value) + " on");
  }
  return {};
}

Result<void> Accounts::apply(LogIndex index, const LedgerEntry& entry) {
  if (entry.version != 1 || entry.index != index || index.value != size_) {
    return fail(ErrorCode::kInvalidArgument,
                "entry of version 1 and index " + std::to_string(size_) + " was expected");
  }
  COSHARD_ASSIGN(const Body body, decode_body(entry.body));
  const LeafType type = type_of(body.leaf);
  const Context context{index, body.author, body.sequence};
  if ((type == LeafType::kGenesis) != (size_ == 0)) {
    return refuse("a log has exactly one genesis entry, the first");
  }
  const NetworkId network = size_ == 0 ? crypto::kNoNetwork : network_;
  COSHARD_TRY(verify_signatures(body.author, network, entry.body, entry.signatures));
  const Hash event = event_id(body);
  if (const Event* known = find_event(event)) {
    return refuse("this event is entry " + std::to_string(known->index.value) + " already");
  }
  if (size_ > 0) COSHARD_TRY(check_author(context, type));
  COSHARD_TRY(std::visit([&](const auto& leaf) { return on(context, leaf); }, body.leaf));
  // Applied: from here on nothing may fail.
  if (size_ == 0) network_ = crypto::network_id(encode(entry));
  if (body.author.bytes == genesis_->coordinator) coordinator_sequence_ = body.sequence;
  events_.emplace(event, Event{index, crypto::sha256(entry.body)});
  ++size_;
  check_conservation();
  return {};
}

void Accounts::check_conservation() const {
  std::uint64_t posted = 0;
  std::uint64_t pending = 0;
  for (const auto& [account, balance] : balances_) {
    posted += balance.posted;
    pending += balance.pending;
  }
  COSHARD_CHECK_OP(posted, ==, totals_.posted);
  COSHARD_CHECK_OP(pending, ==, totals_.pending);
  COSHARD_CHECK_OP(posted + pending + totals_.burnt + totals_.remaining, ==, totals_.cap);
}

namespace {

void put_registration(Bytes& out, const NodeId& node, const Registration& registration) {
  append(out, node.view());
  append(out, registration.certificate.encode());
  put_be<std::uint64_t>(out, registration.index.value);
  put_be<std::uint64_t>(out, registration.revoked ? registration.revoked->value + 1 : 0);
}

void put_sized(Bytes& out, ByteView bytes) {
  put_be<std::uint64_t>(out, bytes.size());
  append(out, bytes);
}

void put_epoch(Bytes& out, const EpochState& epoch) {
  put_sized(out, encode(epoch.close));
  put_be<std::uint64_t>(out, epoch.index.value);
  out.push_back(static_cast<std::uint8_t>(epoch.status));
  put_be<std::uint64_t>(out, epoch.batches.size());
  for (const auto& [stage, node] : epoch.batches) {
    put_be<std::uint32_t>(out, stage.value);
    append(out, node.view());
  }
  put_sized(out, encode(Credit{epoch.close.epoch, epoch.credit}));
}

}  // namespace

Bytes Accounts::serialize() const {
  Bytes out;
  put_be<std::uint64_t>(out, size_);
  append(out, network_.view());
  put_be<std::uint64_t>(out, coordinator_sequence_);
  put_be<std::uint64_t>(out, events_.size());
  for (const auto& [id, event] : events_) {
    append(out, id);
    put_be<std::uint64_t>(out, event.index.value);
    append(out, event.body_hash);
  }
  put_be<std::uint64_t>(out, nodes_.size());
  for (const auto& [node, registration] : nodes_) put_registration(out, node, registration);
  put_be<std::uint64_t>(out, open_.size());
  for (const OpenEpoch& open : open_) {
    put_be<std::uint64_t>(out, open.epoch.value);
    put_be<std::uint64_t>(out, open.first_step.value);
    put_be<std::uint64_t>(out, open.last_step.value);
  }
  put_be<std::uint64_t>(out, epochs_.size());
  for (const EpochState& epoch : epochs_) put_epoch(out, epoch);
  put_be<std::uint64_t>(out, committed_step_.value);
  put_be<std::uint64_t>(out, covered_step_.value);
  put_be<std::uint64_t>(out, checkpoints_.size());
  for (const auto& [index, step] : checkpoints_) {
    put_be<std::uint64_t>(out, index.value);
    put_be<std::uint64_t>(out, step.value);
  }
  out.push_back(finished_ ? 1 : 0);
  for (const std::uint64_t total :
       {totals_.cap, totals_.posted, totals_.pending, totals_.burnt, totals_.remaining}) {
    put_be<std::uint64_t>(out, total);
  }
  put_be<std::uint64_t>(out, balances_.size());
  for (const auto& [account, balance] : balances_) {
    append(out, account.view());
    put_be<std::uint64_t>(out, balance.posted);
    put_be<std::uint64_t>(out, balance.pending);
  }
  return out;
}

}  // namespace coshard::ledger
