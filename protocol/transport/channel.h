// The proof that opens every connection: CURVE says which transport key is at the other end; this
// says whose key that is. Both ends sign both CURVE keys and both nonces with their operating keys
// (reference ledger.md 4.4), so that nobody can pass off another's CURVE key as his own. Pure:
// bytes in, bytes out. Bytes: protocol/README.md.
// SPDX-License-Identifier: Apache-2.0
//
//   client                         server
//     |--- offer: id, nonce -------->|   the id must fit the CURVE key, if that is registered
//     |<-- answer: id, nonce, sig ---|
//     |--- confirm: sig ------------>|   proved
//     |<-- ready --------------------|   proved
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

#include "crypto/identity.h"
#include "protocol/base/error.h"
#include "protocol/base/ids.h"

namespace coshard::transport {

using ChannelNonce = std::array<std::uint8_t, 32>;

/// Longest hello there is; anything longer is none.
inline constexpr std::size_t kHelloBytesMax = 6 + 32 + 32 + 64;

/// Why a server ends a conversation; the numbers are part of the wire format.
enum class ChannelRefusal : std::uint8_t {
  kVersion = 1,
  kIdentity = 2,     ///< the id is not the one that the CURVE key is registered for
  kSignature = 3,    ///< the proof does not hold
  kNotAdmitted = 4,  ///< no (longer) a member
  kFull = 5,
  kUnproved = 6,  ///< a frame before the proof: start over
};
std::string_view to_string(ChannelRefusal refusal);
/// The hello that says so.
Bytes encode_refusal(ChannelRefusal refusal);

/// What to do after a hello from the other end.
struct ChannelStep {
  Bytes reply;          ///< empty: nothing to say
  bool proved = false;  ///< from now on frames flow
};

/// The dialling end. It knows whom it dials.
class ChannelClient {
 public:
  /// `self` outlives this object.
  ChannelClient(const crypto::Identity& self, const NodeId& server,
                const crypto::CurveKey& server_curve, const ChannelNonce& nonce);
  Bytes offer() const;
  /// kPermissionDenied: the other end is not who was dialled, or it refused us (the message says
  /// why). kInvalidArgument: malformed or out of turn. Either ends the connection.
  Result<ChannelStep> on(ByteView hello);

 private:
  enum class State { kOffered, kConfirmed, kProved };
  const crypto::Identity& self_;
  NodeId server_;
  crypto::ChannelBinding binding_;
  State state_ = State::kOffered;
};

/// The listening end of one connection. The CURVE key is what ZAP let in.
class ChannelServer {
 public:
  /// `registered`: the node that this CURVE key is registered for; nothing for a stranger.
  ChannelServer(const crypto::Identity& self, const crypto::CurveKey& client_curve,
                std::optional<NodeId> registered, const ChannelNonce& nonce);
  /// As ChannelClient::on; an error comes with `refusal()`, which the client should hear.
  Result<ChannelStep> on(ByteView hello);
  ChannelRefusal refusal() const { return refusal_; }
  /// The proved id; only after a step that said so.
  const NodeId& client() const { return client_; }

 private:
  enum class State { kFresh, kAnswered, kProved };
  tl::unexpected<Error> refuse(ChannelRefusal refusal, ErrorCode code, std::string_view why);
  Result<ChannelStep> on_offer(ByteView body);
  Result<ChannelStep> on_confirm(ByteView body);

  const crypto::Identity& self_;
  std::optional<NodeId> registered_;
  NodeId client_;
  crypto::ChannelBinding binding_;
  State state_ = State::kFresh;
  ChannelRefusal refusal_ = ChannelRefusal::kIdentity;
};

}  // namespace coshard::transport
