// Secrets at rest: one file, encrypted under a passphrase with Argon2id and XChaCha20-Poly1305,
// readable by its owner alone. Any thread; does file I/O. Bytes: crypto/README.md.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <optional>
#include <string_view>

#include "crypto/identity.h"

namespace coshard::crypto {

/// What Argon2id is asked to spend.
struct KdfCost {
  std::uint64_t passes = 3;
  std::uint64_t memory_bytes = std::uint64_t{256} << 20;  ///< 0.4 to 0.8 s per attempt

  /// For tests: far too little to protect anything.
  static constexpr KdfCost cheap() { return {1, 8192}; }
};

/// Nothing means --no-passphrase: the file then says that it is not protected.
using Passphrase = std::optional<std::string_view>;

/// The bytes of a secret file. kResourceExhausted when Argon2id finds no memory,
/// kInvalidArgument for an empty passphrase or a cost over the limits.
Result<Bytes> seal_secret(ByteView secret, Passphrase passphrase, KdfCost cost = {});

/// The secret in a file's bytes. kCorruption: not a secret file, truncated, unknown version.
/// kResourceExhausted: the header asks for more than limits allow (nothing is allocated).
/// kFailedPrecondition: a passphrase is needed and none was given. kPermissionDenied: wrong
/// passphrase or changed bytes.
Result<SecretBytes> open_secret(ByteView file, Passphrase passphrase);

/// Writes `secret` to a new file of mode 0600: temporary file, fsync, rename. kFailedPrecondition
/// when something of that name exists: keys are never overwritten. Creates missing folders.
Result<void> write_secret_file(const std::filesystem::path& path, ByteView secret,
                               Passphrase passphrase, KdfCost cost = {});

/// Reads and opens; also kNotFound, and kPermissionDenied when group or others may touch the file.
Result<SecretBytes> read_secret_file(const std::filesystem::path& path, Passphrase passphrase);

/// Whether the file must be opened with a passphrase; the errors of read_secret_file.
Result<bool> needs_passphrase(const std::filesystem::path& path);

Result<void> save_identity(const std::filesystem::path& path, const Identity& identity,
                           Passphrase passphrase, KdfCost cost = {});
Result<Identity> load_identity(const std::filesystem::path& path, Passphrase passphrase);

}  // namespace coshard::crypto
