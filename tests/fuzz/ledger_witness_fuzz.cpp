// Any bytes as an add-checkpoint request, a cosigned note, a proof file and a fork's evidence:
// refused, or written again as they were.
// SPDX-License-Identifier: Apache-2.0
#include <cstdint>

#include "ledger/proof_file.h"
#include "ledger/witness.h"
#include "protocol/base/check.h"
#include "tests/fuzz/fuzz_keys.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  using namespace coshard;
  static const crypto::KeyPair key = fuzz::sender_keys();
  static const ledger::NoteKey log{"example.org/coshard/m/toy", key.public_key()};
  static const ledger::WitnessSetup setup{"witness.example", &key, {{log.name, {log}}}};
  static const ledger::NoteKey witness{setup.name, key.public_key(),
                                       ledger::NoteKeyType::kCosignatureV1};
  const std::string_view text = as_text({bytes, size});
  if (const auto request = ledger::AddCheckpoint::parse(text)) {
    COSHARD_CHECK(request->format() == text);
    const auto verdict = ledger::judge(setup, *request, std::nullopt, 1);
    COSHARD_CHECK(verdict.remember.has_value() == (verdict.answer.status == 200));
  }
  if (const auto proof = ledger::ProofFile::parse(text)) COSHARD_CHECK(proof->format() == text);
  if (const auto evidence = ledger::ForkEvidence::parse(text)) {
    COSHARD_CHECK(evidence->format() == text);
    (void)ledger::examine(*evidence);
  }
  const ledger::NoteKey known[] = {log, witness};
  if (const auto note = ledger::open_note(text, known)) COSHARD_CHECK(!note->verified.empty());
  return 0;
}
