// Who a participant is: a root key that owns the account, an operating key that signs, a CURVE key
// that encrypts, each random on its own, and the certificate that ties them. Any thread; immutable.
// Bytes: crypto/README.md.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

#include "crypto/curve.h"
#include "crypto/keys.h"
#include "protocol/base/ids.h"

namespace coshard::crypto {

/// SHA-256("coshard/account/v1" || 0x00 || root public key).
AccountId account_id(const PublicKey& root_public);

/// "The owner of this root key operates under this signing key and this CURVE key." Signed by the
/// root, and by the operating key so that nobody certifies a key that is not his.
struct NodeCertificate {
  static constexpr std::size_t kEncodedBytes = 32 * 3 + 8 + 64 * 2;

  PublicKey root_public{};
  PublicKey operating_public{};
  CurveKey curve_public{};
  std::uint64_t serial = 0;  ///< grows with each certificate of one root: the newest counts
  Signature root_signature{};
  Signature operating_signature{};

  bool operator==(const NodeCertificate&) const = default;

  /// Exactly kEncodedBytes: root || operating || curve || u64be serial || both signatures.
  Bytes encode() const;
  /// Shape only; call verify() before believing it. kInvalidArgument for another size.
  static Result<NodeCertificate> decode(ByteView bytes);
  /// kPermissionDenied when a key is weak, two keys are the same, or a signature is false.
  Result<void> verify() const;

  AccountId account() const { return account_id(root_public); }
  NodeId node() const { return NodeId{operating_public}; }

 private:
  Bytes signed_part() const;
  friend class Identity;
};

/// The secret side of a certificate: the owner's, or a box's, which lacks the root's secret. A box
/// does everything that a node does; what moves units or replaces keys needs the owner's.
class Identity {
 public:
  /// Three fresh keys and their certificate.
  static Identity generate(std::uint64_t serial = 1);
  /// The same root with fresh operating and CURVE keys and their certificate; has_root() only.
  Identity with_fresh_keys() const;
  /// The same operating and CURVE keys and certificate, without the root's secret.
  Identity without_root() const;
  /// What encode_secret() wrote; kCorruption otherwise.
  static Result<Identity> decode_secret(ByteView secret);
  /// The payload of a key file (crypto/README.md).
  SecretBytes encode_secret() const;

  bool has_root() const { return root_.has_value(); }
  /// has_root() only.
  const KeyPair& root() const;
  const KeyPair& operating() const { return operating_; }
  const CurveKeyPair& curve() const { return curve_; }
  const NodeCertificate& certificate() const { return certificate_; }
  NodeId node() const { return certificate_.node(); }
  AccountId account() const { return certificate_.account(); }

 private:
  Identity(KeyPair root, KeyPair operating, CurveKeyPair curve, std::uint64_t serial);
  Identity(KeyPair operating, CurveKeyPair curve, const NodeCertificate& certificate);
  static Result<Identity> decode_box(ByteView secret);
  std::optional<KeyPair> root_;
  KeyPair operating_;
  CurveKeyPair curve_;
  NodeCertificate certificate_;
};

/// Both ends of an encrypted channel: what each signs with its operating key after the handshake,
/// so that a CURVE key cannot be passed off as another's (reference ledger.md 4.4).
struct ChannelBinding {
  enum class Side : std::uint8_t { kClient = 1, kServer = 2 };
  CurveKey client_curve{};
  CurveKey server_curve{};
  std::array<std::uint8_t, 32> client_nonce{};
  std::array<std::uint8_t, 32> server_nonce{};
};

/// `side` is the signer's own: a signature of one side is none of the other's.
Signature sign_channel(const KeyPair& operating, const NetworkId& network,
                       const ChannelBinding& binding, ChannelBinding::Side side);
bool verify_channel(const PublicKey& operating, const NetworkId& network,
                    const ChannelBinding& binding, ChannelBinding::Side side,
                    const Signature& signature);

}  // namespace coshard::crypto
