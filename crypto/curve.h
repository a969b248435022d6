// X25519 key pairs of the transport (CURVE): separate from the identity, certified by it, never
// derived from it. Any thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>

#include "crypto/secret_bytes.h"
#include "protocol/base/error.h"

namespace coshard::crypto {

using CurveKey = std::array<std::uint8_t, 32>;

/// A CURVE key pair; both halves are 32 binary bytes, as ZMQ_CURVE_* options take them.
class CurveKeyPair {
 public:
  static CurveKeyPair generate();
  /// The pair of a 32-byte secret; kInvalidArgument for another size.
  static Result<CurveKeyPair> from_secret(ByteView secret);

  const CurveKey& public_key() const { return public_key_; }
  ByteView secret() const { return secret_.view(); }

 private:
  explicit CurveKeyPair(ByteView secret);
  SecretBytes secret_;
  CurveKey public_key_{};
};

}  // namespace coshard::crypto
