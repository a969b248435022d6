// Adding up gradients among the devices of one box, before boxes talk to each other (design 3.2,
// 5). The plain implementation is here, NCCL's in the CUDA module; both pass
// tests/contract/collective_test.cpp. No torch. Home thread: cs-engine, which drives all devices.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "protocol/base/error.h"

namespace coshard::shard {

class Collective {
 public:
  virtual ~Collective() = default;

  virtual int ranks() const = 0;

  /// buffers[r] is fp32 memory of `count` elements on rank r's device; afterwards each holds the
  /// sum over ranks, all the same bytes. As many buffers as ranks, none overlapping. The order of
  /// additions is the implementation's own, the same for every call of equal count. Ordered with
  /// what torch enqueued on each device before and after; not waited for. kUnavailable when a
  /// device fails: the buffers are then worthless and the process should be replaced.
  virtual Result<void> all_reduce_sum(std::span<float* const> buffers, std::uint64_t count) = 0;
};

/// The plain one, on host memory: additions in rank order. At least one rank.
std::unique_ptr<Collective> make_local_collective(int ranks);

}  // namespace coshard::shard
