// The plain collective; see collective.h.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "protocol/base/check.h"
#include "shard/collective/collective.h"
#include "shard/numeric/exact_float.h"

namespace coshard::shard {
namespace {

class LocalCollective final : public Collective {
 public:
  explicit LocalCollective(int ranks) : ranks_(ranks) { COSHARD_CHECK_OP(ranks, >=, 1); }

  int ranks() const override { return ranks_; }

  Result<void> all_reduce_sum(std::span<float* const> buffers, std::uint64_t count) override {
    COSHARD_CHECK_OP(buffers.size(), ==, static_cast<std::size_t>(ranks_));
    float* const sum = buffers[0];
    for (const float* const more : buffers.subspan(1))
      for (std::uint64_t i = 0; i < count; ++i) sum[i] = exact_add(sum[i], more[i]);
    for (float* const other : buffers.subspan(1)) std::copy_n(sum, count, other);
    return {};
  }

 private:
  const int ranks_;
};

}  // namespace

std::unique_ptr<Collective> make_local_collective(int ranks) {
  return std::make_unique<LocalCollective>(ranks);
}

}  // namespace coshard::shard
