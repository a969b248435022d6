// Ledger entries: a leaf, who claims it, his signature over the exact bytes, and the place in the
// log. Pure; any thread. Bytes: FORMAT.md.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "crypto/keys.h"
#include "ledger/leaves.h"
#include "protocol/base/ids.h"
#include "protocol/base/limits.h"

namespace coshard::ledger {

/// What an author signs: which leaf, in which place of his own sequence.
struct Body {
  NodeId author;
  std::uint64_t sequence = 0;  ///< the coordinator's: 1, 2, 3 …; a node's: work_batch_sequence()
  Leaf leaf;
  bool operator==(const Body&) const = default;
};

/// A body's bytes with signatures: what a node sends to be admitted.
struct SignedBody {
  Bytes body;
  std::vector<EntrySignature> signatures;
  bool operator==(const SignedBody&) const = default;
  template <class Codec, class Self>
  static void fields(Codec& codec, Self& self) {
    codec(1, self.body);
    codec(2, self.signatures);
  }
};

/// One leaf of the tree: index and time are the sequencer's, the body is the author's.
struct LedgerEntry {
  std::uint32_t version = 1;
  LogIndex index;
  std::uint64_t seq_ms = 0;  ///< wall clock, informational
  Bytes body;
  std::vector<EntrySignature> signatures;
  bool operator==(const LedgerEntry&) const = default;
  template <class Codec, class Self>
  static void fields(Codec& codec, Self& self) {
    codec(1, self.version);
    codec(2, self.index);
    codec(3, self.seq_ms);
    codec(4, self.body);
    codec(5, self.signatures);
  }
};

/// The canonical bytes of the leaf alone, without its type.
Bytes encode_leaf(const Leaf& leaf);
/// kInvalidArgument: unknown type, malformed, or not canonical.
Result<Leaf> decode_leaf(LeafType type, ByteView bytes);

Bytes encode_body(const Body& body);
/// kInvalidArgument: malformed, unknown type, or not canonical.
Result<Body> decode_body(ByteView bytes);

/// Encodes and signs a body with the author's key.
SignedBody sign_body(const crypto::KeyPair& author, const NetworkId& network,
                     std::uint64_t sequence, const Leaf& leaf);

/// kPermissionDenied unless the first signature is by `author` and no key signs twice.
Result<void> check_signers(const NodeId& author, const std::vector<EntrySignature>& signatures);

/// check_signers, and every signature verifies. kPermissionDenied otherwise.
Result<void> verify_signatures(const NodeId& author, const NetworkId& network, ByteView body,
                               const std::vector<EntrySignature>& signatures);

/// A body whose signatures were verified, so that the one thread that appends need not do it.
class VerifiedBody {
 public:
  /// Any thread. kInvalidArgument: malformed or not canonical; else as verify_signatures.
  static Result<VerifiedBody> verify(SignedBody body, const NetworkId& network);

  const SignedBody& signed_body() const { return signed_; }
  const Body& body() const { return body_; }
  const NetworkId& network() const { return network_; }  ///< that the signatures name

 private:
  VerifiedBody(SignedBody body, Body parsed, const NetworkId& network)
      : signed_(std::move(body)), body_(std::move(parsed)), network_(network) {}
  SignedBody signed_;
  Body body_;
  NetworkId network_;
};

/// kInvalidArgument also for more than limits::kEntryBytesMax.
Result<LedgerEntry> decode_entry(ByteView bytes);

/// SHA-256("coshard/event/v1" || 0x00 || author || u32be type || u64be sequence): an event happens
/// once.
Hash event_id(const Body& body);

/// What governors sign of a ParamChange or RoleGrants: the leaf without their signatures.
template <class Governed>
Bytes governed_bytes(Governed leaf) {
  leaf.governors.clear();
  return encode(leaf);
}

/// A change of the log's key as both keys sign it.
LogKeyRotate sign_log_key_rotate(const crypto::KeyPair& old_key, const crypto::KeyPair& new_key,
                                 const NetworkId& network, std::uint64_t until);
/// What they sign: new key || u64be until.
Bytes log_key_payload(const LogKeyRotate& leaf);

/// A node's sequence number for its one batch of a stage and epoch.
constexpr std::uint64_t work_batch_sequence(LedgerEpoch epoch, StageIndex stage) {
  return epoch.value * limits::kStagesMax + stage.value + 1;
}

}  // namespace coshard::ledger
