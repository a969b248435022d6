// See activation_stash.h.
// SPDX-License-Identifier: Apache-2.0
#include "shard/engine/activation_stash.h"

#include <string>
#include <utility>

#include "protocol/base/check.h"

namespace coshard::shard {

Result<void> ActivationStash::check_room(MicrobatchIndex microbatch) const {
  if (held_.contains(microbatch))
    return fail(ErrorCode::kFailedPrecondition,
                "forward of microbatch " + std::to_string(microbatch.value) +
                    ": expected one that is not held, found its activations from an earlier call");
  if (held_.size() >= count_max_)
    return fail(ErrorCode::kResourceExhausted,
                "forward of microbatch " + std::to_string(microbatch.value) + ": activations of " +
                    std::to_string(count_max_) + " microbatches are held, and that is the limit");
  return {};
}

void ActivationStash::put(MicrobatchIndex microbatch, Stash stash) {
  const bool fresh = held_.emplace(microbatch, std::move(stash)).second;
  COSHARD_CHECK(fresh);
  COSHARD_CHECK_OP(held_.size(), <=, count_max_);
}

const Stash* ActivationStash::find(MicrobatchIndex microbatch) const {
  const auto found = held_.find(microbatch);
  return found == held_.end() ? nullptr : &found->second;
}

Stash ActivationStash::take(MicrobatchIndex microbatch) {
  auto node = held_.extract(microbatch);
  COSHARD_CHECK(!node.empty());
  return std::move(node.mapped());
}

std::uint64_t ActivationStash::bytes() const {
  std::uint64_t bytes = 0;
  for (const auto& [microbatch, stash] : held_) bytes += stash.bytes();
  return bytes;
}

}  // namespace coshard::shard
