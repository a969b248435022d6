// SPDX-License-Identifier: Apache-2.0
#include "crypto/identity.h"

#include <algorithm>

#include "crypto/hash.h"
#include "crypto/signed_payload.h"
#include "protocol/base/check.h"

namespace coshard::crypto {
namespace {

constexpr std::uint8_t kOwnerVersion = 1;
constexpr std::size_t kOwnerBytes = 1 + 3 * 32 + 8;
constexpr std::uint8_t kBoxVersion = 2;
constexpr std::size_t kBoxBytes = 1 + 2 * 32 + NodeCertificate::kEncodedBytes;

/// A secret of a key that is valid, once more: secrets move and are never copied by accident.
KeyPair copy_of(const KeyPair& key) { return std::move(*KeyPair::from_seed(key.seed())); }
CurveKeyPair copy_of(const CurveKeyPair& key) {
  return std::move(*CurveKeyPair::from_secret(key.secret()));
}

template <std::size_t N>
std::array<std::uint8_t, N> take(ByteView& bytes) {
  const auto field = to_array<N>(bytes.first(N));
  bytes = bytes.subspan(N);
  return *field;
}

Bytes channel_payload(const ChannelBinding& binding, ChannelBinding::Side side) {
  Bytes payload;
  payload.push_back(static_cast<std::uint8_t>(side));
  append(payload, binding.client_curve);
  append(payload, binding.server_curve);
  append(payload, binding.client_nonce);
  append(payload, binding.server_nonce);
  return payload;
}

}  // namespace

AccountId account_id(const PublicKey& root_public) {
  return AccountId{domain_hash("coshard/account/v1", {root_public})};
}

Bytes NodeCertificate::signed_part() const {
  Bytes out;
  out.reserve(kEncodedBytes);
  append(out, root_public);
  append(out, operating_public);
  append(out, curve_public);
  put_be<std::uint64_t>(out, serial);
  return out;
}

Bytes NodeCertificate::encode() const {
  Bytes out = signed_part();
  append(out, root_signature);
  append(out, operating_signature);
  return out;
}

Result<NodeCertificate> NodeCertificate::decode(ByteView bytes) {
  if (bytes.size() != kEncodedBytes) {
    return fail(ErrorCode::kInvalidArgument, "a certificate of " + std::to_string(kEncodedBytes) +
                                                 " bytes was expected, found " +
                                                 std::to_string(bytes.size()));
  }
  NodeCertificate out;
  out.root_public = take<32>(bytes);
  out.operating_public = take<32>(bytes);
  out.curve_public = take<32>(bytes);
  out.serial = get_be<std::uint64_t>(take<8>(bytes));
  out.root_signature = take<64>(bytes);
  out.operating_signature = take<64>(bytes);
  return out;
}

Result<void> NodeCertificate::verify() const {
  if (!is_valid_public_key(root_public) || !is_valid_public_key(operating_public)) {
    return fail(ErrorCode::kPermissionDenied, "certificate names a key that is no valid point");
  }
  if (root_public == operating_public) {
    return fail(ErrorCode::kPermissionDenied, "certificate uses one key as root and as operator");
  }
  const Bytes payload = signed_part();
  if (!verify_payload(root_public, domains::kCertificate, kNoNetwork, payload, root_signature)) {
    return fail(ErrorCode::kPermissionDenied, "certificate is not signed by its root key");
  }
  if (!verify_payload(operating_public, domains::kCertificate, kNoNetwork, payload,
                      operating_signature)) {
    return fail(ErrorCode::kPermissionDenied, "certificate is not signed by its operating key");
  }
  return {};
}

Identity::Identity(KeyPair root, KeyPair operating, CurveKeyPair curve, std::uint64_t serial)
    : root_(std::move(root)), operating_(std::move(operating)), curve_(std::move(curve)) {
  certificate_.root_public = root_->public_key();
  certificate_.operating_public = operating_.public_key();
  certificate_.curve_public = curve_.public_key();
  certificate_.serial = serial;
  const Bytes payload = certificate_.signed_part();
  certificate_.root_signature = sign_payload(*root_, domains::kCertificate, kNoNetwork, payload);
  certificate_.operating_signature =
      sign_payload(operating_, domains::kCertificate, kNoNetwork, payload);
}

Identity Identity::generate(std::uint64_t serial) {
  return Identity(KeyPair::generate(), KeyPair::generate(), CurveKeyPair::generate(), serial);
}

Identity::Identity(KeyPair operating, CurveKeyPair curve, const NodeCertificate& certificate)
    : operating_(std::move(operating)), curve_(std::move(curve)), certificate_(certificate) {}

/// A node that no certificate named yet: its first one.
Identity Identity::with_fresh_keys() const {
  return Identity(copy_of(root()), KeyPair::generate(), CurveKeyPair::generate(), 1);
}

Identity Identity::without_root() const {
  return Identity(copy_of(operating_), copy_of(curve_), certificate_);
}

const KeyPair& Identity::root() const {
  COSHARD_CHECK(root_.has_value());
  return *root_;
}

SecretBytes Identity::encode_secret() const {
  SecretBytes out(root_ ? kOwnerBytes : kBoxBytes);
  auto to = out.writable().begin();
  const auto put = [&to](ByteView part) { to = std::copy(part.begin(), part.end(), to); };
  *to++ = root_ ? kOwnerVersion : kBoxVersion;
  if (root_) put(root_->seed());
  put(operating_.seed());
  put(curve_.secret());
  if (!root_) {
    put(certificate_.encode());
    return out;
  }
  for (int shift = 56; shift >= 0; shift -= 8) {
    *to++ = static_cast<std::uint8_t>(certificate_.serial >> shift);
  }
  return out;
}

Result<Identity> Identity::decode_secret(ByteView secret) {
  if (secret.size() == kBoxBytes && secret[0] == kBoxVersion) return decode_box(secret);
  if (secret.size() != kOwnerBytes || secret[0] != kOwnerVersion) {
    return fail(ErrorCode::kCorruption,
                "an identity of version 1, or a box's of version 2, was expected in the key file");
  }
  COSHARD_ASSIGN(KeyPair root, KeyPair::from_seed(secret.subspan(1, 32)));
  COSHARD_ASSIGN(KeyPair operating, KeyPair::from_seed(secret.subspan(33, 32)));
  COSHARD_ASSIGN(CurveKeyPair curve, CurveKeyPair::from_secret(secret.subspan(65, 32)));
  return Identity(std::move(root), std::move(operating), std::move(curve),
                  get_be<std::uint64_t>(secret.subspan(97, 8)));
}

Result<Identity> Identity::decode_box(ByteView secret) {
  COSHARD_ASSIGN(KeyPair operating, KeyPair::from_seed(secret.subspan(1, 32)));
  COSHARD_ASSIGN(CurveKeyPair curve, CurveKeyPair::from_secret(secret.subspan(33, 32)));
  COSHARD_ASSIGN(const NodeCertificate certificate, NodeCertificate::decode(secret.subspan(65)));
  if (certificate.operating_public != operating.public_key() ||
      certificate.curve_public != curve.public_key()) {
    return fail(ErrorCode::kCorruption,
                "the key file's certificate was expected to name its keys, found others");
  }
  if (const auto sound = certificate.verify(); !sound) {
    return fail(ErrorCode::kCorruption, "key file: " + sound.error().message);
  }
  return Identity(std::move(operating), std::move(curve), certificate);
}

Signature sign_channel(const KeyPair& operating, const NetworkId& network,
                       const ChannelBinding& binding, ChannelBinding::Side side) {
  return sign_payload(operating, domains::kChannel, network, channel_payload(binding, side));
}

bool verify_channel(const PublicKey& operating, const NetworkId& network,
                    const ChannelBinding& binding, ChannelBinding::Side side,
                    const Signature& signature) {
  return verify_payload(operating, domains::kChannel, network, channel_payload(binding, side),
                        signature);
}

}  // namespace coshard::crypto
