// Home threads. A class that belongs to one thread holds a ThreadRole and begins its methods with
// COSHARD_ON(role_): checked at run time, and a clang capability at compile time (-Wthread-safety).
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <thread>

#include "protocol/base/check.h"

#if defined(__clang__)
#define COSHARD_CAPABILITY(name) __attribute__((capability(name)))
#define COSHARD_ASSERT_CAPABILITY(...) __attribute__((assert_capability(__VA_ARGS__)))
#define COSHARD_GUARDED_BY(role) __attribute__((guarded_by(role)))
#else
#define COSHARD_CAPABILITY(name)
#define COSHARD_ASSERT_CAPABILITY(...)
#define COSHARD_GUARDED_BY(role)
#endif

namespace coshard {

/// The thread that first asserts the role owns it until release(): objects are made on main and
/// then live elsewhere.
class COSHARD_CAPABILITY("thread role") ThreadRole {
 public:
  void assert_here() const COSHARD_ASSERT_CAPABILITY(this) {
    std::thread::id none{};
    const std::thread::id here = std::this_thread::get_id();
    if (owner_.compare_exchange_strong(none, here)) return;
    COSHARD_CHECK(owner_.load() == here);
  }
  /// Lets another thread take over: after a join, when the owner is gone.
  void release() { owner_.store(std::thread::id{}); }

 private:
  mutable std::atomic<std::thread::id> owner_{};
};

}  // namespace coshard

#define COSHARD_ON(role) (role).assert_here()
