// The fake model of the virtual round: every tensor is one 64-bit number and every result depends
// on everything that should have gone into it, so a lost, doubled, misrouted or stale input shows
// in
// the parameters. Pure functions.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bit>
#include <cstdint>
#include <initializer_list>
#include <vector>

#include "protocol/base/bytes.h"
#include "protocol/base/commit_scalars.h"
#include "protocol/base/ids.h"

namespace coshard::simtest {

using Parameters = std::vector<std::uint64_t>;  ///< of one stage: a number per chunk

inline std::uint64_t mix(std::initializer_list<std::uint64_t> words) {
  std::uint64_t state = 0x9E3779B97F4A7C15u;
  for (const std::uint64_t word : words) {
    state = (state ^ word) * 0xBF58476D1CE4E5B9u;  // splitmix64's finaliser
    state ^= state >> 29;
    state *= 0x94D049BB133111EBu;
    state ^= state >> 32;
  }
  return state;
}
inline std::uint64_t hash_of(const Parameters& parameters) {
  std::uint64_t hash = parameters.size();
  for (const std::uint64_t value : parameters) hash = mix({hash, value});
  return hash;
}
inline Parameters initial(std::uint64_t seed, std::uint32_t stage, std::uint32_t chunks) {
  Parameters parameters;
  for (std::uint32_t chunk = 0; chunk < chunks; ++chunk)
    parameters.push_back(mix({seed, stage, chunk}));
  return parameters;
}
inline std::uint64_t tokens_in(std::uint64_t seed, StepId step, MicrobatchIndex microbatch) {
  return mix({seed, step.value, microbatch.value, 0xA});
}
inline std::uint64_t forward_of(std::uint64_t input, const Parameters& parameters) {
  return mix({input, hash_of(parameters), 0xF});
}
/// `gradient`: of the output; the last stage has none and takes 0.
inline std::uint64_t backward_of(std::uint64_t input, const Parameters& parameters,
                                 std::uint64_t gradient) {
  return mix({input, hash_of(parameters), gradient, 0xB});
}
inline double loss_of(std::uint64_t input) { return static_cast<double>(input % 1000); }
/// Gradient of one microbatch over one chunk: small, so that sums over microbatches are exact.
inline std::uint64_t chunk_gradient(std::uint64_t backward, std::uint32_t chunk) {
  return mix({backward, chunk}) % 100'000;
}
inline void update(Parameters& parameters, const std::vector<std::uint64_t>& sums, StepId step) {
  for (std::size_t chunk = 0; chunk < parameters.size(); ++chunk)
    parameters[chunk] = mix({parameters[chunk], sums[chunk], step.value});
}
inline Fingerprint fingerprint_of(const Parameters& parameters,
                                  const std::array<std::uint8_t, 16>& key) {
  Fingerprint digest{};
  std::uint64_t hash = hash_of(parameters);
  for (std::size_t i = 0; i < digest.size(); ++i) {
    hash = mix({hash, key[i]});
    digest[i] = static_cast<std::uint8_t>(hash);
  }
  return digest;
}
inline Hash file_hash_of(const Parameters& parameters, StepId step) {
  Hash out{};
  std::uint64_t hash = mix({hash_of(parameters), step.value});
  for (auto& byte : out) byte = static_cast<std::uint8_t>(hash = mix({hash}));
  return out;
}

}  // namespace coshard::simtest
