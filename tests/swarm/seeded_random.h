// Chance that a seed repeats: while an object of this class lives, libsodium draws from it, so
// keys, nonces and secrets are the same in every run of the test. One at a time; one thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace coshard::test {

class SeededRandom {
 public:
  explicit SeededRandom(std::uint64_t seed);
  ~SeededRandom();  ///< libsodium asks the kernel again
  SeededRandom(const SeededRandom&) = delete;
  SeededRandom& operator=(const SeededRandom&) = delete;
};

}  // namespace coshard::test
