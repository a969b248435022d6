// coshard keygen: fresh keys of a participant in one protected file.
// SPDX-License-Identifier: Apache-2.0
#include <cstdio>
#include <nlohmann/json.hpp>

#include "crypto/secret_file.h"
#include "node/cli/commands.h"
#include "node/cli/exit_code.h"
#include "node/cli/passphrase.h"
#include "node/startup.h"
#include "node/witness_key.h"

namespace coshard::cli {
namespace {

/// Refuses a file that is there already; asks for the passphrase that was wanted.
Result<std::optional<crypto::SecretBytes>> prepare(const KeygenCommand& command) {
  std::error_code ec;
  if (std::filesystem::exists(std::filesystem::symlink_status(command.out, ec)))
    return fail(ErrorCode::kFailedPrecondition,
                command.out.string() +
                    ": expected no such file, found one; keys are never "
                    "overwritten (choose another --out)");
  if (command.no_passphrase) return std::nullopt;
  COSHARD_ASSIGN(crypto::SecretBytes passphrase, command.passphrase_fd
                                                     ? read_passphrase_line(*command.passphrase_fd)
                                                     : ask_new_passphrase());
  if (passphrase.size() == 0)
    return fail(ErrorCode::kInvalidArgument,
                "passphrase: expected at least one character, found none (--no-passphrase leaves "
                "the file unprotected)");
  return passphrase;
}

/// A participant's keys; a box's when there is a root to certify them.
Result<crypto::Identity> make_keys(const KeygenCommand& command) {
  std::optional<crypto::Identity> owner;
  if (!command.root.empty()) {
    COSHARD_ASSIGN(owner, open_owner_keys(command.root, command.root_passphrase_fd));
  }
  COSHARD_ASSIGN(const auto passphrase, prepare(command));
  crypto::Identity identity =
      owner ? owner->with_fresh_keys().without_root() : crypto::Identity::generate();
  COSHARD_TRY(crypto::save_identity(command.out, identity, node::as_passphrase(passphrase)));
  return identity;
}

Result<node::WitnessKey> make_witness(const KeygenCommand& command) {
  COSHARD_ASSIGN(const auto passphrase, prepare(command));
  return node::make_witness_key(command.out, command.witness, node::as_passphrase(passphrase));
}

int run_for_witness(const KeygenCommand& command) {
  const auto made = make_witness(command);
  if (!made) return report(made.error(), kBadInput);
  const std::string vkey = made->note_key().vkey();
  if (command.json) {
    const nlohmann::ordered_json json{{"file", command.out.string()},
                                      {"witness", made->name},
                                      {"vkey", vkey},
                                      {"protected", !command.no_passphrase}};
    std::printf("%s\n", json.dump().c_str());
    return kDone;
  }
  std::printf("file  %s\nvkey  %s\n", command.out.c_str(), vkey.c_str());
  std::printf("In a policy: witness NAME %s http://HOST:PORT\n", vkey.c_str());
  return kDone;
}

}  // namespace

int run(const KeygenCommand& command) {
  if (!command.witness.empty()) return run_for_witness(command);
  const auto identity = make_keys(command);
  if (!identity) return report(identity.error(), kBadInput);
  if (command.json) {
    const nlohmann::ordered_json json{{"file", command.out.string()},
                                      {"node", identity->node().hex()},
                                      {"account", identity->account().hex()},
                                      {"root", to_hex(identity->certificate().root_public)},
                                      {"holds_root", identity->has_root()},
                                      {"protected", !command.no_passphrase}};
    std::printf("%s\n", json.dump().c_str());
    return kDone;
  }
  const char* warning = identity->has_root()
                            ? "  (no passphrase: whoever reads it owns the account)"
                            : "  (no passphrase: whoever reads it can run as this node)";
  std::printf("file     %s%s\nnode     %s\naccount  %s\n", command.out.c_str(),
              command.no_passphrase ? warning : "", identity->node().hex().c_str(),
              identity->account().hex().c_str());
  if (identity->has_root())
    std::printf("Keep a copy of the file: without it the account is lost.\n");
  else
    std::printf(
        "What it earns is the account's; it can move nothing. If it is lost or stolen:\n"
        "  coshard key revoke ROUND --key %s --node %s\n",
        command.root.c_str(), identity->node().hex().c_str());
  return kDone;
}

}  // namespace coshard::cli
