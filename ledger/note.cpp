// SPDX-License-Identifier: Apache-2.0
#include "ledger/note.h"

#include <algorithm>
#include <cstdio>

#include "crypto/hash.h"
#include "ledger/cosignature.h"
#include "protocol/base/limits.h"

namespace coshard::ledger {
namespace {

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

Result<NoteLine> parse_line(std::string_view raw) {
  std::string_view line = raw.substr(0, raw.size() - 1);
  if (!line.starts_with(kDash)) return tl::unexpected(malformed("signature line without dash"));
  line.remove_prefix(kDash.size());
  const std::size_t space = line.find(' ');
  if (space == std::string_view::npos) {
    return tl::unexpected(malformed("signature line without key and signature"));
  }
  NoteLine out;
  out.raw = raw;
  out.name = line.substr(0, space);
  auto decoded = from_base64(line.substr(space + 1));
  if (!is_note_name(out.name) || !decoded || decoded->size() < 5) {
    return tl::unexpected(malformed("signature line with a bad name or bad base64"));
  }
  out.id = get_be<std::uint32_t>(*decoded);
  out.signature.assign(decoded->begin() + 4, decoded->end());
  return out;
}

}  // namespace

Result<std::vector<NoteLine>> parse_note_lines(std::string_view bytes) {
  if (bytes.size() > limits::kNoteBytesMax) return tl::unexpected(malformed("too long"));
  if (bytes.empty() || bytes.back() != '\n') {
    return tl::unexpected(malformed("signatures do not end in a newline"));
  }
  if (!is_note_text(bytes)) {
    return tl::unexpected(malformed("not UTF-8, or with a control character"));
  }
  std::vector<NoteLine> lines;
  while (!bytes.empty()) {
    const std::size_t end = bytes.find('\n') + 1;
    COSHARD_ASSIGN(NoteLine line, parse_line(bytes.substr(0, end)));
    lines.push_back(std::move(line));
    if (lines.size() > limits::kNoteSignaturesMax) {
      return tl::unexpected(malformed("too many signatures"));
    }
    bytes.remove_prefix(end);
  }
  return lines;
}

Result<NoteParts> parse_note(std::string_view bytes) {
  if (bytes.size() > limits::kNoteBytesMax) return tl::unexpected(malformed("too long"));
  if (!is_note_text(bytes)) {
    return tl::unexpected(malformed("not UTF-8, or with a control character"));
  }
  const std::size_t split = bytes.rfind("\n\n");
  if (split == std::string_view::npos) return tl::unexpected(malformed("no blank line"));
  NoteParts out;
  out.text = bytes.substr(0, split + 1);
  COSHARD_ASSIGN(out.lines, parse_note_lines(bytes.substr(split + 2)));
  return out;
}

bool is_line_of(const NoteLine& line, const NoteKey& key) {
  return line.name == key.name && line.id == key.id();
}

bool is_signed_by(const NoteLine& line, std::string_view text, const NoteKey& key) {
  if (!is_line_of(line, key)) return false;
  if (key.type == NoteKeyType::kCosignatureV1) {
    return cosignature_verifies(line.signature, text, key.key);
  }
  const auto signature = to_array<64>(line.signature);
  return signature && crypto::verify(key.key, as_bytes(text), *signature);
}

std::string note_line(const NoteKey& key, ByteView signature) {
  Bytes bytes;
  put_be(bytes, key.id());
  append(bytes, signature);
  return std::string(kDash) + key.name + " " + to_base64(bytes) + "\n";
}

std::uint32_t NoteKey::id() const {
  const std::uint8_t separator[2] = {'\n', static_cast<std::uint8_t>(type)};
  const Hash hash = crypto::Sha256().update(as_bytes(name)).update(separator).update(key).finish();
  return get_be<std::uint32_t>(hash);
}

std::string NoteKey::vkey() const {
  Bytes typed{static_cast<std::uint8_t>(type)};
  append(typed, key);
  return name + "+" + hex8(id()) + "+" + to_base64(typed);
}

Result<NoteKey> NoteKey::parse(std::string_view text, NoteKeyType type) {
  const bool log = type == NoteKeyType::kEd25519;
  const Error bad{ErrorCode::kInvalidArgument,
                  log ? "a note key name+id+base64 of type Ed25519 was expected"
                      : "a witness key name+id+base64 of type cosignature/v1 was expected"};
  const std::size_t first = text.find('+');
  if (first == std::string_view::npos) return tl::unexpected(bad);
  const std::size_t second = text.find('+', first + 1);
  if (second == std::string_view::npos) return tl::unexpected(bad);
  const auto decoded = from_base64(text.substr(second + 1));
  if (!decoded || decoded->size() != 33 || decoded->front() != static_cast<std::uint8_t>(type)) {
    return tl::unexpected(bad);
  }
  NoteKey out;
  out.type = type;
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
  return std::string(text) + "\n" + note_line(public_key, key.sign(as_bytes(text)));
}

Result<Note> open_note(std::string_view bytes, std::span<const NoteKey> known) {
  COSHARD_ASSIGN(const NoteParts parts, parse_note(bytes));
  Note note;
  note.text = parts.text;
  for (const NoteLine& line : parts.lines) {
    const auto key = std::find_if(known.begin(), known.end(), [&](const NoteKey& candidate) {
      return is_line_of(line, candidate);
    });
    if (key == known.end()) {
      ++note.unknown_signatures;
      continue;
    }
    if (!is_signed_by(line, parts.text, *key)) {
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
