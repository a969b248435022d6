// Strong identifiers: a step is not a microbatch and a node is not an account. Any thread; value
// types.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <cstring>
#include <functional>
#include <ostream>
#include <string>

#include "protocol/base/bytes.h"

namespace coshard {

/// An integer that cannot be mistaken for another kind of integer.
template <class Tag, class T>
struct StrongInt {
  using value_type = T;
  T value = 0;

  constexpr StrongInt() = default;
  constexpr explicit StrongInt(T v) : value(v) {}
  constexpr auto operator<=>(const StrongInt&) const = default;
  constexpr StrongInt next() const { return StrongInt(static_cast<T>(value + 1)); }
  friend std::ostream& operator<<(std::ostream& out, const StrongInt& id) {
    return out << id.value;
  }
};

using StageIndex = StrongInt<struct StageTag, std::uint32_t>;
using ReplicaIndex = StrongInt<struct ReplicaTag, std::uint32_t>;
using StepId = StrongInt<struct StepTag, std::uint64_t>;  ///< 1-based; 0 is "before the first step"
using MicrobatchIndex = StrongInt<struct MicrobatchTag, std::uint32_t>;
using Attempt = StrongInt<struct AttemptTag, std::uint32_t>;
using ChunkIndex = StrongInt<struct ChunkTag, std::uint32_t>;
using MembershipEpoch = StrongInt<struct MembershipEpochTag, std::uint64_t>;
using LedgerEpoch = StrongInt<struct LedgerEpochTag, std::uint64_t>;  ///< 0-based
using Incarnation =
    StrongInt<struct IncarnationTag, std::uint64_t>;  ///< grows at each (re)start or fencing
using Generation = StrongInt<struct GenerationTag, std::uint64_t>;  ///< of the coordinator
using LogIndex = StrongInt<struct LogIndexTag, std::uint64_t>;

/// 32 bytes that name something: a node's operating public key, an account's hash, a network's
/// hash.
template <class Tag>
struct StrongKey {
  std::array<std::uint8_t, 32> bytes{};

  constexpr auto operator<=>(const StrongKey&) const = default;
  ByteView view() const { return bytes; }
  std::string hex() const { return to_hex(bytes); }
  /// The first 8 hexadecimal digits: for people, never for comparison.
  std::string short_hex() const { return hex().substr(0, 8); }
  friend std::ostream& operator<<(std::ostream& out, const StrongKey& key) {
    return out << key.short_hex();
  }
};

using NodeId = StrongKey<struct NodeTag>;        ///< the node's Ed25519 operating public key
using AccountId = StrongKey<struct AccountTag>;  ///< hash of the account's root public key
using NetworkId =
    StrongKey<struct NetworkTag>;  ///< hash of the ledger's genesis entry: one round of one model

/// One unit of work: forward plus backward of one microbatch through one stage, gradient
/// accumulated.
struct Unit {
  StepId step;
  MicrobatchIndex microbatch;
  StageIndex stage;
  Attempt attempt;
  constexpr auto operator<=>(const Unit&) const = default;
};

}  // namespace coshard

template <class Tag, class T>
struct std::hash<coshard::StrongInt<Tag, T>> {
  std::size_t operator()(const coshard::StrongInt<Tag, T>& id) const noexcept {
    return std::hash<T>{}(id.value);
  }
};
template <class Tag>
struct std::hash<coshard::StrongKey<Tag>> {
  std::size_t operator()(const coshard::StrongKey<Tag>& key) const noexcept {
    std::size_t value = 0;
    std::memcpy(&value, key.bytes.data(), sizeof value);  // keys are uniform already
    return value;
  }
};
