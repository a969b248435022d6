// Initial weights from a counter: value i of a parameter is a pure function of (seed, parameter
// name, i), so that neither the cut nor the number of boxes changes it, and exactly rounded
// operations alone make it the same on every platform. Nearly normal: the sum of eight 16-bit
// uniforms of one Philox block (Irwin-Hall), cut off at 4.9 deviations. Pure; any thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "shard/numeric/philox.h"

namespace coshard::shard {

/// FNV-1a, 64 bits: the Philox stream of a parameter's name.
std::uint64_t parameter_stream(std::string_view name);

/// 1 / the standard deviation of a sum of eight uniforms over 0..65535, i.e. 1 / sqrt(8 (2^32 - 1)
/// / 12).
inline constexpr double kInitialUnit = 0x1.3988e1412ed76p-16;

/// Value `index` of the stream, with mean 0 and standard deviation scale / kInitialUnit.
COSHARD_HOST_DEVICE inline float initial_value(std::uint64_t seed, std::uint64_t stream,
                                               std::uint64_t index, double scale) {
  const PhiloxWords words = philox_words(seed, index, stream);
  const auto halves = [](std::uint32_t word) { return (word & 0xFFFFU) + (word >> 16); };
  const std::uint32_t sum =
      halves(words.w0) + halves(words.w1) + halves(words.w2) + halves(words.w3);
  // The sum lies in 0..8 * 65535, so its distance from the mean 262140 is exact; one rounding to
  // double, one to float.
  return static_cast<float>((static_cast<double>(sum) - 262140.0) * scale);
}

/// Fills `out` with values first, first + 1, ... of the parameter `name`. `std` 0 fills with ones
/// (norm gains).
void initial_values(std::span<float> out, std::uint64_t seed, std::string_view name, double std,
                    std::uint64_t first = 0);

}  // namespace coshard::shard
