// How fast a device multiplies matrices, before there is a model to measure with: bf16 on a card,
// fp32 on the processor, as stages compute there.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <chrono>

#include "shard/engine/determinism.h"
#include "shard/engine/stage_engine.h"

namespace coshard::shard {

std::uint64_t measure_speed(const Device& device, int threads) {
  using Clock = std::chrono::steady_clock;
  constexpr std::chrono::milliseconds kMeasured{100};
  settle_torch(threads);
  const bool card = device.kind == DeviceKind::kCuda;
  const std::int64_t side = card ? 4096 : 256;
  const auto where = card ? at::Device(at::kCUDA, static_cast<at::DeviceIndex>(device.index))
                          : at::Device(at::kCPU);
  const at::Tensor factor =
      at::ones({side, side}, at::device(where).dtype(card ? at::kBFloat16 : at::kFloat));
  const double operations =
      2.0 * static_cast<double>(side) * static_cast<double>(side) * static_cast<double>(side);
  double best = 0;
  for (const auto began = Clock::now(); Clock::now() - began < kMeasured;) {
    const auto start = Clock::now();
    (void)factor.mm(factor)[0][0].item<float>();  // which waits for the device
    const std::chrono::duration<double> took = Clock::now() - start;
    best = std::max(best, operations / took.count());
  }
  return static_cast<std::uint64_t>(best);
}

}  // namespace coshard::shard
