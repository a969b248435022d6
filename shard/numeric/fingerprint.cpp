// See fingerprint.h.
// SPDX-License-Identifier: Apache-2.0
#include "shard/numeric/fingerprint.h"

#include <bit>
#include <cstddef>

#include "protocol/base/bytes.h"
#include "protocol/base/check.h"

namespace coshard::shard {

FingerprintKey fingerprint_key(const std::array<std::uint8_t, 16>& key) {
  const ByteView view(key);
  return {get_le<std::uint64_t>(view.first(8)), get_le<std::uint64_t>(view.subspan(8))};
}

FingerprintLanes fingerprint_part(const FingerprintKey& key, std::uint64_t parameter,
                                  std::uint64_t first, std::span<const float> values) {
  COSHARD_CHECK_OP(first % 4, ==, 0u);
  FingerprintLanes lanes;
  const auto bits = [&](std::size_t i) {
    return i < values.size() ? std::bit_cast<std::uint32_t>(values[i]) : 0U;
  };
  std::uint64_t group = first / 4;
  PhiloxWords words = fingerprint_words(key, parameter, group);
  for (std::size_t i = 0; i < values.size(); i += 4) {
    const PhiloxWords next = fingerprint_words(key, parameter, ++group);
    lanes.add(fingerprint_lanes({bits(i), bits(i + 1), bits(i + 2), bits(i + 3)}, words, next));
    words = next;
  }
  return lanes;
}

Fingerprint to_fingerprint(const FingerprintLanes& lanes) {
  Fingerprint out{};
  for (std::size_t i = 0; i < 8; ++i) {
    out[i] = static_cast<std::uint8_t>(lanes.a >> (8 * i));
    out[8 + i] = static_cast<std::uint8_t>(lanes.b >> (8 * i));
  }
  return out;
}

}  // namespace coshard::shard
