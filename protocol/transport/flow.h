// Bytes on their way to one peer: counted when send() takes them, given back when the socket
// library lets go of them (on its own thread, hence the atomic). Back-pressure instead of queues
// without end.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstddef>

#include "protocol/base/check.h"

namespace coshard::transport {

class Flow {
 public:
  /// Takes `bytes` on if at most `max` are then under way. cs-net only.
  [[nodiscard]] bool take(std::size_t bytes, std::size_t max) {
    if (bytes > max || in_flight_.load() > max - bytes) return false;
    in_flight_.fetch_add(bytes);
    return true;
  }
  /// They have left, or never will. Any thread.
  void give_back(std::size_t bytes) {
    const std::size_t before = in_flight_.fetch_sub(bytes);
    COSHARD_CHECK_OP(before, >=, bytes);
  }
  std::size_t in_flight() const { return in_flight_.load(); }

 private:
  std::atomic<std::size_t> in_flight_{0};
};

}  // namespace coshard::transport
