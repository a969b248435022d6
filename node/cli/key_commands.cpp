// coshard key rotate | revoke | recovery: what an owner's root key says about his other keys, and
// how an account is taken over whose root is lost.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "crypto/secret_file.h"
#include "crypto/signed_payload.h"
#include "ledger/requests.h"
#include "node/cli/commands.h"
#include "node/cli/exit_code.h"
#include "node/cli/ledger_desk.h"
#include "node/cli/passphrase.h"
#include "node/startup.h"

namespace coshard::cli {
namespace {

using Step = KeyRecoveryCommand::Step;

int answer(const Result<LogIndex>& index, const std::string& what, bool as_json) {
  if (!index) return report_refusal(index.error());
  if (as_json)
    std::printf("%s\n", nlohmann::ordered_json{{"index", index->value}}.dump().c_str());
  else
    std::printf("%s: entry %llu\n", what.c_str(), static_cast<unsigned long long>(index->value));
  return kDone;
}

Result<LogIndex> first(const Result<std::vector<LogIndex>>& indices) {
  if (!indices) return tl::unexpected(indices.error());
  return indices->front();
}

crypto::Signature sign_revocation(const crypto::Identity& owner, const NetworkId& network,
                                  const NodeId& node) {
  return crypto::sign_payload(owner.root(), crypto::domains::kRevocation, network, node.view());
}

/// The same root with fresh operating and CURVE keys: parts of two key files' secrets
/// (crypto/README.md).
Result<crypto::Identity> with_fresh_keys(const crypto::Identity& old) {
  constexpr std::ptrdiff_t kRootEnd = 1 + 32;
  const crypto::SecretBytes secret = old.encode_secret();
  crypto::SecretBytes fresh = crypto::Identity::generate().encode_secret();
  std::copy(secret.view().begin(), secret.view().begin() + kRootEnd, fresh.writable().begin());
  return crypto::Identity::decode_secret(fresh.view());
}

/// The key file first: a key that the log knows and nobody holds would be lost work.
Result<LogIndex> rotate(const KeyRotateCommand& command) {
  COSHARD_ASSIGN(LedgerDesk desk, LedgerDesk::open(command.desk));
  COSHARD_ASSIGN(const auto passphrase, passphrase_of(command.key.file, command.key.passphrase_fd));
  COSHARD_ASSIGN(const auto old,
                 crypto::load_identity(command.key.file, node::as_passphrase(passphrase)));
  if (desk.accounts().find_node(old.node()) == nullptr)
    return fail(ErrorCode::kFailedPrecondition, "node " + old.node().short_hex() +
                                                    " has never joined this round: nothing to "
                                                    "replace");
  std::error_code ec;
  if (!std::filesystem::exists(command.out, ec)) {
    COSHARD_ASSIGN(const crypto::Identity made, with_fresh_keys(old));
    COSHARD_TRY(crypto::save_identity(command.out, made, node::as_passphrase(passphrase)));
  }
  // There already after a rotation that was cut short: the same keys are said again.
  COSHARD_ASSIGN(const auto next,
                 crypto::load_identity(command.out, node::as_passphrase(passphrase)));
  if (next.account() != old.account())
    return fail(ErrorCode::kFailedPrecondition,
                command.out.string() + ": expected no file, or one of the same account");
  const ledger::KeyRotate leaf{old.node(), sign_revocation(old, desk.network(), old.node()),
                               next.certificate().encode()};
  return first(desk.submit(ledger::encode_request(desk.network(), ledger::Leaf(leaf))));
}

Result<LogIndex> revoke(const KeyRevokeCommand& command) {
  COSHARD_ASSIGN(LedgerDesk desk, LedgerDesk::open(command.desk));
  COSHARD_ASSIGN(const auto owner, open_keys(command.key.file, command.key.passphrase_fd));
  NodeId node = owner.node();
  if (!command.node.empty()) {
    const auto bytes = to_array<32>(from_hex(command.node).value_or(Bytes{}));
    if (!bytes)
      return fail(ErrorCode::kInvalidArgument,
                  "--node: expected 64 hexadecimal digits, found \"" + command.node + "\"");
    node = NodeId{*bytes};
  }
  const ledger::IdentityRevoke leaf{node, sign_revocation(owner, desk.network(), node)};
  return first(desk.submit(ledger::encode_request(desk.network(), ledger::Leaf(leaf))));
}

Result<LogIndex> name(const KeyRecoveryCommand& command) {
  ledger::RecoveryName leaf;
  if (command.recovery_key != "none") {
    const auto key = to_array<32>(from_hex(command.recovery_key).value_or(Bytes{}));
    if (!key)
      return fail(ErrorCode::kInvalidArgument,
                  "--recovery-key: expected 64 hexadecimal digits or none, found \"" +
                      command.recovery_key + "\"");
    leaf.key = *key;
  }
  COSHARD_ASSIGN(LedgerDesk desk, LedgerDesk::open(command.desk));
  COSHARD_ASSIGN(const auto owner, open_keys(command.key.file, command.key.passphrase_fd));
  const auto account = desk.accounts().account_of(owner.root().public_key());
  if (!account)
    return fail(ErrorCode::kPermissionDenied, "the root key speaks for no account in this ledger");
  const ledger::SignedBody body =
      ledger::sign_body(owner.root(), desk.network(), desk.accounts().balance(*account).entries + 1,
                        ledger::Leaf(leaf));
  return first(desk.submit(ledger::encode_request(desk.network(), body)));
}

Result<LogIndex> claim(const KeyRecoveryCommand& command) {
  COSHARD_ASSIGN(LedgerDesk desk, LedgerDesk::open(command.desk));
  COSHARD_ASSIGN(const AccountId account, desk.find_account(command.account));
  COSHARD_ASSIGN(const auto claimer,
                 open_keys(command.recovery.file, command.recovery.passphrase_fd));
  COSHARD_ASSIGN(const auto next, open_keys(command.next.file, command.next.passphrase_fd));
  const ledger::Recovery* recovery = desk.accounts().find_recovery(account);
  if (recovery == nullptr || recovery->key != claimer.root().public_key())
    return fail(ErrorCode::kPermissionDenied,
                "account " + account.short_hex() + " did not name the root of " +
                    command.recovery.file.string() + " as its recovery key");
  const ledger::RecoveryClaim leaf{account, next.root().public_key(),
                                   crypto::sign_payload(next.root(), crypto::domains::kRecovery,
                                                        desk.network(), account.view())};
  const ledger::SignedBody body =
      ledger::sign_body(claimer.root(), desk.network(), recovery->claims + 1, ledger::Leaf(leaf));
  return first(desk.submit(ledger::encode_request(desk.network(), body)));
}

Result<LogIndex> finish(const KeyRecoveryCommand& command) {
  COSHARD_ASSIGN(LedgerDesk desk, LedgerDesk::open(command.desk));
  COSHARD_ASSIGN(const AccountId account, desk.find_account(command.account));
  COSHARD_ASSIGN(const auto next, open_keys(command.key.file, command.key.passphrase_fd));
  const ledger::SignedBody body =
      ledger::sign_body(next.root(), desk.network(), desk.accounts().balance(account).entries + 1,
                        ledger::Leaf(ledger::RecoveryFinish{account}));
  return first(desk.submit(ledger::encode_request(desk.network(), body)));
}

}  // namespace

int run(const KeyRotateCommand& command) {
  return answer(
      rotate(command),
      "the keys in " + command.out.string() + " replace those in " + command.key.file.string(),
      command.desk.json);
}

int run(const KeyRevokeCommand& command) {
  return answer(revoke(command), "the key is revoked", command.desk.json);
}

int run(const KeyRecoveryCommand& command) {
  switch (command.step) {
    case Step::kName:
      return answer(name(command), "the recovery key is named", command.desk.json);
    case Step::kClaim:
      return answer(claim(command), "the account is claimed; its owner may object meanwhile",
                    command.desk.json);
    case Step::kFinish:
      break;
  }
  return answer(finish(command), "the new root speaks for the account", command.desk.json);
}

}  // namespace coshard::cli
