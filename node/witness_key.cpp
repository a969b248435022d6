// SPDX-License-Identifier: Apache-2.0
#include "node/witness_key.h"

namespace coshard::node {
namespace {

constexpr auto kType = static_cast<std::uint8_t>(ledger::NoteKeyType::kCosignatureV1);

}  // namespace

Result<WitnessKey> make_witness_key(const std::filesystem::path& file, const std::string& name,
                                    crypto::Passphrase passphrase) {
  if (!ledger::is_note_name(name)) {
    return fail(ErrorCode::kInvalidArgument,
                "--witness: expected a name without space and plus, such as "
                "witness.example.org/w1, found \"" +
                    name + "\"");
  }
  WitnessKey made{name, crypto::KeyPair::generate()};
  crypto::SecretBytes secret(1 + crypto::kSeedBytes + name.size());
  secret.writable()[0] = kType;
  std::copy_n(made.key.seed().begin(), crypto::kSeedBytes, secret.writable().begin() + 1);
  std::copy(name.begin(), name.end(), secret.writable().begin() + 1 + crypto::kSeedBytes);
  COSHARD_TRY(crypto::write_secret_file(file, secret.view(), passphrase));
  return made;
}

Result<WitnessKey> read_witness_key(const std::filesystem::path& file,
                                    crypto::Passphrase passphrase) {
  COSHARD_ASSIGN(const crypto::SecretBytes secret, crypto::read_secret_file(file, passphrase));
  constexpr std::size_t kNameAt = 1 + crypto::kSeedBytes;
  if (secret.size() > kNameAt && secret.view()[0] == kType) {
    const std::string name(as_text(secret.view().subspan(kNameAt)));
    COSHARD_ASSIGN(crypto::KeyPair key,
                   crypto::KeyPair::from_seed(secret.view().subspan(1, crypto::kSeedBytes)));
    if (ledger::is_note_name(name)) return WitnessKey{name, std::move(key)};
  }
  return fail(ErrorCode::kInvalidArgument,
              file.string() +
                  ": expected the key of a witness, found another one; coshard keygen --witness "
                  "NAME makes one");
}

}  // namespace coshard::node
