// A keyed permutation of 0..count-1 that needs no table: a Feistel network over the next power of
// four, walked until the value falls inside (cycle walking; Black and Rogaway, CT-RSA 2002). The
// order of data of one pass (design 3.1). Pure.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "protocol/base/check.h"
#include "protocol/base/rng.h"

namespace coshard::shard {

class KeyedPermutation {
 public:
  /// One permutation for each (seed, pass). 0 < count <= 2^62.
  KeyedPermutation(std::uint64_t seed, std::uint64_t pass, std::uint64_t count)
      : seed_(seed), pass_(pass), count_(count) {
    COSHARD_CHECK_OP(count, >, 0u);
    COSHARD_CHECK_OP(count, <=, std::uint64_t{1} << 62);
    while ((std::uint64_t{1} << (2 * half_bits_)) < count) ++half_bits_;
  }

  /// The image of index < count. At most four walks on average.
  std::uint64_t operator()(std::uint64_t index) const {
    COSHARD_CHECK_OP(index, <, count_);
    do {
      index = mix(index);
    } while (index >= count_);
    return index;
  }

 private:
  static constexpr std::uint32_t kRounds = 8;

  std::uint64_t mix(std::uint64_t value) const {
    const std::uint64_t mask = (std::uint64_t{1} << half_bits_) - 1;
    std::uint64_t left = value >> half_bits_, right = value & mask;
    for (std::uint32_t round = 0; round < kRounds; ++round) {
      const auto words = philox(seed_, PhiloxBlock{static_cast<std::uint32_t>(right), round,
                                                   static_cast<std::uint32_t>(pass_),
                                                   static_cast<std::uint32_t>(pass_ >> 32)});
      const std::uint64_t next = left ^ (words[0] & mask);
      left = right;
      right = next;
    }
    return left << half_bits_ | right;
  }

  std::uint64_t seed_, pass_, count_;
  std::uint32_t half_bits_ = 1;
};

}  // namespace coshard::shard
