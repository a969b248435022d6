// See reduce.h.
// SPDX-License-Identifier: Apache-2.0
#include "shard/numeric/reduce.h"

#include <algorithm>

#include "protocol/base/check.h"

namespace coshard::shard {

void sum_in_order(std::span<float> out, std::span<const std::span<const float>> contributions,
                  float scale) {
  COSHARD_CHECK(!contributions.empty());
  for (const auto& contribution : contributions)
    COSHARD_CHECK_OP(contribution.size(), ==, out.size());
  if (contributions[0].data() != out.data())
    std::copy(contributions[0].begin(), contributions[0].end(), out.begin());
  float* sum = out.data();
  for (const auto& contribution : contributions.subspan(1)) {
    const float* more = contribution.data();
    for (std::size_t i = 0; i < out.size(); ++i) sum[i] = exact_add(sum[i], more[i]);
  }
  for (std::size_t i = 0; i < out.size(); ++i) sum[i] = exact_mul(sum[i], scale);
}

}  // namespace coshard::shard
