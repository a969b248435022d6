// SPDX-License-Identifier: Apache-2.0
#include "tests/swarm/seeded_random.h"

#include <sodium.h>

#include <optional>

#include "crypto/sodium_init.h"
#include "protocol/base/check.h"
#include "protocol/base/rng.h"

namespace coshard::test {

namespace {

std::optional<Rng>& source() {
  static std::optional<Rng> rng;
  return rng;
}

std::uint32_t draw() { return static_cast<std::uint32_t>((*source())()); }

void fill(void* const out, const std::size_t size) {
  auto* bytes = static_cast<std::uint8_t*>(out);
  for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::uint8_t>(draw());
}

const char* name() { return "seeded"; }

randombytes_implementation seeded{name, draw, nullptr, nullptr, fill, nullptr};

}  // namespace

SeededRandom::SeededRandom(std::uint64_t seed) {
  crypto::ensure_sodium();
  COSHARD_CHECK(!source().has_value());
  source().emplace(seed);
  randombytes_set_implementation(&seeded);
}

SeededRandom::~SeededRandom() {
  randombytes_set_implementation(&randombytes_sysrandom_implementation);
  source().reset();
}

}  // namespace coshard::test
