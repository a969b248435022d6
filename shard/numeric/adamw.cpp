// See adamw.h.
// SPDX-License-Identifier: Apache-2.0
#include "shard/numeric/adamw.h"

#include "protocol/base/check.h"

namespace coshard::shard {

void adamw_update(std::span<float> weights, std::span<float> m, std::span<float> v,
                  std::span<const float> average, const CommitScalars& commit, bool decays) {
  COSHARD_CHECK_OP(weights.size(), ==, m.size());
  COSHARD_CHECK_OP(weights.size(), ==, v.size());
  COSHARD_CHECK_OP(weights.size(), ==, average.size());
  if (commit.skip) return;
  const AdamwScalars scalars = adamw_scalars(commit, decays);
  // Raw, non-overlapping pointers let the compiler use vector instructions, which round like scalar
  // ones.
  float* __restrict w_at = weights.data();
  float* __restrict m_at = m.data();
  float* __restrict v_at = v.data();
  const float* __restrict average_at = average.data();
  const std::size_t count = weights.size();
  for (std::size_t i = 0; i < count; ++i)
    adamw_element(w_at[i], m_at[i], v_at[i], average_at[i], scalars);
}

}  // namespace coshard::shard
