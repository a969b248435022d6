// The low-level OpenSSL calls: EVP fetches the algorithm for each message, which costs more than
// hashing a tree node.
// SPDX-License-Identifier: Apache-2.0
#define OPENSSL_SUPPRESS_DEPRECATED
#include "crypto/hash.h"

#include <openssl/sha.h>

#include <new>

namespace coshard::crypto {
namespace {

SHA256_CTX* context(std::byte* state) { return std::launder(reinterpret_cast<SHA256_CTX*>(state)); }

}  // namespace

Sha256::Sha256() {
  static_assert(sizeof(SHA256_CTX) <= sizeof(state_) && alignof(SHA256_CTX) <= 16);
  SHA256_Init(new (state_) SHA256_CTX);
}

Sha256& Sha256::update(ByteView bytes) {
  SHA256_Update(context(state_), bytes.data(), bytes.size());
  return *this;
}

Hash Sha256::finish() {
  Hash digest;
  SHA256_Final(digest.data(), context(state_));
  SHA256_Init(context(state_));
  return digest;
}

Hash sha256(ByteView bytes) { return Sha256().update(bytes).finish(); }

Hash domain_hash(std::string_view domain, std::initializer_list<ByteView> parts) {
  static constexpr std::uint8_t kNul[1] = {0};
  Sha256 hasher;
  hasher.update(as_bytes(domain)).update(kNul);
  for (const ByteView part : parts) hasher.update(part);
  return hasher.finish();
}

}  // namespace coshard::crypto
