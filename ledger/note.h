// C2SP signed notes: a text and Ed25519 signatures under named keys, of logs and of witnesses.
// Pure; any thread. Bytes: c2sp.org/signed-note, c2sp.org/tlog-cosignature, FORMAT.md.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "crypto/keys.h"
#include "protocol/base/error.h"

namespace coshard::ledger {

/// What a key signs: the text (a log), or the text and a time (a witness). 0x06, cosignatures by
/// ML-DSA-44, is the slot that the specification has for later; its lines are unknown ones here.
enum class NoteKeyType : std::uint8_t { kEd25519 = 0x01, kCosignatureV1 = 0x04 };

/// A public note key. Its id ties the name, the algorithm and the key.
struct NoteKey {
  std::string name;
  crypto::PublicKey key{};
  NoteKeyType type = NoteKeyType::kEd25519;

  bool operator==(const NoteKey&) const = default;

  /// First 4 bytes of SHA-256(name || 0x0A || type || key), big-endian.
  std::uint32_t id() const;
  /// "name+hex8(id)+base64(type || key)", as sumdb/note and others read it.
  std::string vkey() const;
  /// A log's key. kInvalidArgument for anything that vkey() would not have written.
  static Result<NoteKey> parse_vkey(std::string_view text) {
    return parse(text, NoteKeyType::kEd25519);
  }
  /// The same of either type.
  static Result<NoteKey> parse(std::string_view text, NoteKeyType type);
};

/// One signature line of a note, not yet checked.
struct NoteLine {
  std::string_view name;
  std::uint32_t id = 0;
  Bytes signature;       ///< without the id
  std::string_view raw;  ///< the whole line with its newline, in the note's bytes
};

/// A note taken apart; views into the bytes that were parsed.
struct NoteParts {
  std::string_view text;  ///< ends in a newline
  std::vector<NoteLine> lines;
};

/// Splits at the last blank line and checks every form of the specification, no signature.
Result<NoteParts> parse_note(std::string_view bytes);
/// Signature lines without a text, as a witness answers; kInvalidArgument also for none.
Result<std::vector<NoteLine>> parse_note_lines(std::string_view bytes);

/// True when `line` is of this key, whatever its signature is worth.
bool is_line_of(const NoteLine& line, const NoteKey& key);
/// True when the line's signature over `text` is the key's.
bool is_signed_by(const NoteLine& line, std::string_view text, const NoteKey& key);

/// The line that a signature becomes, with its newline.
std::string note_line(const NoteKey& key, ByteView signature);

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
