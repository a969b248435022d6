// Any bytes as a signed note: refused, or a text and signatures that the known key made.
// SPDX-License-Identifier: Apache-2.0
#include <cstdint>

#include "ledger/note.h"
#include "protocol/base/check.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  using namespace coshard;
  static const ledger::NoteKey key = *ledger::NoteKey::parse_vkey(
      "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW");
  const std::string_view text = as_text({bytes, size});
  if (const auto note = ledger::open_note(text, {&key, 1})) {
    COSHARD_CHECK(text.starts_with(note->text) && note->verified.size() == 1);
  }
  if (const auto parsed = ledger::NoteKey::parse_vkey(text)) COSHARD_CHECK(parsed->vkey() == text);
  return 0;
}
