// Counter-based generator (Philox4x32-10: Salmon et al., "Parallel random numbers: as easy as 1, 2,
// 3", SC'11): a value is a pure function of (key, counter), so any box derives any value without
// the ones before it. Nothing else in coshard makes chance, save keys and nonces (crypto/).
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>

#include "protocol/base/int128.h"

namespace coshard {

using PhiloxBlock = std::array<std::uint32_t, 4>;

/// Ten rounds of Philox4x32 of `counter` under the 64-bit `key`.
constexpr PhiloxBlock philox(std::uint64_t key, PhiloxBlock counter) {
  auto k0 = static_cast<std::uint32_t>(key);
  auto k1 = static_cast<std::uint32_t>(key >> 32);
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t p0 = std::uint64_t{0xD2511F53u} * counter[0];
    const std::uint64_t p1 = std::uint64_t{0xCD9E8D57u} * counter[2];
    counter = {
        static_cast<std::uint32_t>(p1 >> 32) ^ counter[1] ^ k0, static_cast<std::uint32_t>(p1),
        static_cast<std::uint32_t>(p0 >> 32) ^ counter[3] ^ k1, static_cast<std::uint32_t>(p0)};
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return counter;
}

/// The same with a 64-bit counter in two words and a 64-bit stream number in the others.
constexpr PhiloxBlock philox(std::uint64_t key, std::uint64_t counter, std::uint64_t stream) {
  return philox(
      key,
      PhiloxBlock{static_cast<std::uint32_t>(counter), static_cast<std::uint32_t>(counter >> 32),
                  static_cast<std::uint32_t>(stream), static_cast<std::uint32_t>(stream >> 32)});
}

/// A sequential generator over the counters of one key: simulation, back-off, tests. Satisfies
/// std::uniform_random_bit_generator. One thread.
class Rng {
 public:
  using result_type = std::uint64_t;
  explicit constexpr Rng(std::uint64_t seed, std::uint64_t stream = 0)
      : seed_(seed), stream_(stream) {}
  static constexpr result_type min() { return 0; }
  static constexpr result_type max() { return ~std::uint64_t{0}; }
  constexpr result_type operator()() {
    const PhiloxBlock block = philox(seed_, counter_++, stream_);
    return std::uint64_t{block[1]} << 32 | block[0];
  }
  /// Uniform in [0, bound), bound > 0, by Lemire's multiplication (bias below 2^-64 * bound).
  constexpr std::uint64_t below(std::uint64_t bound) {
    return static_cast<std::uint64_t>((static_cast<uint128_t>((*this)()) * bound) >> 64);
  }
  /// Uniform in [0, 1).
  constexpr double unit() { return static_cast<double>((*this)() >> 11) * 0x1.0p-53; }

 private:
  std::uint64_t seed_;
  std::uint64_t stream_;
  std::uint64_t counter_ = 0;
};

}  // namespace coshard
