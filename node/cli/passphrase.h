// Passphrases and key files as people hand them in: typed on a terminal, or a line on a file
// descriptor. Home thread: main.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "crypto/identity.h"
#include "crypto/secret_bytes.h"
#include "crypto/secret_file.h"

namespace coshard::cli {

/// One line without its end; nothing after it is read. kInvalidArgument when there is none.
Result<crypto::SecretBytes> read_passphrase_line(int fd);

/// Asks twice for a new passphrase. kInvalidArgument without a terminal, or for different lines.
Result<crypto::SecretBytes> ask_new_passphrase();

/// The passphrase of `file`, if it has one: a line on `fd`, or asked on the terminal. Nothing for
/// an unprotected file. Errors of crypto::needs_passphrase.
Result<std::optional<crypto::SecretBytes>> passphrase_of(const std::filesystem::path& file,
                                                         std::optional<int> fd);

/// The keys in `file`.
Result<crypto::Identity> open_keys(const std::filesystem::path& file, std::optional<int> fd);

/// The same where the root signs. kInvalidArgument, saying whose key file to use, for a box's.
Result<crypto::Identity> open_owner_keys(const std::filesystem::path& file, std::optional<int> fd);
Result<crypto::Identity> load_owner_keys(const std::filesystem::path& file,
                                         crypto::Passphrase passphrase);

/// Asks `question` on the terminal: true when the person types yes. kInvalidArgument without one.
Result<bool> agrees(const std::string& question);

}  // namespace coshard::cli
