// What both daemons do before anything opens: the invitation's text, the passphrase, the key file,
// small files that other programs read. Any thread; used by main.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "crypto/identity.h"
#include "crypto/secret_bytes.h"
#include "protocol/base/error.h"
#include "protocol/transport/transport.h"

namespace coshard::node {

inline constexpr std::string_view kSoftwareVersion = "coshard 0.1.0";

/// Exit codes of the two daemons (node/README.md).
enum ExitCode : int {
  kExitDone = 0,
  kExitInternal = 1,
  kExitUsage = 2,       ///< bad flag, file or folder: nothing was started
  kExitEndedEarly = 3,  ///< the round ended before its last step and can be resumed
  kExitRefused = 4,     ///< the coordinator does not let this node in (any more)
};

/// Where a round's coordinator is, and whom to expect there:
/// coshard://HOST:PORT/?node=<64 hex>&curve=<64 hex>[&network=<64 hex>]
struct Invitation {
  transport::PeerAddress coordinator;
  std::optional<NetworkId> network;
};
std::string format_invitation(const Invitation& invitation);
/// kInvalidArgument saying what was expected and found.
Result<Invitation> parse_invitation(std::string_view text);
/// The argument of --join: an invitation, or the name of a file whose first line is one.
Result<Invitation> read_invitation(const std::string& text_or_file);

/// One line from an open file descriptor; nothing for -1. kInvalidArgument when it cannot be read.
Result<std::optional<crypto::SecretBytes>> read_passphrase(int fd);
/// As crypto wants it; valid as long as `passphrase`.
std::optional<std::string_view> as_passphrase(const std::optional<crypto::SecretBytes>& passphrase);

/// The identity in `file`; a missing file is made, under `passphrase`.
Result<crypto::Identity> open_identity(const std::filesystem::path& file,
                                       const std::optional<crypto::SecretBytes>& passphrase);

/// "tcp://HOST:PORT" as libzmq wants it: port 0 becomes "*". kInvalidArgument for anything else.
Result<std::string> listen_endpoint(const std::string& text);
/// What others dial: the endpoint as bound, or `advertise` ("HOST:PORT" or "HOST": the bound port).
std::string advertised_endpoint(const std::string& bound, const std::string& advertise);

/// What to tell an operator whose machine shows a time, `now_ms`, before one that has passed,
/// `known_ms`: expected, found, what to do. Nothing where the clock may be right.
std::optional<std::string> clock_complaint(std::uint64_t now_ms, std::uint64_t known_ms);

/// Makes `directory` if it is missing; kInvalidArgument when it cannot be written.
Result<void> prepare_directory(const std::filesystem::path& directory);

/// Replaces a small file that others watch: a reader sees the old text or the new one. Not made
/// durable: it says how things are, not what was decided. `mode` as in chmod.
Result<void> replace_file(const std::filesystem::path& file, std::string_view text,
                          unsigned mode = 0644);

}  // namespace coshard::node
