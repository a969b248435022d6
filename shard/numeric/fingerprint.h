// Keyed 128-bit fingerprint of parameters, computed where the tensor lives. Two NH hashes (Black et
// al., "UMAC", CRYPTO '99) over groups of four fp32 bit patterns: the one-time words of group g
// come from Philox under the commit's key, block g of the parameter's stream for lane a, the same
// words shifted by two (Toeplitz) for lane b; all groups add up modulo 2^64. So any order, split or
// parallel schedule gives the same value, and the cut into stages does not matter.
//
// Bound: were Philox's words uniform and independent, two different stages of weights would agree
// with probability at most 2^-32 per lane, 2^-64 in all, for a key chosen after the weights. It
// finds drift, bit flips and lost updates. It is not a MAC: Philox is not a cryptographic function
// and the key is public once the commit is; where somebody might forge, checkpoints and joins use
// SHA-256.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>

#include "protocol/base/commit_scalars.h"
#include "shard/numeric/philox.h"

namespace coshard::shard {

/// The commit's 16 key bytes as two little-endian words: Philox's key and what is mixed into its
/// stream.
struct FingerprintKey {
  std::uint64_t a, b;
};

/// Partial fingerprint of any set of groups; partial ones add up.
struct FingerprintLanes {
  std::uint64_t a = 0, b = 0;
  COSHARD_HOST_DEVICE void add(const FingerprintLanes& more) {
    a += more.a;
    b += more.b;
  }
  bool operator==(const FingerprintLanes&) const = default;
};

COSHARD_HOST_DEVICE inline std::uint64_t fingerprint_nh(const PhiloxWords& x,
                                                        const PhiloxWords& k) {
  return static_cast<std::uint64_t>(x.w0 + k.w0) * (x.w1 + k.w1) +
         static_cast<std::uint64_t>(x.w2 + k.w2) * (x.w3 + k.w3);
}

/// The one-time words of a group; lane b takes its last two from those of the next group.
COSHARD_HOST_DEVICE inline PhiloxWords fingerprint_words(const FingerprintKey& key,
                                                         std::uint64_t parameter,
                                                         std::uint64_t group) {
  return philox_words(key.a, group, key.b ^ parameter);
}

/// The part of one group whose words, and those of the next group, are known.
COSHARD_HOST_DEVICE inline FingerprintLanes fingerprint_lanes(const PhiloxWords& bits,
                                                              const PhiloxWords& words,
                                                              const PhiloxWords& next) {
  FingerprintLanes lanes;
  lanes.a = fingerprint_nh(bits, words);
  lanes.b = fingerprint_nh(bits, {words.w2, words.w3, next.w0, next.w1});
  return lanes;
}

/// The part of elements 4 * group .. 4 * group + 3 of a parameter, given as fp32 bit patterns; a
/// missing tail element counts as 0.
COSHARD_HOST_DEVICE inline FingerprintLanes fingerprint_group(const FingerprintKey& key,
                                                              std::uint64_t parameter,
                                                              std::uint64_t group,
                                                              const PhiloxWords& bits) {
  return fingerprint_lanes(bits, fingerprint_words(key, parameter, group),
                           fingerprint_words(key, parameter, group + 1));
}

FingerprintKey fingerprint_key(const std::array<std::uint8_t, 16>& key);

/// Elements [first, first + values.size()) of the parameter with that global index. `first` is a
/// multiple of 4.
FingerprintLanes fingerprint_part(const FingerprintKey& key, std::uint64_t parameter,
                                  std::uint64_t first, std::span<const float> values);

/// Lane a, then lane b, little-endian.
Fingerprint to_fingerprint(const FingerprintLanes& lanes);

}  // namespace coshard::shard
