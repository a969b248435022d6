// SPDX-License-Identifier: Apache-2.0
#include "ledger/cosignature.h"

#include "ledger/note.h"

namespace coshard::ledger {
namespace {

constexpr std::uint64_t kTimeMax = ~std::uint64_t{0} >> 1;  // the specification's

std::string message_of(std::string_view text, std::uint64_t time) {
  return "cosignature/v1\ntime " + std::to_string(time) + "\n" + std::string(text);
}

}  // namespace

std::string cosign(std::string_view text, std::string_view witness, const crypto::KeyPair& key,
                   std::uint64_t time) {
  Bytes signature;
  put_be(signature, time);
  append(signature, key.sign(as_bytes(message_of(text, time))));
  return note_line({std::string(witness), key.public_key(), NoteKeyType::kCosignatureV1},
                   signature);
}

bool cosignature_verifies(ByteView signature, std::string_view text, const crypto::PublicKey& key) {
  if (signature.size() != 8 + 64) return false;
  const auto time = get_be<std::uint64_t>(signature);
  return time <= kTimeMax &&
         crypto::verify(key, as_bytes(message_of(text, time)), *to_array<64>(signature.subspan(8)));
}

Result<std::string> take_cosignature(std::string_view note, std::string_view lines,
                                     const NoteKey& witness) {
  COSHARD_ASSIGN(const NoteParts parts, parse_note(note));
  COSHARD_ASSIGN(const std::vector<NoteLine> answered, parse_note_lines(lines));
  for (const NoteLine& line : answered) {
    if (!is_line_of(line, witness)) continue;
    if (is_signed_by(line, parts.text, witness)) return std::string(line.raw);
    return fail(ErrorCode::kPermissionDenied, "the cosignature of " + witness.name + " is false");
  }
  return fail(ErrorCode::kPermissionDenied,
              "a cosignature by " + witness.name + " was expected, found none");
}

std::string with_lines(std::string_view note, std::string_view lines) {
  std::string out(note);
  while (!lines.empty()) {
    const std::size_t end = lines.find('\n') + 1;
    const std::string_view line = lines.substr(0, end);
    if (end == 0) break;
    if (out.find(line) == std::string::npos) out += line;
    lines.remove_prefix(end);
  }
  return out;
}

}  // namespace coshard::ledger
