// The tokens of one microbatch. Value type, any thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

namespace coshard::shard {

/// Row-major (sequences, length); targets[b][t] is the token that follows inputs[b][t].
struct TokenBatch {
  std::int64_t sequences = 0;
  std::int64_t length = 0;
  std::vector<std::int32_t> inputs;
  std::vector<std::int32_t> targets;

  std::int64_t target_tokens() const { return sequences * length; }
  bool operator==(const TokenBatch&) const = default;
};

}  // namespace coshard::shard
