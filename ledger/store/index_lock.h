// One process at a time brings an index up. Any thread; waits.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <utility>

#include "protocol/base/error.h"

namespace coshard::ledger {

/// Held while an index is being brought up: the second process waits in lock(). Ends with the
/// object, or the process.
class IndexLock {
 public:
  static Result<IndexLock> lock(const std::filesystem::path& index);
  ~IndexLock();
  IndexLock(IndexLock&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}
  IndexLock& operator=(IndexLock&&) = delete;

 private:
  explicit IndexLock(int descriptor) : descriptor_(descriptor) {}
  int descriptor_;
};

}  // namespace coshard::ledger
