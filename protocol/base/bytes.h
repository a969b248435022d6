// Byte strings: owning Bytes, borrowed ByteView, hexadecimal, base64 (standard, padded) and
// fixed-width integers. Any thread; pure functions.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace coshard {

using Bytes = std::vector<std::uint8_t>;
using ByteView = std::span<const std::uint8_t>;
using Hash = std::array<std::uint8_t, 32>;  ///< SHA-256, the one hash function everywhere

inline ByteView as_bytes(std::string_view text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}
inline std::string_view as_text(ByteView bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}
inline Bytes to_bytes(ByteView view) { return Bytes(view.begin(), view.end()); }
inline void append(Bytes& to, ByteView more) { to.insert(to.end(), more.begin(), more.end()); }

/// Lower-case hexadecimal.
std::string to_hex(ByteView bytes);
/// Accepts lower-case hexadecimal of even length only; nothing otherwise.
std::optional<Bytes> from_hex(std::string_view text);
/// Standard alphabet with padding (RFC 4648 section 4).
std::string to_base64(ByteView bytes);
/// Strict: canonical padding, no white space, zero trailing bits; nothing otherwise.
std::optional<Bytes> from_base64(std::string_view text);

/// Appends `value` in little-endian or big-endian order.
template <class T>
void put_le(Bytes& out, T value) {
  for (std::size_t i = 0; i < sizeof(T); ++i) {
    out.push_back(static_cast<std::uint8_t>(static_cast<std::uint64_t>(value) >> (8 * i)));
  }
}
template <class T>
void put_be(Bytes& out, T value) {
  for (std::size_t i = sizeof(T); i-- > 0;) {
    out.push_back(static_cast<std::uint8_t>(static_cast<std::uint64_t>(value) >> (8 * i)));
  }
}

/// Reads sizeof(T) bytes at `bytes.data()`; the caller guarantees that they are there.
template <class T>
T get_le(ByteView bytes) {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < sizeof(T); ++i)
    value |= static_cast<std::uint64_t>(bytes[i]) << (8 * i);
  return static_cast<T>(value);
}
template <class T>
T get_be(ByteView bytes) {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < sizeof(T); ++i) value = (value << 8) | bytes[i];
  return static_cast<T>(value);
}

/// A fixed-size array copied from exactly N bytes; nothing when the size differs.
template <std::size_t N>
std::optional<std::array<std::uint8_t, N>> to_array(ByteView bytes) {
  if (bytes.size() != N) return std::nullopt;
  std::array<std::uint8_t, N> out;
  std::memcpy(out.data(), bytes.data(), N);
  return out;
}

}  // namespace coshard
