// The one canonical encoding of ledger values: a subset of Protobuf's wire format (ascending field
// numbers, shortest varints, defaults left out, no unknown fields), so that equal values are equal
// bytes. Pure; any thread. Bytes: FORMAT.md.
//
// A type lists its fields once and both directions follow:
//
//     template <class Codec, class Self>
//     static void fields(Codec& codec, Self& self) {
//       codec(1, self.epoch);
//       codec(2, self.units);
//     }
//
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <limits>
#include <string>
#include <type_traits>
#include <vector>

#include "protocol/base/bytes.h"
#include "protocol/base/error.h"
#include "protocol/base/ids.h"
#include "protocol/base/int128.h"

namespace coshard::ledger {

namespace internal {

template <class T>
inline constexpr bool is_strong_int = false;
template <class Tag, class T>
inline constexpr bool is_strong_int<StrongInt<Tag, T>> = true;

template <class T>
inline constexpr bool is_strong_key = false;
template <class Tag>
inline constexpr bool is_strong_key<StrongKey<Tag>> = true;

template <class T>
inline constexpr bool is_byte_array = false;
template <std::size_t N>
inline constexpr bool is_byte_array<std::array<std::uint8_t, N>> = true;

template <class T>
inline constexpr bool is_vector = false;
template <class T>
inline constexpr bool is_vector<std::vector<T>> = true;

template <class T>
concept NumberField = std::is_integral_v<T> || std::is_enum_v<T>;

}  // namespace internal

/// Appends fields to a byte string.
class Encoder {
 public:
  explicit Encoder(Bytes& out) : out_(out) {}

  template <class T>
  void operator()(std::uint32_t field, const T& value);

 private:
  void number(std::uint32_t field, std::uint64_t value);  // 0 is left out
  void bytes(std::uint32_t field, ByteView value);        // empty is left out
  void element(std::uint32_t field, ByteView value);      // written even when empty
  void wide(std::uint32_t field, uint128_t value);        // big-endian, no leading zero byte
  void packed(std::uint32_t field, const std::vector<std::uint64_t>& values);

  Bytes& out_;
};

/// Reads fields in ascending order; the first error sticks. What is not the one encoding of its
/// value is noticed while reading, so that nobody has to encode it again: a number longer than
/// needed, a default that was written, a fixed field that was not.
class Decoder {
 public:
  explicit Decoder(ByteView in) : in_(in) { advance(); }

  template <class T>
  void operator()(std::uint32_t field, T& value);

  /// True when every byte was read by the fields asked for, and none was out of range.
  bool done() const { return !failed_ && field_ == 0; }
  /// False when what was read is another encoding of the value than Encoder's.
  bool is_canonical() const { return canonical_; }

 private:
  void advance();  // reads the next field's key and value; field_ 0 at the end
  bool varint(std::uint64_t& value);
  bool at_number(std::uint32_t field);
  bool at_bytes(std::uint32_t field);
  void fixed(std::uint32_t field, std::span<std::uint8_t> to);
  ByteView text(std::uint32_t field);
  template <class T>
  void message(T& value);
  void wide(std::uint32_t field, uint128_t& value);
  void packed(std::uint32_t field, std::vector<std::uint64_t>& values);

  ByteView in_;
  std::uint32_t field_ = 0;
  bool is_bytes_ = false;
  std::uint64_t number_ = 0;
  ByteView bytes_;
  bool failed_ = false;
  bool canonical_ = true;
};

/// The canonical bytes of a value.
template <class T>
Bytes encode(const T& value) {
  Bytes out;
  Encoder encoder(out);
  T::fields(encoder, value);
  return out;
}

/// The value of canonical bytes; kInvalidArgument "non_canonical" or "malformed" otherwise.
template <class T>
Result<T> decode(ByteView bytes) {
  T value;
  Decoder decoder(bytes);
  T::fields(decoder, value);
  if (!decoder.done()) {
    return fail(ErrorCode::kInvalidArgument, "malformed: not the expected fields in order");
  }
  if (!decoder.is_canonical()) {
    return fail(ErrorCode::kInvalidArgument, "non_canonical: encodes again to other bytes");
  }
  return value;
}

template <class T>
void Encoder::operator()(std::uint32_t field, const T& value) {
  using namespace internal;
  if constexpr (NumberField<T>) {
    number(field, static_cast<std::uint64_t>(value));
  } else if constexpr (std::is_same_v<T, uint128_t>) {
    wide(field, value);
  } else if constexpr (is_strong_int<T>) {
    number(field, value.value);
  } else if constexpr (is_strong_key<T>) {
    element(field, value.bytes);
  } else if constexpr (is_byte_array<T>) {
    element(field, value);
  } else if constexpr (std::is_same_v<T, Bytes> || std::is_same_v<T, ByteView>) {
    bytes(field, value);
  } else if constexpr (std::is_same_v<T, std::string>) {
    bytes(field, as_bytes(value));
  } else if constexpr (std::is_same_v<T, std::vector<std::uint64_t>>) {
    packed(field, value);
  } else if constexpr (std::is_same_v<T, std::vector<Bytes>>) {
    for (const Bytes& one : value) element(field, one);
  } else if constexpr (is_vector<T>) {
    for (const auto& one : value) element(field, encode(one));
  } else {
    element(field, encode(value));
  }
}

template <class T>
void Decoder::message(T& value) {
  Decoder inner(bytes_);
  T::fields(inner, value);
  if (!inner.done()) failed_ = true;
  if (!inner.canonical_) canonical_ = false;
}

template <class T>
void Decoder::operator()(std::uint32_t field, T& value) {
  using namespace internal;
  if constexpr (NumberField<T>) {
    value = T{};
    if (!at_number(field)) return;
    using Number = typename std::conditional_t<std::is_enum_v<T>, std::underlying_type<T>,
                                               std::type_identity<T>>::type;
    constexpr std::uint64_t kMax =
        std::is_same_v<T, bool> ? 1
                                : static_cast<std::uint64_t>(std::numeric_limits<Number>::max());
    if (number_ > kMax) failed_ = true;
    if (number_ == 0) canonical_ = false;
    value = static_cast<T>(number_);
    advance();
  } else if constexpr (std::is_same_v<T, uint128_t>) {
    wide(field, value);
  } else if constexpr (is_strong_int<T>) {
    (*this)(field, value.value);
  } else if constexpr (is_strong_key<T>) {
    fixed(field, value.bytes);
  } else if constexpr (is_byte_array<T>) {
    fixed(field, value);
  } else if constexpr (std::is_same_v<T, Bytes>) {
    value = to_bytes(text(field));
  } else if constexpr (std::is_same_v<T, ByteView>) {
    value = text(field);
  } else if constexpr (std::is_same_v<T, std::string>) {
    value = as_text(text(field));
  } else if constexpr (std::is_same_v<T, std::vector<std::uint64_t>>) {
    packed(field, value);
  } else if constexpr (std::is_same_v<T, std::vector<Bytes>>) {
    for (; at_bytes(field); advance()) value.push_back(to_bytes(bytes_));
  } else if constexpr (is_vector<T>) {
    for (; at_bytes(field); advance()) message(value.emplace_back());
  } else {
    if (!at_bytes(field)) {
      canonical_ = false;
      return;
    }
    message(value);
    advance();
  }
}

}  // namespace coshard::ledger
