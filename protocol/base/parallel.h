// The same pure work on many items, on all cores. Home thread: the caller's, which works and waits.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <thread>
#include <vector>

namespace coshard {

/// More do not help where what one thread does with the results is to keep up.
inline constexpr std::size_t kParallelThreadsMax = 8;

/// work(i) once for every i < count, in any order, on any thread. `grain`: items that are worth a
/// thread of their own (starting one costs some 30 us).
template <class Work>
void parallel_for(std::size_t count, std::size_t grain, const Work& work) {
  std::atomic<std::size_t> next{0};
  const auto run = [&] {
    for (std::size_t i = next++; i < count; i = next++) work(i);
  };
  const std::size_t cores = std::max<std::size_t>(std::thread::hardware_concurrency(), 1);
  const std::size_t threads = std::min({cores, kParallelThreadsMax, count / grain});
  std::vector<std::jthread> others;
  for (std::size_t i = 1; i < threads; ++i) others.emplace_back(run);
  run();
}

}  // namespace coshard
