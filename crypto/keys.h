// Ed25519 key pairs, and the strictness that keeps every validator of one opinion (reference
// ledger.md 4.1). Any thread; a KeyPair is immutable.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>

#include "crypto/secret_bytes.h"
#include "protocol/base/error.h"

namespace coshard::crypto {

using PublicKey = std::array<std::uint8_t, 32>;
using Signature = std::array<std::uint8_t, 64>;
inline constexpr std::size_t kSeedBytes = 32;

/// A signing key. The secret half lives in SecretBytes for as long as this object does.
class KeyPair {
 public:
  static KeyPair generate();
  /// The key of a 32-byte seed (RFC 8032); kInvalidArgument for another size.
  static Result<KeyPair> from_seed(ByteView seed);

  const PublicKey& public_key() const { return public_key_; }
  /// Signs raw bytes. Everything but C2SP notes goes through sign_payload (signed_payload.h), which
  /// adds a domain.
  Signature sign(ByteView message) const;
  /// The 32 bytes to keep in a secret file.
  ByteView seed() const { return secret_.view().first(kSeedBytes); }

 private:
  explicit KeyPair(ByteView seed);
  SecretBytes secret_;  // seed || public key, as the library wants it
  PublicKey public_key_{};
};

/// True for a canonical encoding of a point of prime order: asked of every key at registration.
bool is_valid_public_key(const PublicKey& key);

/// True when `signature` over `message` verifies. The key is one that passed
/// is_valid_public_key when it was registered.
bool verify(const PublicKey& key, ByteView message, const Signature& signature);

}  // namespace coshard::crypto
