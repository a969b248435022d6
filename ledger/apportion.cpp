// SPDX-License-Identifier: Apache-2.0
#include "ledger/apportion.h"

#include <algorithm>
#include <numeric>

#include "protocol/base/check.h"

namespace coshard::ledger {
namespace {

/// Weight of steps 1..step, in units that keep the total below 2^63.
///
/// Within a half life of h steps the weights are 2h, 2h-1, …, h+1; each following half life is the
/// same list halved. `scale_bits` shifts the first list up so that the later ones stay integers.
std::uint64_t weight_through(std::uint64_t half_life, std::uint64_t step) {
  const auto falling = [half_life](std::uint64_t count) {
    return uint128_t{2} * half_life * count - uint128_t{count} * (count - (count != 0)) / 2;
  };
  const uint128_t block = falling(half_life);
  int scale_bits = 0;
  while ((block << (scale_bits + 2)) < (uint128_t{1} << 63)) ++scale_bits;
  uint128_t total = 0;
  const std::uint64_t full = step / half_life;
  for (std::uint64_t i = 0; i < std::min<std::uint64_t>(full, 127); ++i) {
    total += (block << scale_bits) >> i;
  }
  if (full < 127) total += (falling(step % half_life) << scale_bits) >> full;
  return static_cast<std::uint64_t>(total);
}

}  // namespace

Quotient scale(std::uint64_t amount, uint128_t part, uint128_t whole) {
  COSHARD_CHECK(whole > 0 && part <= whole && whole >> 126 == 0);
  // Long multiplication, highest bit of the amount first, reduced at each bit: the product may
  // need 190 bits, the running remainder only 128.
  Quotient out;
  for (int bit = 63; bit >= 0; --bit) {
    uint128_t sum = out.remainder * 2 + ((amount >> bit & 1) != 0 ? part : 0);
    out.value *= 2;
    for (; sum >= whole; sum -= whole) ++out.value;
    out.remainder = sum;
  }
  return out;
}

std::vector<std::uint64_t> largest_remainder(std::uint64_t amount,
                                             std::span<const uint128_t> weights) {
  std::vector<std::uint64_t> shares(weights.size(), 0);
  const uint128_t whole = std::accumulate(weights.begin(), weights.end(), uint128_t{0});
  if (whole == 0) return shares;
  std::vector<uint128_t> remainders(weights.size());
  std::uint64_t left = amount;
  for (std::size_t i = 0; i < weights.size(); ++i) {
    const Quotient share = scale(amount, weights[i], whole);
    shares[i] = share.value;
    remainders[i] = share.remainder;
    left -= share.value;
  }
  std::vector<std::size_t> order(weights.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return remainders[a] > remainders[b]; });
  COSHARD_CHECK(left < weights.size());
  for (std::size_t i = 0; i < left; ++i) ++shares[order[i]];
  return shares;
}

std::uint64_t emitted_through(const Genesis& genesis, StepId step) {
  COSHARD_CHECK_OP(step.value, <=, genesis.total_steps);
  COSHARD_CHECK_OP(step.value, >=, genesis.steps_before);
  const std::uint64_t done = step.value - genesis.steps_before;
  const std::uint64_t all = genesis.total_steps - genesis.steps_before;
  if (genesis.half_life_steps == 0) return scale(genesis.unit_cap, done, all).value;
  return scale(genesis.unit_cap, weight_through(genesis.half_life_steps, done),
               weight_through(genesis.half_life_steps, all))
      .value;
}

std::uint64_t emission_of(const Genesis& genesis, StepId step) {
  COSHARD_CHECK_OP(step.value, >, 0u);
  return emitted_through(genesis, step) - emitted_through(genesis, StepId(step.value - 1));
}

}  // namespace coshard::ledger
