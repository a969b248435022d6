// Randomness from the operating system: keys, nonces, salts. Never for training, which uses
// protocol/base/rng.h. Any thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "protocol/base/bytes.h"

namespace coshard::crypto {

void random_fill(std::span<std::uint8_t> out);
Bytes random_bytes(std::size_t count);
std::uint64_t random_u64();

template <std::size_t N>
std::array<std::uint8_t, N> random_array() {
  std::array<std::uint8_t, N> out;
  random_fill(out);
  return out;
}

}  // namespace coshard::crypto
