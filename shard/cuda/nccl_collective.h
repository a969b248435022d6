// The in-box collective over NCCL: one process, one communicator for each device, all driven by one
// thread. Home thread: cs-engine.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nccl.h>

#include <memory>
#include <span>
#include <vector>

#include "protocol/base/thread_role.h"
#include "shard/collective/collective.h"

namespace coshard::shard::cuda {

class NcclCollective final : public Collective {
 public:
  /// `devices` are distinct CUDA devices of this box. kUnavailable with NCCL's own words when the
  /// communicators cannot be made.
  static Result<std::unique_ptr<Collective>> create(std::span<const int> devices);
  ~NcclCollective() override;
  NcclCollective(const NcclCollective&) = delete;
  NcclCollective& operator=(const NcclCollective&) = delete;

  int ranks() const override { return static_cast<int>(devices_.size()); }
  Result<void> all_reduce_sum(std::span<float* const> buffers, std::uint64_t count) override;

 private:
  explicit NcclCollective(std::span<const int> devices)
      : devices_(devices.begin(), devices.end()) {}

  ThreadRole home_;
  std::vector<int> devices_;               // by rank
  std::vector<ncclComm_t> communicators_;  // by rank
};

}  // namespace coshard::shard::cuda
