// coshard key rotate | revoke | witness | recovery: what an owner's root key says about his other
// keys, and how an account is taken over whose root is lost.
// SPDX-License-Identifier: Apache-2.0
#include "crypto/secret_file.h"
#include "crypto/signed_payload.h"
#include "crypto/witness_certificate.h"
#include "ledger/requests.h"
#include "node/cli/commands.h"
#include "node/cli/exit_code.h"
#include "node/cli/ledger_desk.h"
#include "node/cli/passphrase.h"
#include "node/startup.h"
#include "node/witness_key.h"

namespace coshard::cli {
namespace {

using Step = KeyRecoveryCommand::Step;

Result<LogIndex> first(const Result<std::vector<LogIndex>>& indices) {
  if (!indices) return tl::unexpected(indices.error());
  return indices->front();
}

crypto::Signature sign_revocation(const crypto::Identity& owner, const NetworkId& network,
                                  const NodeId& node) {
  return crypto::sign_payload(owner.root(), crypto::domains::kRevocation, network, node.view());
}

Result<NodeId> node_named(const std::string& text, const crypto::Identity& owner) {
  if (text.empty()) return owner.node();
  const auto bytes = to_array<32>(from_hex(text).value_or(Bytes{}));
  if (bytes) return NodeId{*bytes};
  return fail(ErrorCode::kInvalidArgument,
              "--node: expected 64 hexadecimal digits, found \"" + text + "\"");
}

/// The keys in the new file, made where there is none yet. There is one after a rotation that was
/// cut short, which says the same keys again, and where coshard keygen --root made it before.
Result<crypto::Identity> next_keys(const KeyRotateCommand& command, const crypto::Identity& owner,
                                   crypto::Passphrase passphrase) {
  std::error_code ec;
  if (!std::filesystem::exists(command.out, ec)) {
    crypto::Identity made = owner.with_fresh_keys();
    if (command.box) made = made.without_root();
    COSHARD_TRY(crypto::save_identity(command.out, made, passphrase));
  }
  COSHARD_ASSIGN(crypto::Identity next, crypto::load_identity(command.out, passphrase));
  const std::string where = command.out.string() + ": ";
  if (next.account() != owner.account())
    return fail(ErrorCode::kFailedPrecondition,
                where + "expected no file, or one of the same account");
  if (command.box && next.has_root())
    return fail(ErrorCode::kFailedPrecondition,
                where + "expected no file, or one of a box (--box), found one with its root key");
  return next;
}

/// The key file first: a key that the log knows and nobody holds would be lost work.
Result<LogIndex> rotate(const KeyRotateCommand& command) {
  COSHARD_ASSIGN(LedgerDesk desk, LedgerDesk::open(command.desk));
  COSHARD_ASSIGN(auto passphrase, passphrase_of(command.key.file, command.key.passphrase_fd));
  COSHARD_ASSIGN(const auto owner,
                 load_owner_keys(command.key.file, node::as_passphrase(passphrase)));
  COSHARD_ASSIGN(const NodeId old, node_named(command.node, owner));
  if (desk.accounts().find_node(old) == nullptr)
    return fail(ErrorCode::kFailedPrecondition,
                "node " + old.short_hex() + " has never joined this round: nothing to replace" +
                    (command.node.empty() ? " (--node says which one is meant)" : ""));
  if (command.out_passphrase_fd) {
    COSHARD_ASSIGN(passphrase, read_passphrase_line(*command.out_passphrase_fd));
  }
  COSHARD_ASSIGN(const auto next, next_keys(command, owner, node::as_passphrase(passphrase)));
  const ledger::KeyRotate leaf{old, sign_revocation(owner, desk.network(), old),
                               next.certificate().encode()};
  return first(desk.submit(ledger::encode_request(desk.network(), ledger::Leaf(leaf))));
}

Result<LogIndex> revoke(const KeyRevokeCommand& command) {
  COSHARD_ASSIGN(LedgerDesk desk, LedgerDesk::open(command.desk));
  COSHARD_ASSIGN(const auto owner, open_owner_keys(command.key.file, command.key.passphrase_fd));
  COSHARD_ASSIGN(const NodeId node, node_named(command.node, owner));
  const ledger::IdentityRevoke leaf{node, sign_revocation(owner, desk.network(), node)};
  return first(desk.submit(ledger::encode_request(desk.network(), ledger::Leaf(leaf))));
}

/// The first certificate of a witness key has serial 1, and one that says something else is newer.
/// Saying the same again is the same certificate.
std::uint64_t witness_serial(const ledger::Accounts& accounts, const crypto::Identity& owner,
                             const node::WitnessKey& witness) {
  const auto known = accounts.witnesses().find(witness.key.public_key());
  if (known == accounts.witnesses().end()) return 1;
  const crypto::WitnessCertificate& said = known->second.certificate;
  const bool same = said.name == witness.name && said.root_public == owner.root().public_key();
  return same ? said.serial : said.serial + 1;
}

Result<LogIndex> vouch(const KeyWitnessCommand& command) {
  COSHARD_ASSIGN(LedgerDesk desk, LedgerDesk::open(command.desk));
  COSHARD_ASSIGN(const auto owner, open_owner_keys(command.key.file, command.key.passphrase_fd));
  COSHARD_ASSIGN(const auto passphrase,
                 passphrase_of(command.witness.file, command.witness.passphrase_fd));
  COSHARD_ASSIGN(const auto witness,
                 node::read_witness_key(command.witness.file, node::as_passphrase(passphrase)));
  const auto known = desk.accounts().witnesses().find(witness.key.public_key());
  if (known != desk.accounts().witnesses().end() && known->second.revoked)
    return fail(ErrorCode::kFailedPrecondition,
                command.witness.file.string() + ": the key was revoked at entry " +
                    std::to_string(known->second.revoked->value) +
                    " and stays so; make another with coshard keygen --witness");
  const auto certificate = crypto::WitnessCertificate::sign(
      owner.root(), witness.key, witness.name, witness_serial(desk.accounts(), owner, witness));
  const ledger::WitnessRegister leaf{certificate.encode()};
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
  COSHARD_ASSIGN(const auto owner, open_owner_keys(command.key.file, command.key.passphrase_fd));
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
                 open_owner_keys(command.recovery.file, command.recovery.passphrase_fd));
  COSHARD_ASSIGN(const auto next, open_owner_keys(command.next.file, command.next.passphrase_fd));
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
  COSHARD_ASSIGN(const auto next, open_owner_keys(command.key.file, command.key.passphrase_fd));
  const ledger::SignedBody body =
      ledger::sign_body(next.root(), desk.network(), desk.accounts().balance(account).entries + 1,
                        ledger::Leaf(ledger::RecoveryFinish{account}));
  return first(desk.submit(ledger::encode_request(desk.network(), body)));
}

}  // namespace

int run(const KeyRotateCommand& command) {
  return report_entry(
      rotate(command),
      "the keys in " + command.out.string() + " replace those in " + command.key.file.string(),
      command.desk.json);
}

int run(const KeyRevokeCommand& command) {
  return report_entry(revoke(command), "the key is revoked", command.desk.json);
}

int run(const KeyWitnessCommand& command) {
  return report_entry(vouch(command),
                      "the account vouches for the witness of " + command.witness.file.string() +
                          " (coshard key revoke --node takes it back)",
                      command.desk.json);
}

int run(const KeyRecoveryCommand& command) {
  switch (command.step) {
    case Step::kName:
      return report_entry(name(command), "the recovery key is named", command.desk.json);
    case Step::kClaim:
      return report_entry(claim(command), "the account is claimed; its owner may object meanwhile",
                          command.desk.json);
    case Step::kFinish:
      break;
  }
  return report_entry(finish(command), "the new root speaks for the account", command.desk.json);
}

}  // namespace coshard::cli
