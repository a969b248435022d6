// Philox4x32-10 for kernels: the same function as protocol/base/rng.h (a test holds them equal),
// without standard library types, so that nvcc compiles it for the device. Pure.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "shard/numeric/exact_float.h"

namespace coshard::shard {

struct PhiloxWords {
  std::uint32_t w0, w1, w2, w3;
};

/// The block of `counter` in stream `stream` under `key`.
COSHARD_HOST_DEVICE inline PhiloxWords philox_words(std::uint64_t key, std::uint64_t counter,
                                                    std::uint64_t stream) {
  auto k0 = static_cast<std::uint32_t>(key);
  auto k1 = static_cast<std::uint32_t>(key >> 32);
  PhiloxWords c{static_cast<std::uint32_t>(counter), static_cast<std::uint32_t>(counter >> 32),
                static_cast<std::uint32_t>(stream), static_cast<std::uint32_t>(stream >> 32)};
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t p0 = std::uint64_t{0xD2511F53U} * c.w0;
    const std::uint64_t p1 = std::uint64_t{0xCD9E8D57U} * c.w2;
    c = {static_cast<std::uint32_t>(p1 >> 32) ^ c.w1 ^ k0, static_cast<std::uint32_t>(p1),
         static_cast<std::uint32_t>(p0 >> 32) ^ c.w3 ^ k1, static_cast<std::uint32_t>(p0)};
    k0 += 0x9E3779B9U;
    k1 += 0xBB67AE85U;
  }
  return c;
}

}  // namespace coshard::shard
