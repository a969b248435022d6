// SPDX-License-Identifier: Apache-2.0
#include "ledger/entry.h"

#include <algorithm>

#include "crypto/hash.h"
#include "crypto/signed_payload.h"

namespace coshard::ledger {
namespace {

/// A body on the wire: the leaf is bytes of its own, so that its type can be read first.
struct BodyFrame {
  LeafType type{};
  NodeId author;
  std::uint64_t sequence = 0;
  ByteView leaf;  // of the bytes that are decoded, or outlives the encoding
  template <class Codec, class Self>
  static void fields(Codec& codec, Self& self) {
    codec(1, self.type);
    codec(2, self.author);
    codec(3, self.sequence);
    codec(4, self.leaf);
  }
};

/// Decodes `bytes` as the alternative of Leaf whose kType is `type`.
template <std::size_t I = 0>
Result<Leaf> decode_from(LeafType type, ByteView bytes) {
  if constexpr (I < std::variant_size_v<Leaf>) {
    using Alternative = std::variant_alternative_t<I, Leaf>;
    if (Alternative::kType != type) return decode_from<I + 1>(type, bytes);
    COSHARD_ASSIGN(Alternative leaf, decode<Alternative>(bytes));
    return Leaf(std::move(leaf));
  } else {
    return fail(ErrorCode::kInvalidArgument,
                "unknown leaf type " + std::to_string(static_cast<std::uint32_t>(type)));
  }
}

}  // namespace

namespace {

/// By LeafType, from 1 on.
constexpr std::array<std::string_view, 32> kTypeNames{"genesis",
                                                      "identity_register",
                                                      "identity_revoke",
                                                      "epoch_open",
                                                      "epoch_close",
                                                      "work_batch",
                                                      "credit",
                                                      "credit_post",
                                                      "checkpoint_record",
                                                      "rollback",
                                                      "burn",
                                                      "key_rotate",
                                                      "witness_register",
                                                      "recovery_name",
                                                      "recovery_claim",
                                                      "recovery_finish",
                                                      "param_change",
                                                      "role_grants",
                                                      "seed_reveal",
                                                      "audit_verdict",
                                                      "credit_void",
                                                      "unit_transfer",
                                                      "bond",
                                                      "bond_release",
                                                      "penalty",
                                                      "revenue_reported",
                                                      "correction",
                                                      "settle",
                                                      "payout_initiated",
                                                      "payout_final",
                                                      "state_snapshot",
                                                      "log_key_rotate"};
static_assert(kTypeNames.size() == std::variant_size_v<Leaf>);

}  // namespace

std::string_view to_string(LeafType type) {
  const auto place = static_cast<std::size_t>(type) - 1;
  return place < kTypeNames.size() ? kTypeNames[place] : "unknown";
}

std::string_view to_string(Role role) {
  constexpr std::array<std::string_view, kRoles> kNames{"compute", "data", "design", "treasury"};
  const auto index = static_cast<std::size_t>(role);
  return index < kRoles ? kNames[index] : "unknown";
}

Result<Leaf> decode_leaf(LeafType type, ByteView bytes) { return decode_from(type, bytes); }

Bytes encode_leaf(const Leaf& leaf) {
  return std::visit([](const auto& alternative) { return encode(alternative); }, leaf);
}

LeafType type_of(const Leaf& leaf) {
  return std::visit([](const auto& alternative) { return alternative.kType; }, leaf);
}

Bytes encode_body(const Body& body) {
  BodyFrame frame;
  frame.type = type_of(body.leaf);
  frame.author = body.author;
  frame.sequence = body.sequence;
  const Bytes leaf = encode_leaf(body.leaf);
  frame.leaf = leaf;
  return encode(frame);
}

Result<Body> decode_body(ByteView bytes) {
  COSHARD_ASSIGN(const BodyFrame frame, decode<BodyFrame>(bytes));
  COSHARD_ASSIGN(Leaf leaf, decode_leaf(frame.type, frame.leaf));
  return Body{frame.author, frame.sequence, std::move(leaf)};
}

SignedBody sign_body(const crypto::KeyPair& author, const NetworkId& network,
                     std::uint64_t sequence, const Leaf& leaf) {
  SignedBody out;
  out.body = encode_body(Body{NodeId{author.public_key()}, sequence, leaf});
  out.signatures.push_back(
      {author.public_key(),
       crypto::sign_payload(author, crypto::domains::kEntryBody, network, out.body)});
  return out;
}

Result<void> check_signers(const NodeId& author, const std::vector<EntrySignature>& signatures) {
  if (signatures.empty() || signatures.front().key_id != author.bytes) {
    return fail(ErrorCode::kPermissionDenied, "entry is not signed by its author");
  }
  for (auto one = signatures.begin(); one != signatures.end(); ++one) {
    if (std::any_of(signatures.begin(), one,
                    [&](const EntrySignature& other) { return other.key_id == one->key_id; })) {
      return fail(ErrorCode::kPermissionDenied, "entry is signed twice by one key");
    }
  }
  return {};
}

Result<void> verify_signatures(const NodeId& author, const NetworkId& network, ByteView body,
                               const std::vector<EntrySignature>& signatures) {
  COSHARD_TRY(check_signers(author, signatures));
  for (const EntrySignature& one : signatures) {
    if (!crypto::verify_payload(one.key_id, crypto::domains::kEntryBody, network, body,
                                one.signature)) {
      return fail(ErrorCode::kPermissionDenied,
                  "entry has a false signature by " + to_hex(one.key_id).substr(0, 8));
    }
  }
  return {};
}

Result<VerifiedBody> VerifiedBody::verify(SignedBody body, const NetworkId& network) {
  COSHARD_ASSIGN(Body parsed, decode_body(body.body));
  COSHARD_TRY(verify_signatures(parsed.author, network, body.body, body.signatures));
  return VerifiedBody(std::move(body), std::move(parsed), network);
}

Result<LedgerEntry> decode_entry(ByteView bytes) {
  if (bytes.size() > limits::kEntryBytesMax) {
    return fail(ErrorCode::kInvalidArgument,
                "an entry of at most " + std::to_string(limits::kEntryBytesMax) +
                    " bytes was expected, found " + std::to_string(bytes.size()));
  }
  return decode<LedgerEntry>(bytes);
}

Bytes log_key_payload(const LogKeyRotate& leaf) {
  Bytes out = to_bytes(leaf.key);
  put_be<std::uint64_t>(out, leaf.until);
  return out;
}

LogKeyRotate sign_log_key_rotate(const crypto::KeyPair& old_key, const crypto::KeyPair& new_key,
                                 const NetworkId& network, std::uint64_t until) {
  LogKeyRotate out{new_key.public_key(), until, {}, {}};
  const Bytes payload = log_key_payload(out);
  out.old_signature = crypto::sign_payload(old_key, crypto::domains::kLogKey, network, payload);
  out.new_signature = crypto::sign_payload(new_key, crypto::domains::kLogKey, network, payload);
  return out;
}

Hash event_id(const Body& body) {
  Bytes numbers;
  put_be<std::uint32_t>(numbers, static_cast<std::uint32_t>(type_of(body.leaf)));
  put_be<std::uint64_t>(numbers, body.sequence);
  return crypto::domain_hash("coshard/event/v1", {body.author.view(), numbers});
}

}  // namespace coshard::ledger
