// XChaCha20-Poly1305: encryption that notices a changed byte. Any thread; pure.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>

#include "crypto/secret_bytes.h"
#include "protocol/base/error.h"

namespace coshard::crypto {

inline constexpr std::size_t kAeadKeyBytes = 32;
inline constexpr std::size_t kAeadTagBytes = 16;
using AeadNonce = std::array<std::uint8_t, 24>;

/// Cipher text followed by its 16-byte tag. `key` has kAeadKeyBytes; a nonce is used once per key
/// (24 random bytes will do). `associated` is authenticated but not encrypted.
Bytes aead_seal(ByteView key, const AeadNonce& nonce, ByteView associated, ByteView plain);

/// The plain text, or kPermissionDenied when key, nonce, associated bytes or cipher text differ
/// from what was sealed.
Result<SecretBytes> aead_open(ByteView key, const AeadNonce& nonce, ByteView associated,
                              ByteView sealed);

}  // namespace coshard::crypto
