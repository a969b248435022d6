// See init.h.
// SPDX-License-Identifier: Apache-2.0
#include "shard/numeric/init.h"

#include <algorithm>

namespace coshard::shard {

std::uint64_t parameter_stream(std::string_view name) {
  std::uint64_t hash = 0xcbf29ce484222325U;
  for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3U;
  return hash;
}

void initial_values(std::span<float> out, std::uint64_t seed, std::string_view name, double std,
                    std::uint64_t first) {
  if (std == 0) {
    std::fill(out.begin(), out.end(), 1.0F);
    return;
  }
  const std::uint64_t stream = parameter_stream(name);
  const double scale = std * kInitialUnit;
  for (float& value : out) value = initial_value(seed, stream, first++, scale);
}

}  // namespace coshard::shard
