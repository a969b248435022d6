// SPDX-License-Identifier: Apache-2.0
#include "ledger/note.h"

#include <algorithm>
#include <cstdio>

#include "crypto/hash.h"
#include "protocol/base/limits.h"

namespace coshard::ledger {
namespace {

constexpr std::uint8_t kEd25519 = 1;
constexpr std::string_view kDash = "\xE2\x80\x94 ";  // em dash and space start a signature line

Error malformed(const std::string& why) {
  return Error{ErrorCode::kInvalidArgument, "malformed note: " + why};
}

/// The code point at the front of `text`, which is shortened by it; -1 for invalid UTF-8.
std::int32_t take_code_point(std::string_view& text) {
  const auto byte = [&](std::size_t i) { return static_cast<std::uint8_t>(text[i]); };
  const std::uint8_t lead = byte(0);
  const std::size_t length = lead < 0x80   ? 1
                             : lead < 0xC2 ? 0
                             : lead < 0xE0 ? 2
                             : lead < 0xF0 ? 3
                             : lead < 0xF5 ? 4
                                           : 0;
  if (length == 0 || length > text.size()) return -1;
  std::int32_t point = length == 1 ? lead : lead & (0x7F >> length);
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return -1;
    point = point << 6 | (byte(i) & 0x3F);
  }
  constexpr std::int32_t kSmallest[] = {0, 0, 0x80, 0x800, 0x10000};
  const bool surrogate = point >= 0xD800 && point <= 0xDFFF;
  if (point < kSmallest[length] || point > 0x10FFFF || surrogate) return -1;
  text.remove_prefix(length);
  return point;
}

bool is_unicode_space(std::int32_t point) {
  return point == ' ' || (point >= 0x09 && point <= 0x0D) || point == 0x85 || point == 0xA0 ||
         point == 0x1680 || (point >= 0x2000 && point <= 0x200A) || point == 0x2028 ||
         point == 0x2029 || point == 0x202F || point == 0x205F || point == 0x3000;
}

bool is_note_text(std::string_view text) {
  while (!text.empty()) {
    const std::int32_t point = take_code_point(text);
    if (point < 0x20 && point != '\n') return false;
  }
  return true;
}

std::string hex8(std::uint32_t id) {
  Bytes bytes;
  put_be(bytes, id);
  return to_hex(bytes);
}

struct SignatureLine {
  std::string_view name;
  std::uint32_t id = 0;
  Bytes signature;
};

Result<SignatureLine> parse_signature_line(std::string_view line) {
  if (!line.starts_with(kDash)) return tl::unexpected(malformed("signature line without dash"));
  line.remove_prefix(kDash.size());
  const std::size_t space = line.find(' ');
  if (space == std::string_view::npos) {
    return tl::unexpected(malformed("signature line without key and signature"));
  }
  SignatureLine out;
  out.name = line.substr(0, space);
  auto decoded = from_base64(line.substr(space + 1));
  if (!is_note_name(out.name) || !decoded || decoded->size() < 5) {
    return tl::unexpected(malformed("signature line with a bad name or bad base64"));
  }
  out.id = get_be<std::uint32_t>(*decoded);
  out.signature.assign(decoded->begin() + 4, decoded->end());
  return out;
}

/// Splits at the last blank line: text with its newline, and the signature lines.
Result<std::vector<SignatureLine>> parse_note(std::string_view bytes, std::string_view& text) {
  if (bytes.size() > limits::kNoteBytesMax) return tl::unexpected(malformed("too long"));
  if (!is_note_text(bytes)) {
    return tl::unexpected(malformed("not UTF-8, or with a control character"));
  }
  const std::size_t split = bytes.rfind("\n\n");
  if (split == std::string_view::npos) return tl::unexpected(malformed("no blank line"));
  text = bytes.substr(0, split + 1);
  std::string_view rest = bytes.substr(split + 2);
  if (rest.empty() || rest.back() != '\n') {
    return tl::unexpected(malformed("signatures do not end in a newline"));
  }
  std::vector<SignatureLine> lines;
  while (!rest.empty()) {
    const std::size_t end = rest.find('\n');
    COSHARD_ASSIGN(SignatureLine line, parse_signature_line(rest.substr(0, end)));
    lines.push_back(std::move(line));
    if (lines.size() > limits::kNoteSignaturesMax) {
      return tl::unexpected(malformed("too many signatures"));
    }
    rest.remove_prefix(end + 1);
  }
  return lines;
}

}  // namespace

std::uint32_t NoteKey::id() const {
  const std::uint8_t separator[2] = {'\n', kEd25519};
  const Hash hash = crypto::Sha256().update(as_bytes(name)).update(separator).update(key).finish();
  return get_be<std::uint32_t>(hash);
}

std::string NoteKey::vkey() const {
  Bytes typed{kEd25519};
  append(typed, key);
  return name + "+" + hex8(id()) + "+" + to_base64(typed);
}

Result<NoteKey> NoteKey::parse_vkey(std::string_view text) {
  const Error bad{ErrorCode::kInvalidArgument,
                  "a note key name+id+base64 of type Ed25519 was expected"};
  const std::size_t first = text.find('+');
  if (first == std::string_view::npos) return tl::unexpected(bad);
  const std::size_t second = text.find('+', first + 1);
  if (second == std::string_view::npos) return tl::unexpected(bad);
  const auto decoded = from_base64(text.substr(second + 1));
  if (!decoded || decoded->size() != 33 || decoded->front() != kEd25519) return tl::unexpected(bad);
  NoteKey out;
  out.name = text.substr(0, first);
  out.key = *to_array<32>(ByteView(*decoded).subspan(1));
  if (!is_note_name(out.name) || out.vkey() != text) return tl::unexpected(bad);
  return out;
}

bool is_note_name(std::string_view name) {
  if (name.empty()) return false;
  while (!name.empty()) {
    const std::int32_t point = take_code_point(name);
    if (point < 0x20 || point == '+' || is_unicode_space(point)) return false;
  }
  return true;
}

Result<std::string> sign_note(std::string_view text, std::string_view name,
                              const crypto::KeyPair& key) {
  if (text.empty() || text.back() != '\n' || !is_note_text(text) || !is_note_name(name)) {
    return tl::unexpected(malformed("text or key name cannot be signed"));
  }
  const NoteKey public_key{std::string(name), key.public_key()};
  Bytes line;
  put_be(line, public_key.id());
  append(line, key.sign(as_bytes(text)));
  std::string out(text);
  out += "\n";
  out += kDash;
  out += name;
  out += " " + to_base64(line) + "\n";
  return out;
}

Result<Note> open_note(std::string_view bytes, std::span<const NoteKey> known) {
  std::string_view text;
  COSHARD_ASSIGN(const std::vector<SignatureLine> lines, parse_note(bytes, text));
  Note note;
  note.text = text;
  for (const SignatureLine& line : lines) {
    const auto key = std::find_if(known.begin(), known.end(), [&](const NoteKey& candidate) {
      return candidate.name == line.name && candidate.id() == line.id;
    });
    if (key == known.end()) {
      ++note.unknown_signatures;
      continue;
    }
    const auto signature = to_array<64>(line.signature);
    if (!signature || !crypto::verify(key->key, as_bytes(text), *signature)) {
      return fail(ErrorCode::kPermissionDenied, "note: signature by " + key->name + " is false");
    }
    if (std::find(note.verified.begin(), note.verified.end(), *key) == note.verified.end()) {
      note.verified.push_back(*key);
    }
  }
  if (note.verified.empty()) {
    return fail(ErrorCode::kPermissionDenied, "note: no signature by a known key");
  }
  return note;
}

}  // namespace coshard::ledger
