// SPDX-License-Identifier: Apache-2.0
#include "crypto/random.h"

#include <sodium.h>

#include "crypto/sodium_init.h"

namespace coshard::crypto {

void random_fill(std::span<std::uint8_t> out) {
  ensure_sodium();
  randombytes_buf(out.data(), out.size());
}

Bytes random_bytes(std::size_t count) {
  Bytes out(count);
  random_fill(out);
  return out;
}

std::uint64_t random_u64() { return get_le<std::uint64_t>(random_array<8>()); }

}  // namespace coshard::crypto
