// SPDX-License-Identifier: Apache-2.0
#include "crypto/aead.h"

#include <sodium.h>

#include "crypto/sodium_init.h"
#include "protocol/base/check.h"

namespace coshard::crypto {

static_assert(kAeadKeyBytes == crypto_aead_xchacha20poly1305_ietf_KEYBYTES);
static_assert(kAeadTagBytes == crypto_aead_xchacha20poly1305_ietf_ABYTES);
static_assert(sizeof(AeadNonce) == crypto_aead_xchacha20poly1305_ietf_NPUBBYTES);

Bytes aead_seal(ByteView key, const AeadNonce& nonce, ByteView associated, ByteView plain) {
  ensure_sodium();
  COSHARD_CHECK_OP(key.size(), ==, kAeadKeyBytes);
  Bytes sealed(plain.size() + kAeadTagBytes);
  crypto_aead_xchacha20poly1305_ietf_encrypt(sealed.data(), nullptr, plain.data(), plain.size(),
                                             associated.data(), associated.size(), nullptr,
                                             nonce.data(), key.data());
  return sealed;
}

Result<SecretBytes> aead_open(ByteView key, const AeadNonce& nonce, ByteView associated,
                              ByteView sealed) {
  ensure_sodium();
  COSHARD_CHECK_OP(key.size(), ==, kAeadKeyBytes);
  if (sealed.size() < kAeadTagBytes) {
    return fail(ErrorCode::kPermissionDenied, "sealed bytes are shorter than their tag");
  }
  SecretBytes plain(sealed.size() - kAeadTagBytes);
  if (crypto_aead_xchacha20poly1305_ietf_decrypt(
          plain.writable().data(), nullptr, nullptr, sealed.data(), sealed.size(),
          associated.data(), associated.size(), nonce.data(), key.data()) != 0) {
    return fail(ErrorCode::kPermissionDenied, "sealed bytes do not open under this key");
  }
  return plain;
}

}  // namespace coshard::crypto
