// The plain operations of device.h on host memory: shard/numeric behind the interface.
// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>

#include <cstring>
#include <vector>

#include "shard/engine/device.h"
#include "shard/numeric/adamw.h"
#include "shard/numeric/reduce.h"
#include "shard/numeric/squared_norm.h"

namespace coshard::shard {
namespace {

class CpuKernels final : public DeviceKernels {
 public:
  DeviceProperties properties() const override {
    const auto pages = static_cast<std::uint64_t>(::sysconf(_SC_PHYS_PAGES));
    const auto page_bytes = static_cast<std::uint64_t>(::sysconf(_SC_PAGE_SIZE));
    return {.name = "CPU", .memory_bytes = pages * page_bytes, .bf16 = false};
  }

  void adamw_update(const UpdateSlice& slice, const CommitScalars& scalars) override {
    shard::adamw_update({slice.weight, slice.count}, {slice.first_moment, slice.count},
                        {slice.second_moment, slice.count}, {slice.average, slice.count}, scalars,
                        slice.decayed);
  }

  void reduce_in_order(float* out, std::span<const float* const> contributions, std::uint64_t count,
                       float scale) override {
    std::vector<std::span<const float>> spans;
    for (const float* contribution : contributions) spans.emplace_back(contribution, count);
    sum_in_order({out, count}, spans, scale);
  }

  double squared_norm(const float* values, std::uint64_t count) override {
    return shard::squared_norm({values, count});
  }

  FingerprintLanes fingerprint(const FingerprintKey& key, std::uint64_t global_index,
                               const float* values, std::uint64_t count) override {
    return fingerprint_part(key, global_index, 0, {values, count});
  }

  void copy_to_host(void* host, const void* device, std::uint64_t bytes) override {
    std::memcpy(host, device, bytes);
  }
  void copy_to_device(void* device, const void* host, std::uint64_t bytes) override {
    std::memcpy(device, host, bytes);
  }
};

}  // namespace

DeviceKernels& cpu_kernels() {
  static CpuKernels kernels;
  return kernels;
}

}  // namespace coshard::shard
