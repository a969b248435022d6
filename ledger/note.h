// C2SP signed notes: a text and Ed25519 signatures under named keys. Pure; any thread.
// Bytes: c2sp.org/signed-note, FORMAT.md.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "crypto/keys.h"
#include "protocol/base/error.h"

namespace coshard::ledger {

/// A public note key. Its id ties the name, the algorithm and the key.
struct NoteKey {
  std::string name;
  crypto::PublicKey key{};

  bool operator==(const NoteKey&) const = default;

  /// First 4 bytes of SHA-256(name || 0x0A || 0x01 || key), big-endian.
  std::uint32_t id() const;
  /// "name+hex8(id)+base64(0x01 || key)", as sumdb/note and others read it.
  std::string vkey() const;
  /// kInvalidArgument for anything that vkey() would not have written.
  static Result<NoteKey> parse_vkey(std::string_view text);
};

/// A note whose signature by a known key verified.
struct Note {
  std::string text;               ///< ends in a newline
  std::vector<NoteKey> verified;  ///< known keys that signed it, each once
  std::size_t unknown_signatures = 0;
};

/// True for a name that a note key may have: UTF-8, no space, no plus, not empty.
bool is_note_name(std::string_view name);

/// The note: text, blank line, one signature line. kInvalidArgument when the text or the name could
/// not be read back.
Result<std::string> sign_note(std::string_view text, std::string_view name,
                              const crypto::KeyPair& key);

/// Reads a note and requires at least one signature by `known` keys. kInvalidArgument: malformed.
/// kPermissionDenied: a known key's signature is false (the whole note is refused then), or no
/// known key signed.
Result<Note> open_note(std::string_view bytes, std::span<const NoteKey> known);

}  // namespace coshard::ledger
