// What forward keeps of each microbatch until its backward: input and saved tensors, or the input
// alone where activations are computed again. Bounded by the schedule's depth. cs-engine.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <map>

#include "protocol/base/error.h"
#include "protocol/base/ids.h"
#include "shard/model/stage_math.h"

namespace coshard::shard {

struct Stash {
  BatchShape shape;
  at::Tensor input;  ///< tokens, or (rows, hidden)
  SavedTensors saved;

  std::uint64_t bytes() const { return input.nbytes() + saved.bytes(); }
};

class ActivationStash {
 public:
  explicit ActivationStash(std::size_t count_max) : count_max_(count_max) {}

  /// kFailedPrecondition when the microbatch is held already, kResourceExhausted when full: asked
  /// before the forward is paid for.
  Result<void> check_room(MicrobatchIndex microbatch) const;
  void put(MicrobatchIndex microbatch, Stash stash);
  /// Null when the microbatch is not held.
  const Stash* find(MicrobatchIndex microbatch) const;
  Stash take(MicrobatchIndex microbatch);
  void drop(MicrobatchIndex microbatch) { held_.erase(microbatch); }
  void clear() { held_.clear(); }
  std::uint64_t bytes() const;

 private:
  std::size_t count_max_;
  std::map<MicrobatchIndex, Stash> held_;
};

}  // namespace coshard::shard
