// A root key vouches for a witness: whose it is, under which name and key it cosigns checkpoints.
// Any thread; immutable. Bytes: crypto/README.md.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "crypto/keys.h"
#include "protocol/base/ids.h"

namespace coshard::crypto {

struct WitnessCertificate {
  static constexpr std::size_t kNameBytesMax = 255;

  PublicKey root_public{};
  PublicKey witness_public{};
  std::uint64_t serial = 0;  ///< grows with each certificate of one witness key
  std::string name;          ///< of the note key: 1 to 255 bytes, no space, no plus, no control
  Signature root_signature{};
  Signature witness_signature{};

  bool operator==(const WitnessCertificate&) const = default;

  /// Both keys sign; the witness so that nobody certifies a key that is not his.
  static WitnessCertificate sign(const KeyPair& root, const KeyPair& witness, std::string name,
                                 std::uint64_t serial);
  /// root || witness || u64be serial || both signatures || name.
  Bytes encode() const;
  /// Shape only; call verify() before believing it.
  static Result<WitnessCertificate> decode(ByteView bytes);
  /// kPermissionDenied when a key is weak, both are the same, the name is none, or a signature is
  /// false.
  Result<void> verify() const;

  AccountId account() const;

 private:
  Bytes signed_part() const;
};

}  // namespace coshard::crypto
