// SPDX-License-Identifier: Apache-2.0
#include "crypto/keys.h"

#include <sodium.h>

#include "crypto/random.h"
#include "crypto/sodium_init.h"

namespace coshard::crypto {

static_assert(kSeedBytes == crypto_sign_SEEDBYTES);
static_assert(sizeof(PublicKey) == crypto_sign_PUBLICKEYBYTES);
static_assert(sizeof(Signature) == crypto_sign_BYTES);

KeyPair::KeyPair(ByteView seed) : secret_(crypto_sign_SECRETKEYBYTES) {
  crypto_sign_seed_keypair(public_key_.data(), secret_.writable().data(), seed.data());
}

KeyPair KeyPair::generate() {
  SecretBytes seed(kSeedBytes);
  random_fill(seed.writable());
  return KeyPair(seed.view());
}

Result<KeyPair> KeyPair::from_seed(ByteView seed) {
  if (seed.size() != kSeedBytes) {
    return fail(ErrorCode::kInvalidArgument,
                "a key seed of 32 bytes was expected, found " + std::to_string(seed.size()));
  }
  return KeyPair(seed);
}

Signature KeyPair::sign(ByteView message) const {
  Signature signature;
  crypto_sign_detached(signature.data(), nullptr, message.data(), message.size(),
                       secret_.view().data());
  return signature;
}

bool is_valid_public_key(const PublicKey& key) {
  ensure_sodium();
  return crypto_core_ed25519_is_valid_point(key.data()) == 1;
}

bool verify(const PublicKey& key, ByteView message, const Signature& signature) {
  ensure_sodium();
  return crypto_sign_verify_detached(signature.data(), message.data(), message.size(),
                                     key.data()) == 0;
}

}  // namespace coshard::crypto
