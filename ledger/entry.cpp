// SPDX-License-Identifier: Apache-2.0
#include "ledger/entry.h"

#include "crypto/hash.h"
#include "crypto/signed_payload.h"

namespace coshard::ledger {
namespace {

/// A body on the wire: the leaf is bytes of its own, so that its type can be read first.
struct BodyFrame {
  LeafType type{};
  NodeId author;
  std::uint64_t sequence = 0;
  Bytes leaf;
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
Result<Leaf> decode_leaf(LeafType type, ByteView bytes) {
  if constexpr (I < std::variant_size_v<Leaf>) {
    using Alternative = std::variant_alternative_t<I, Leaf>;
    if (Alternative::kType != type) return decode_leaf<I + 1>(type, bytes);
    COSHARD_ASSIGN(Alternative leaf, decode<Alternative>(bytes));
    return Leaf(std::move(leaf));
  } else {
    return fail(ErrorCode::kInvalidArgument,
                "unknown leaf type " + std::to_string(static_cast<std::uint32_t>(type)));
  }
}

}  // namespace

std::string_view to_string(LeafType type) {
  switch (type) {
    case LeafType::kGenesis:
      return "genesis";
    case LeafType::kIdentityRegister:
      return "identity_register";
    case LeafType::kIdentityRevoke:
      return "identity_revoke";
    case LeafType::kEpochOpen:
      return "epoch_open";
    case LeafType::kEpochClose:
      return "epoch_close";
    case LeafType::kWorkBatch:
      return "work_batch";
    case LeafType::kCredit:
      return "credit";
    case LeafType::kCreditPost:
      return "credit_post";
    case LeafType::kCheckpointRecord:
      return "checkpoint_record";
    case LeafType::kRollback:
      return "rollback";
    case LeafType::kBurn:
      return "burn";
  }
  return "unknown";
}

std::string_view to_string(Role role) {
  constexpr std::array<std::string_view, kRoles> kNames{"compute", "data", "design", "treasury"};
  const auto index = static_cast<std::size_t>(role);
  return index < kRoles ? kNames[index] : "unknown";
}

LeafType type_of(const Leaf& leaf) {
  return std::visit([](const auto& alternative) { return alternative.kType; }, leaf);
}

Bytes encode_body(const Body& body) {
  BodyFrame frame;
  frame.type = type_of(body.leaf);
  frame.author = body.author;
  frame.sequence = body.sequence;
  frame.leaf = std::visit([](const auto& alternative) { return encode(alternative); }, body.leaf);
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

Result<void> verify_signatures(const NodeId& author, const NetworkId& network, ByteView body,
                               const std::vector<EntrySignature>& signatures) {
  if (signatures.empty() || signatures.front().key_id != author.bytes) {
    return fail(ErrorCode::kPermissionDenied, "entry is not signed by its author");
  }
  for (const EntrySignature& one : signatures) {
    if (!crypto::verify_payload(one.key_id, crypto::domains::kEntryBody, network, body,
                                one.signature)) {
      return fail(ErrorCode::kPermissionDenied,
                  "entry has a false signature by " + to_hex(one.key_id).substr(0, 8));
    }
  }
  return {};
}

Result<LedgerEntry> decode_entry(ByteView bytes) {
  if (bytes.size() > limits::kEntryBytesMax) {
    return fail(ErrorCode::kInvalidArgument,
                "an entry of at most " + std::to_string(limits::kEntryBytesMax) +
                    " bytes was expected, found " + std::to_string(bytes.size()));
  }
  return decode<LedgerEntry>(bytes);
}

Hash event_id(const Body& body) {
  Bytes numbers;
  put_be<std::uint32_t>(numbers, static_cast<std::uint32_t>(type_of(body.leaf)));
  put_be<std::uint64_t>(numbers, body.sequence);
  return crypto::domain_hash("coshard/event/v1", {body.author.view(), numbers});
}

}  // namespace coshard::ledger
