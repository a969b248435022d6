// A log's signed promise: origin, size and root. Pure; any thread.
// Bytes: c2sp.org/tlog-checkpoint, FORMAT.md.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

#include "ledger/note.h"

namespace coshard::ledger {

struct Checkpoint {
  std::string origin;
  std::uint64_t size = 0;
  Hash root{};

  bool operator==(const Checkpoint&) const = default;

  /// The three lines that are signed.
  std::string text() const;
  /// Exactly what text() writes: no leading zero, no extension line; kInvalidArgument otherwise.
  static Result<Checkpoint> parse(std::string_view text);
};

/// "<domain>/coshard/m/<model>": the name of a model's log and of its key. kInvalidArgument for
/// characters outside [a-z0-9.-] (and / in the domain).
Result<std::string> make_origin(std::string_view domain, std::string_view model);

/// The bytes of the file `checkpoint`. The key's name is the origin.
Result<std::string> sign_checkpoint(const Checkpoint& checkpoint, const crypto::KeyPair& log_key);

/// Opens a checkpoint file under the log's key; kPermissionDenied also when the origin is not the
/// key's name.
Result<Checkpoint> open_checkpoint(std::string_view note, const NoteKey& log_key);

}  // namespace coshard::ledger
