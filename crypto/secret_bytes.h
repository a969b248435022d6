// Bytes that must not leak: locked into memory where the system allows it, between guard pages,
// left out of core dumps, wiped when freed. Any thread; one owner.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include "protocol/base/bytes.h"

namespace coshard::crypto {

/// Owns `size` secret bytes. Moves, never copies; aborts when no memory is left.
class SecretBytes {
 public:
  SecretBytes() = default;
  explicit SecretBytes(std::size_t size);
  /// A copy of `bytes`; the caller wipes the original (wipe()).
  static SecretBytes copy_of(ByteView bytes);

  SecretBytes(SecretBytes&& other) noexcept
      : bytes_(std::exchange(other.bytes_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  SecretBytes& operator=(SecretBytes&& other) noexcept;
  SecretBytes(const SecretBytes&) = delete;
  SecretBytes& operator=(const SecretBytes&) = delete;
  ~SecretBytes();

  ByteView view() const { return {bytes_, size_}; }
  std::span<std::uint8_t> writable() { return {bytes_, size_}; }
  std::size_t size() const { return size_; }

 private:
  std::uint8_t* bytes_ = nullptr;
  std::size_t size_ = 0;
};

/// Overwrites with zeros in a way that the compiler may not leave out.
void wipe(std::span<std::uint8_t> bytes);

}  // namespace coshard::crypto
