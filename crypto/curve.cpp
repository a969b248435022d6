// SPDX-License-Identifier: Apache-2.0
#include "crypto/curve.h"

#include <sodium.h>

#include "crypto/random.h"

namespace coshard::crypto {

CurveKeyPair::CurveKeyPair(ByteView secret) : secret_(SecretBytes::copy_of(secret)) {
  crypto_scalarmult_base(public_key_.data(), secret_.view().data());
}

CurveKeyPair CurveKeyPair::generate() {
  SecretBytes secret(crypto_box_SECRETKEYBYTES);
  random_fill(secret.writable());
  return CurveKeyPair(secret.view());
}

Result<CurveKeyPair> CurveKeyPair::from_secret(ByteView secret) {
  if (secret.size() != crypto_box_SECRETKEYBYTES) {
    return fail(ErrorCode::kInvalidArgument,
                "a CURVE secret of 32 bytes was expected, found " + std::to_string(secret.size()));
  }
  return CurveKeyPair(secret);
}

}  // namespace coshard::crypto
