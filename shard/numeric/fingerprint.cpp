// See fingerprint.h. SPDX-License-Identifier: Apache-2.0
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
  std::uint64_t group = first / 4;
  const auto bits = [&](std::size_t i) {
    return i < values.size() ? std::bit_cast<std::uint32_t>(values[i]) : 0U;
  };
  for (std::size_t i = 0; i < values.size(); i += 4)
    lanes.add(fingerprint_group(key, parameter, group++,
                                {bits(i), bits(i + 1), bits(i + 2), bits(i + 3)}));
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
