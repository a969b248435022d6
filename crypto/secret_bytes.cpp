// SPDX-License-Identifier: Apache-2.0
#include "crypto/secret_bytes.h"

#include <sodium.h>

#include <algorithm>

#include "crypto/sodium_init.h"
#include "protocol/base/check.h"

namespace coshard::crypto {

SecretBytes::SecretBytes(std::size_t size) : size_(size) {
  ensure_sodium();
  bytes_ = static_cast<std::uint8_t*>(sodium_malloc(std::max<std::size_t>(size, 1)));
  COSHARD_CHECK(bytes_ != nullptr);
}

SecretBytes SecretBytes::copy_of(ByteView bytes) {
  SecretBytes out(bytes.size());
  std::copy(bytes.begin(), bytes.end(), out.bytes_);
  return out;
}

SecretBytes& SecretBytes::operator=(SecretBytes&& other) noexcept {
  std::swap(bytes_, other.bytes_);
  std::swap(size_, other.size_);
  return *this;
}

SecretBytes::~SecretBytes() { sodium_free(bytes_); }

void wipe(std::span<std::uint8_t> bytes) { sodium_memzero(bytes.data(), bytes.size()); }

}  // namespace coshard::crypto
