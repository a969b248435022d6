// A witness's key and name in one secret file: made by coshard keygen, read by coshard-witness.
// Bytes of the secret: 0x04, seed (32), name. Any thread; does file I/O.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>

#include "crypto/secret_file.h"
#include "ledger/note.h"

namespace coshard::node {

struct WitnessKey {
  std::string name;
  crypto::KeyPair key;

  ledger::NoteKey note_key() const {
    return {name, key.public_key(), ledger::NoteKeyType::kCosignatureV1};
  }
};

/// Makes one and writes it to a new file. kInvalidArgument for a name that a note cannot bear;
/// errors of crypto::write_secret_file.
Result<WitnessKey> make_witness_key(const std::filesystem::path& file, const std::string& name,
                                    crypto::Passphrase passphrase);

/// kInvalidArgument when the file holds another kind of key; errors of crypto::read_secret_file.
Result<WitnessKey> read_witness_key(const std::filesystem::path& file,
                                    crypto::Passphrase passphrase);

}  // namespace coshard::node
