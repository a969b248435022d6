// What a stage needs in memory, before anything is allocated: an operator learns from a line of
// text, not from an out-of-memory kill, that a GPU is too small. Estimates of the resident tensors
// of shard/engine. Pure functions.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include "shard/plan/spec.h"

namespace coshard::shard {

struct MemoryOptions {
  std::int64_t microbatch_sequences = 1;
  std::int64_t microbatches_in_flight = 1;  ///< forwards whose backward has not come yet
  bool recompute = false;                   ///< keep a stage's input only, compute the rest again
  bool bf16_compute = false;  ///< activations and a working copy of the weights in bf16
  bool snapshot = false;      ///< a checkpoint's copy of the state is in the same memory
};

/// Bytes by purpose.
struct MemoryPlan {
  std::uint64_t parameters = 0;  ///< fp32 master weights and, with bf16, the working copy
  std::uint64_t gradients = 0;   ///< this replica's fp32 sum
  std::uint64_t average =
      0;  ///< the stage's fp32 average; the own sum stays untouched until the commit
  std::uint64_t moments = 0;               ///< AdamW's two fp32 moments
  std::uint64_t snapshot = 0;              ///< weights and moments while a checkpoint is written
  std::uint64_t stash_per_microbatch = 0;  ///< what one forward leaves for its backward
  std::uint64_t stashes = 0;               ///< microbatches in flight that are stashed
  std::uint64_t working = 0;               ///< the largest transient: one microbatch's activations

  std::uint64_t total() const {
    return parameters + gradients + average + moments + snapshot + stash_per_microbatch * stashes +
           working;
  }
};

MemoryPlan memory_plan(const ModelSpec& spec, const StageSlice& slice,
                       const MemoryOptions& options);

/// A bill for people, in one line: what is needed of `available_bytes`, then each purpose.
std::string memory_bill(const MemoryPlan& plan, std::uint64_t available_bytes);

/// kResourceExhausted with the bill and what to do when the plan exceeds `available_bytes`.
Result<void> check_memory(const MemoryPlan& plan, std::uint64_t available_bytes);

}  // namespace coshard::shard
