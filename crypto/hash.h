// SHA-256, the one hash function everywhere, and hashes with a domain in front so that bytes of one
// meaning never collide with bytes of another. Any thread; pure. Bytes: crypto/README.md.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <initializer_list>
#include <string_view>

#include "protocol/base/bytes.h"

namespace coshard::crypto {

/// Incremental SHA-256. One thread at a time.
class Sha256 {
 public:
  Sha256();
  Sha256& update(ByteView bytes);
  /// The digest of everything so far; the object starts over afterwards.
  Hash finish();

 private:
  alignas(16) std::byte state_[128];  // the library's context, kept out of this header
};

/// SHA-256 of `bytes`.
Hash sha256(ByteView bytes);

/// SHA-256(domain || 0x00 || part || part …). Parts are not delimited: give each domain parts of
/// fixed size, or only one of variable size, at the end.
Hash domain_hash(std::string_view domain, std::initializer_list<ByteView> parts);

}  // namespace coshard::crypto
