// Sealing what is too long for memory: XChaCha20-Poly1305 in pieces (libsodium's secretstream), so
// that a changed, missing, repeated or swapped piece and a cut end are noticed. Pure; any thread.
//
//   24-byte header, then pieces of kSealPieceBytes, each followed by 17 bytes; the last is shorter
//
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <span>

#include "protocol/base/bytes.h"
#include "protocol/base/error.h"

namespace coshard::crypto {

inline constexpr std::size_t kSealKeyBytes = 32;
inline constexpr std::size_t kSealPieceBytes = std::size_t{1} << 16;

/// Fills `out` from where the last call ended; fewer bytes only at the end.
using StreamSource = std::function<Result<std::size_t>(std::span<std::uint8_t> out)>;
using StreamSink = std::function<Result<void>(ByteView)>;

/// Errors of source and sink. Each stream draws a nonce of its own.
Result<void> seal_stream(ByteView key, const StreamSource& source, const StreamSink& sink);

/// What was sealed, in pieces, each as soon as it is known to be right. kPermissionDenied: another
/// key, or other bytes than were sealed; what the sink has taken is then not to be used.
Result<void> open_stream(ByteView key, const StreamSource& source, const StreamSink& sink);

}  // namespace coshard::crypto
