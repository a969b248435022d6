// How much memory a piece of code asked for at its peak: operator new and delete, counted. Include
// in
// exactly one file of a test program.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <malloc.h>

#include <atomic>
#include <cstdlib>
#include <new>

namespace coshard::testing {

inline std::atomic<std::size_t> allocated_now{0};
inline std::atomic<std::size_t> allocated_peak{0};

inline void* counted_allocation(std::size_t size) {
  void* memory = std::malloc(size);
  if (memory == nullptr) std::abort();
  const std::size_t now = allocated_now += malloc_usable_size(memory);
  std::size_t peak = allocated_peak.load();
  while (now > peak && !allocated_peak.compare_exchange_weak(peak, now)) {
  }
  return memory;
}
inline void counted_release(void* memory) {
  if (memory == nullptr) return;
  allocated_now -= malloc_usable_size(memory);
  std::free(memory);
}

/// Bytes by which the heap had grown at most while `code` ran.
template <class Code>
std::size_t peak_allocation(Code code) {
  const std::size_t before = allocated_now.load();
  allocated_peak.store(before);
  code();
  return allocated_peak.load() - before;
}

}  // namespace coshard::testing

void* operator new(std::size_t size) { return coshard::testing::counted_allocation(size); }
void* operator new[](std::size_t size) { return coshard::testing::counted_allocation(size); }
void operator delete(void* memory) noexcept { coshard::testing::counted_release(memory); }
void operator delete[](void* memory) noexcept { coshard::testing::counted_release(memory); }
void operator delete(void* memory, std::size_t) noexcept {
  coshard::testing::counted_release(memory);
}
void operator delete[](void* memory, std::size_t) noexcept {
  coshard::testing::counted_release(memory);
}
