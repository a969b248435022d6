// A fold's state as bytes and back: fixed widths, big-endian, counts before lists. Equal states are
// equal bytes. A type lists its members once, as in canonical.h, and both directions follow:
//
//     template <class Codec, class Self>
//     static void state(Codec& codec, Self& self) { codec(self.units, self.since); }
//
// Values that are in entries already (leaves, credit lines) are written in their canonical
// encoding. For a reader's own disk: not a format for strangers. Pure; any thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "ledger/canonical.h"

namespace coshard::ledger {

class StateWriter {
 public:
  template <class... T>
  void operator()(const T&... values) {
    (put(values), ...);
  }
  Bytes take() { return std::move(out_); }

 private:
  template <class T>
  void put(const T& value);
  void number(std::uint64_t value) { put_be<std::uint64_t>(out_, value); }
  void sized(ByteView bytes) {
    number(bytes.size());
    append(out_, bytes);
  }

  Bytes out_;
};

/// Reads what StateWriter wrote; the first thing that does not fit sticks.
class StateReader {
 public:
  explicit StateReader(ByteView in) : in_(in) {}
  template <class... T>
  void operator()(T&... values) {
    (get(values), ...);
  }
  /// True when everything was read and nothing is left.
  bool done() const { return !failed_ && in_.empty(); }

 private:
  template <class T>
  void get(T& value);
  std::uint64_t number();
  ByteView raw(std::uint64_t size);
  ByteView sized() { return raw(number()); }

  ByteView in_;
  bool failed_ = false;
};

namespace internal {

template <class T>
concept HasState = requires(StateWriter& codec, const T& value) { T::state(codec, value); };
template <class T>
concept IsMap = requires { typename T::mapped_type; };
template <class T>
concept IsSet = requires { typename T::key_type; } && !IsMap<T>;
template <class T>
inline constexpr bool is_pair = false;
template <class A, class B>
inline constexpr bool is_pair<std::pair<A, B>> = true;
template <class T>
inline constexpr bool is_optional = false;
template <class T>
inline constexpr bool is_optional<std::optional<T>> = true;

}  // namespace internal

inline std::uint64_t StateReader::number() {
  const ByteView bytes = raw(8);
  if (bytes.empty()) return 0;
  return get_be<std::uint64_t>(bytes);
}

inline ByteView StateReader::raw(std::uint64_t size) {
  if (failed_ || size > in_.size()) {
    failed_ = true;
    return {};
  }
  const ByteView out = in_.first(size);
  in_ = in_.subspan(size);
  return out;
}

template <class T>
void StateWriter::put(const T& value) {
  using namespace internal;
  if constexpr (NumberField<T>) {
    number(static_cast<std::uint64_t>(value));
  } else if constexpr (std::is_same_v<T, uint128_t>) {
    number(static_cast<std::uint64_t>(value >> 64));
    number(static_cast<std::uint64_t>(value));
  } else if constexpr (is_strong_int<T>) {
    number(value.value);
  } else if constexpr (is_strong_key<T>) {
    append(out_, value.view());
  } else if constexpr (is_byte_array<T>) {
    append(out_, value);
  } else if constexpr (is_pair<T>) {
    put(value.first);
    put(value.second);
  } else if constexpr (is_optional<T>) {
    number(value ? 1 : 0);
    if (value) put(*value);
  } else if constexpr (HasState<T>) {
    T::state(*this, value);
  } else if constexpr (std::is_same_v<T, Bytes>) {
    sized(value);
  } else if constexpr (is_vector<T> || IsMap<T> || IsSet<T>) {
    number(value.size());
    for (const auto& one : value) put(one);
  } else {
    sized(encode(value));
  }
}

template <class T>
void StateReader::get(T& value) {
  using namespace internal;
  if constexpr (NumberField<T>) {
    value = static_cast<T>(number());
  } else if constexpr (std::is_same_v<T, uint128_t>) {
    value = uint128_t{number()} << 64;
    value += number();
  } else if constexpr (is_strong_int<T>) {
    get(value.value);
  } else if constexpr (is_strong_key<T>) {
    get(value.bytes);
  } else if constexpr (is_byte_array<T>) {
    const ByteView bytes = raw(value.size());
    std::copy(bytes.begin(), bytes.end(), value.begin());
  } else if constexpr (is_pair<T>) {
    get(value.first);
    get(value.second);
  } else if constexpr (is_optional<T>) {
    if (number() == 1) {
      value = typename T::value_type{};  // emplace() does not see a nested type as complete
      get(*value);
    }
  } else if constexpr (HasState<T>) {
    T::state(*this, value);
  } else if constexpr (std::is_same_v<T, Bytes>) {
    value = to_bytes(sized());
  } else if constexpr (is_vector<T>) {
    for (std::uint64_t left = number(); left > 0 && !failed_; --left) get(value.emplace_back());
  } else if constexpr (IsMap<T>) {
    for (std::uint64_t left = number(); left > 0 && !failed_; --left) {
      typename T::key_type key{};
      get(key);
      get(value.try_emplace(value.end(), key)->second);
    }
  } else if constexpr (IsSet<T>) {
    for (std::uint64_t left = number(); left > 0 && !failed_; --left) {
      typename T::key_type key{};
      get(key);
      value.insert(value.end(), key);
    }
  } else {
    auto decoded = decode<T>(sized());
    if (decoded) value = std::move(*decoded);
    if (!decoded) failed_ = true;
  }
}

}  // namespace coshard::ledger
