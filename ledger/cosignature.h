// What a witness signs: the text of a checkpoint and the time at which nothing newer was known of
// its log. Pure; any thread. Bytes: c2sp.org/tlog-cosignature (cosignature/v1), FORMAT.md.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

#include "crypto/keys.h"
#include "protocol/base/bytes.h"
#include "protocol/base/error.h"

namespace coshard::ledger {

struct NoteKey;

/// The signature line of a witness under a checkpoint's text. `time`: POSIX seconds.
std::string cosign(std::string_view text, std::string_view witness, const crypto::KeyPair& key,
                   std::uint64_t time);

/// True for u64 time || Ed25519 signature over "cosignature/v1", the time and the text.
bool cosignature_verifies(ByteView signature, std::string_view text, const crypto::PublicKey& key);

/// Of `lines`, those by `witness` that verify over the note's text, duplicates left out.
/// kPermissionDenied when there is none, or a line of this witness is false (c2sp.org/tlog-witness:
/// lines of others in its answer are ignored).
Result<std::string> take_cosignature(std::string_view note, std::string_view lines,
                                     const NoteKey& witness);

/// `note` with the lines added that it does not have yet.
std::string with_lines(std::string_view note, std::string_view lines);

}  // namespace coshard::ledger
