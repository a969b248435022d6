// What others may ask a running coordinator to append: entries that owners and nodes have signed,
// leaves that carry the signatures that they need, and what the operator himself says. Pure. Bytes:
// FORMAT.md.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>
#include <variant>
#include <vector>

#include "ledger/entry.h"
#include "protocol/base/clock.h"

namespace coshard::ledger {

/// A leaf without an author: whoever may say it does.
struct LooseLeaf {
  LeafType type{};
  Bytes leaf;
  bool operator==(const LooseLeaf&) const = default;
  template <class Codec, class Self>
  static void fields(Codec& codec, Self& self) {
    codec(1, self.type);
    codec(2, self.leaf);
  }
};

/// Leaves that the operator wants said, in order, signed with the coordinator's operating key in
/// the domain "ledger-request". An equal leaf that the coordinator said at `since` or later counts
/// as this one, so that a request may be repeated, by whomever, and nothing happens twice.
struct OperatorRequest {
  LogIndex since;  ///< entries of the log when the operator made up his mind
  std::vector<LooseLeaf> leaves;
  crypto::Signature signature{};  ///< over the rest, with none here
  bool operator==(const OperatorRequest&) const = default;
  template <class Codec, class Self>
  static void fields(Codec& codec, Self& self) {
    codec(1, self.since);
    codec(2, self.leaves);
    codec(3, self.signature);
  }
};

/// One of three; the others are empty.
struct LedgerRequest {
  NetworkId network;
  std::vector<SignedBody> signed_bodies;   ///< at most one: an owner's or a node's entry
  std::vector<LooseLeaf> loose;            ///< at most one: it carries its own signatures
  std::vector<OperatorRequest> operators;  ///< at most one
  bool operator==(const LedgerRequest&) const = default;
  template <class Codec, class Self>
  static void fields(Codec& codec, Self& self) {
    codec(1, self.network);
    codec(2, self.signed_bodies);
    codec(3, self.loose);
    codec(4, self.operators);
  }
};

/// What a request asks for, once it is known to be well formed and of a kind that may be asked.
/// Whether the ledger accepts it is for Accounts to say.
struct OperatorLeaves {
  LogIndex since;
  std::vector<Leaf> leaves;
};
using Asked = std::variant<VerifiedBody, Leaf, OperatorLeaves>;

/// Any thread: verifies signatures, which is what costs time. kInvalidArgument: malformed, too
/// long, or of another network. kPermissionDenied: a kind of leaf that nobody may ask for in this
/// way, an entry with a false signature, or a request of the operator that is not signed with
/// `operating`.
Result<Asked> read_request(ByteView bytes, const NetworkId& network,
                           const crypto::PublicKey& operating);

/// A node's batch as the coordinator gets it from the network: the same, of a work batch only.
Result<VerifiedBody> read_work_batch(ByteView signed_batch, const NetworkId& network);

Bytes encode_request(const NetworkId& network, const SignedBody& body);
Bytes encode_request(const NetworkId& network, const Leaf& leaf);
/// Signs as the operator. At most kRequestLeavesMax leaves.
Bytes encode_request(const NetworkId& network, const crypto::KeyPair& operating, LogIndex since,
                     const std::vector<Leaf>& leaves);

inline constexpr std::size_t kRequestLeavesMax = 256;
inline constexpr std::size_t kRequestBytesMax = std::size_t{256} << 10;

/// Keeps those who are not the operator from filling the log: an allowance of entries per account
/// that refills with time, and one for all who have no part in the ledger together. One thread at a
/// time.
class RequestLimiter {
 public:
  static constexpr std::uint64_t kBurst = 32;          ///< entries of one account at once
  static constexpr std::uint64_t kRefillMs = 10'000;   ///< for one more
  static constexpr std::size_t kAccountsMax = 65'536;  ///< remembered; the fullest are forgotten

  /// kResourceExhausted, with the seconds to wait, when nothing of the account's allowance is left;
  /// nullopt means somebody without a part.
  Result<void> check(const std::optional<AccountId>& account, std::uint64_t now_ms);
  /// The account has appended an entry.
  void charge(const std::optional<AccountId>& account, std::uint64_t now_ms);

 private:
  struct Allowance {
    std::uint64_t used = 0;      ///< entries
    std::uint64_t since_ms = 0;  ///< until when refills were counted
  };
  void forget_full(std::uint64_t now_ms);
  static void refill(Allowance& allowance, std::uint64_t now_ms);

  std::map<std::optional<AccountId>, Allowance> allowances_;
};

}  // namespace coshard::ledger
