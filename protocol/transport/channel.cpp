// SPDX-License-Identifier: Apache-2.0
#include "protocol/transport/channel.h"

#include "crypto/signed_payload.h"

namespace coshard::transport {
namespace {

using crypto::ChannelBinding;
using Side = ChannelBinding::Side;

constexpr std::string_view kMagic = "cshl";
constexpr std::uint8_t kChannelVersion = 1;

enum class HelloType : std::uint8_t {
  kOffer = 1,
  kAnswer = 2,
  kConfirm = 3,
  kReady = 4,
  kRefused = 5
};

Bytes encode(HelloType type, std::initializer_list<ByteView> parts) {
  Bytes bytes = to_bytes(as_bytes(kMagic));
  bytes.push_back(kChannelVersion);
  bytes.push_back(static_cast<std::uint8_t>(type));
  for (const ByteView part : parts) append(bytes, part);
  return bytes;
}

struct Hello {
  std::uint8_t version = 0;
  HelloType type{};
  ByteView body;
};

std::optional<Hello> decode(ByteView bytes) {
  if (bytes.size() < kMagic.size() + 2 || bytes.size() > kHelloBytesMax) return std::nullopt;
  if (as_text(bytes.first(kMagic.size())) != kMagic) return std::nullopt;
  return Hello{bytes[4], static_cast<HelloType>(bytes[5]), bytes.subspan(6)};
}

template <class Array>
Array take(ByteView& bytes) {
  Array out;
  std::memcpy(out.data(), bytes.data(), out.size());
  bytes = bytes.subspan(out.size());
  return out;
}

tl::unexpected<Error> out_of_turn() {
  return fail(ErrorCode::kInvalidArgument,
              "channel: expected the next hello of the opening, found "
              "something malformed or out of turn");
}

}  // namespace

std::string_view to_string(ChannelRefusal refusal) {
  switch (refusal) {
    case ChannelRefusal::kVersion:
      return "it speaks another version of the channel";
    case ChannelRefusal::kIdentity:
      return "our id and transport key do not belong together there";
    case ChannelRefusal::kSignature:
      return "our proof did not hold";
    case ChannelRefusal::kNotAdmitted:
      return "we are not admitted";
    case ChannelRefusal::kFull:
      return "it has no room for more peers";
    case ChannelRefusal::kUnproved:
      return "it has forgotten this connection";
  }
  return "it gave no reason that we know";
}

Bytes encode_refusal(ChannelRefusal refusal) {
  const auto code = static_cast<std::uint8_t>(refusal);
  return encode(HelloType::kRefused, {ByteView(&code, 1)});
}

ChannelClient::ChannelClient(const crypto::Identity& self, const NodeId& server,
                             const crypto::CurveKey& server_curve, const ChannelNonce& nonce)
    : self_(self), server_(server) {
  binding_.client_curve = self.curve().public_key();
  binding_.server_curve = server_curve;
  binding_.client_nonce = nonce;
}

Bytes ChannelClient::offer() const {
  return encode(HelloType::kOffer, {self_.node().view(), binding_.client_nonce});
}

Result<ChannelStep> ChannelClient::on(ByteView bytes) {
  const auto hello = decode(bytes);
  if (!hello) return out_of_turn();
  if (hello->type == HelloType::kRefused && hello->body.size() == 1) {
    const auto refusal = static_cast<ChannelRefusal>(hello->body[0]);
    return fail(ErrorCode::kPermissionDenied,
                "the peer refused the channel: " + std::string(to_string(refusal)));
  }
  if (hello->version != kChannelVersion) return out_of_turn();
  if (state_ == State::kOffered && hello->type == HelloType::kAnswer &&
      hello->body.size() == 32 + 32 + 64) {
    ByteView body = hello->body;
    const NodeId found{take<Hash>(body)};
    binding_.server_nonce = take<ChannelNonce>(body);
    const auto signature = take<crypto::Signature>(body);
    if (found != server_ || !crypto::verify_channel(server_.bytes, crypto::kNoNetwork, binding_,
                                                    Side::kServer, signature)) {
      return fail(ErrorCode::kPermissionDenied, "channel: expected node " + server_.short_hex() +
                                                    " to prove itself, found " + found.short_hex() +
                                                    " without that proof");
    }
    state_ = State::kConfirmed;
    const auto proof =
        crypto::sign_channel(self_.operating(), crypto::kNoNetwork, binding_, Side::kClient);
    return ChannelStep{encode(HelloType::kConfirm, {proof}), false};
  }
  if (state_ == State::kConfirmed && hello->type == HelloType::kReady && hello->body.empty()) {
    state_ = State::kProved;
    return ChannelStep{{}, true};
  }
  return out_of_turn();
}

ChannelServer::ChannelServer(const crypto::Identity& self, const crypto::CurveKey& client_curve,
                             std::optional<NodeId> registered, const ChannelNonce& nonce)
    : self_(self), registered_(registered) {
  binding_.client_curve = client_curve;
  binding_.server_curve = self.curve().public_key();
  binding_.server_nonce = nonce;
}

tl::unexpected<Error> ChannelServer::refuse(ChannelRefusal refusal, ErrorCode code,
                                            std::string_view why) {
  refusal_ = refusal;
  return fail(code, "channel: " + std::string(why));
}

Result<ChannelStep> ChannelServer::on(ByteView bytes) {
  const auto hello = decode(bytes);
  if (hello && hello->version != kChannelVersion) {
    return refuse(ChannelRefusal::kVersion, ErrorCode::kInvalidArgument,
                  "expected version 1, found " + std::to_string(hello->version));
  }
  if (hello && state_ == State::kFresh && hello->type == HelloType::kOffer &&
      hello->body.size() == 32 + 32) {
    return on_offer(hello->body);
  }
  if (hello && state_ == State::kAnswered && hello->type == HelloType::kConfirm &&
      hello->body.size() == 64) {
    return on_confirm(hello->body);
  }
  refusal_ = ChannelRefusal::kUnproved;
  return out_of_turn();
}

Result<ChannelStep> ChannelServer::on_offer(ByteView body) {
  client_ = NodeId{take<Hash>(body)};
  binding_.client_nonce = take<ChannelNonce>(body);
  if (registered_ && *registered_ != client_) {
    return refuse(ChannelRefusal::kIdentity, ErrorCode::kPermissionDenied,
                  "the transport key belongs to " + registered_->short_hex() + ", claimed by " +
                      client_.short_hex());
  }
  if (client_ == self_.node() || !crypto::is_valid_public_key(client_.bytes)) {
    return refuse(ChannelRefusal::kIdentity, ErrorCode::kPermissionDenied,
                  "the claimed id is ours or no sound key");
  }
  state_ = State::kAnswered;
  const auto proof =
      crypto::sign_channel(self_.operating(), crypto::kNoNetwork, binding_, Side::kServer);
  return ChannelStep{
      encode(HelloType::kAnswer, {self_.node().view(), binding_.server_nonce, proof}), false};
}

Result<ChannelStep> ChannelServer::on_confirm(ByteView body) {
  const auto proof = take<crypto::Signature>(body);
  if (!crypto::verify_channel(client_.bytes, crypto::kNoNetwork, binding_, Side::kClient, proof)) {
    return refuse(ChannelRefusal::kSignature, ErrorCode::kPermissionDenied,
                  "the proof of " + client_.short_hex() + " does not hold");
  }
  state_ = State::kProved;
  return ChannelStep{encode(HelloType::kReady, {}), true};
}

}  // namespace coshard::transport
