// Keyed 128-bit fingerprint of parameters, computed where the tensor lives. Two independent NH
// hashes (Black et al., "UMAC", CRYPTO '99) over groups of four fp32 bit patterns: the one-time
// words of a group come from Philox under the commit's key, with the group's number as counter and
// the parameter's global index as stream, and all groups add up modulo 2^64. So any order, split or
// parallel schedule gives the same value, and the cut into stages does not matter.
//
// Bound: were Philox's words uniform and independent, two different stages of weights would agree
// with probability at most 2^-32 per lane, 2^-64 in all, for a key chosen after the weights. It
// finds drift, bit flips and lost updates. It is not a MAC: Philox is not a cryptographic function
// and the key is public once the commit is; where somebody might forge, checkpoints and joins use
// SHA-256. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>

#include "protocol/base/commit_scalars.h"
#include "shard/numeric/philox.h"

namespace coshard::shard {

/// The commit's 16 key bytes as two little-endian words, one for each lane.
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

/// The part of elements 4 * group .. 4 * group + 3 of a parameter, given as fp32 bit patterns; a
/// missing tail element counts as 0.
COSHARD_HOST_DEVICE inline FingerprintLanes fingerprint_group(const FingerprintKey& key,
                                                              std::uint64_t parameter,
                                                              std::uint64_t group,
                                                              const PhiloxWords& bits) {
  FingerprintLanes lanes;
  lanes.a = fingerprint_nh(bits, philox_words(key.a, group, parameter));
  lanes.b = fingerprint_nh(bits, philox_words(key.b, group, ~parameter));
  return lanes;
}

FingerprintKey fingerprint_key(const std::array<std::uint8_t, 16>& key);

/// Elements [first, first + values.size()) of the parameter with that global index. `first` is a
/// multiple of 4.
FingerprintLanes fingerprint_part(const FingerprintKey& key, std::uint64_t parameter,
                                  std::uint64_t first, std::span<const float> values);

/// Lane a, then lane b, little-endian.
Fingerprint to_fingerprint(const FingerprintLanes& lanes);

}  // namespace coshard::shard
