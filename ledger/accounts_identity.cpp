// The rules of keys: nodes, witnesses, owners, and how an account is recovered. Each function
// judges first and changes state only when nothing can fail any more.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "crypto/signed_payload.h"
#include "ledger/accounts.h"
#include "ledger/refusal.h"
#include "protocol/base/check.h"

namespace coshard::ledger {
namespace {

constexpr std::uint64_t kDayMs = std::uint64_t{24} * 60 * 60 * 1000;

tl::unexpected<Error> deny(const std::string& why) {
  return fail(ErrorCode::kPermissionDenied, why);
}

bool is_zero(const crypto::PublicKey& key) { return key == crypto::PublicKey{}; }

}  // namespace

std::optional<AccountId> Accounts::account_of(const crypto::PublicKey& root) const {
  const AccountId own = crypto::account_id(root);
  if (roots_.contains(own)) return std::nullopt;
  const auto reserved = reserved_.find(own);
  if (reserved == reserved_.end()) return own;
  const auto recovered = roots_.find(reserved->second);
  if (recovered == roots_.end() || recovered->second != root) return std::nullopt;
  return reserved->second;
}

std::optional<crypto::PublicKey> Accounts::new_root(const AccountId& account) const {
  const auto found = roots_.find(account);
  if (found == roots_.end()) return std::nullopt;
  return found->second;
}

const Recovery* Accounts::find_recovery(const AccountId& account) const {
  const auto found = recoveries_.find(account);
  return found == recoveries_.end() ? nullptr : &found->second;
}

/// Somebody whom the log knows: who has earned, or runs a node.
bool Accounts::is_member(const AccountId& account) const {
  if (balances_.contains(account)) return true;
  return std::any_of(nodes_.begin(), nodes_.end(),
                     [&](const auto& node) { return node.second.account == account; });
}

/// An owner's entries are numbered 1, 2, 3 … for his account, whatever root speaks for it. A new
/// root says that it takes over before it is one.
Result<void> Accounts::check_owner(Context& context, LeafType type) const {
  std::optional<AccountId> account = account_of(context.author.bytes);
  if (type == LeafType::kRecoveryFinish) {
    const auto claimed = reserved_.find(crypto::account_id(context.author.bytes));
    account = claimed == reserved_.end() ? std::nullopt : std::optional(claimed->second);
  }
  if (!account) {
    return deny("key " + context.author.short_hex() + " speaks for no account in this ledger");
  }
  const AccountId speaker = *account;
  if (!is_member(speaker)) {
    return deny("account " + speaker.short_hex() + " has no part in this ledger");
  }
  const auto found = balances_.find(speaker);
  const std::uint64_t next = (found == balances_.end() ? 0 : found->second.entries) + 1;
  if (context.sequence != next) {
    return refuse("entry " + std::to_string(next) + " of account " + speaker.short_hex() +
                  " was expected, found " + std::to_string(context.sequence));
  }
  context.account = speaker;
  return {};
}

Result<void> Accounts::check_certificate(const crypto::NodeCertificate& certificate) const {
  COSHARD_TRY(certificate.verify());
  const NodeId node = certificate.node();
  const std::optional<AccountId> account = account_of(certificate.root_public);
  if (!account) {
    return deny("the root of node " + node.short_hex() + " speaks for no account in this ledger");
  }
  if (const Registration* known = find_node(node)) {
    if (known->account != *account) {
      return deny("node " + node.short_hex() + " belongs to another account");
    }
    if (known->revoked || known->certificate.serial >= certificate.serial) {
      return refuse("node " + node.short_hex() + " is revoked, or has a newer certificate");
    }
  }
  for (const auto& [other, registration] : nodes_) {
    if (other != node && registration.certificate.curve_public == certificate.curve_public) {
      return deny("the CURVE key of node " + node.short_hex() + " is another node's");
    }
  }
  return {};
}

Result<void> Accounts::on(const Context& context, const IdentityRegister& leaf) {
  COSHARD_ASSIGN(const auto certificate, crypto::NodeCertificate::decode(leaf.certificate));
  COSHARD_TRY(check_certificate(certificate));
  nodes_[certificate.node()] = Registration{certificate, *account_of(certificate.root_public),
                                            context.index, std::nullopt, 0};
  return {};
}

/// Somebody to whom credits go, whatever he does.
bool Accounts::is_granted(const AccountId& account) const {
  const auto among = [&](const std::vector<Grant>& grants) {
    return std::any_of(grants.begin(), grants.end(),
                       [&](const Grant& grant) { return grant.account == account; });
  };
  return among(genesis_->data) || among(genesis_->design) || among(genesis_->treasury) ||
         std::any_of(grants_.begin(), grants_.end(),
                     [&](const auto& later) { return among(later.second); });
}

/// The root that speaks for an account now, where `first` is the one whose hash it is.
crypto::PublicKey Accounts::root_of(const AccountId& account,
                                    const crypto::PublicKey& first) const {
  return new_root(account).value_or(first);
}

Result<void> Accounts::check_revocation(const NodeId& node,
                                        const crypto::Signature& signature) const {
  const Registration* known = find_node(node);
  const auto witness = witnesses_.find(node.bytes);
  crypto::PublicKey root{};
  if (known != nullptr && !known->revoked) {
    root = root_of(known->account, known->certificate.root_public);
  } else if (witness != witnesses_.end() && !witness->second.revoked) {
    root = root_of(witness->second.account, witness->second.certificate.root_public);
  } else {
    return refuse("key " + node.short_hex() + " is not registered, or revoked already");
  }
  if (crypto::verify_payload(root, crypto::domains::kRevocation, network_, node.view(),
                             signature)) {
    return {};
  }
  return deny("revocation is not signed by the root of key " + node.short_hex());
}

Result<void> Accounts::on(const Context& context, const IdentityRevoke& leaf) {
  COSHARD_TRY(check_revocation(leaf.node, leaf.root_signature));
  if (const auto node = nodes_.find(leaf.node); node != nodes_.end() && !node->second.revoked) {
    node->second.revoked = context.index;
  } else {
    witnesses_.at(leaf.node.bytes).revoked = context.index;
  }
  return {};
}

Result<void> Accounts::on(const Context& context, const KeyRotate& leaf) {
  const Registration* old = find_node(leaf.node);
  if (old == nullptr) return refuse("node " + leaf.node.short_hex() + " is not registered");
  COSHARD_TRY(check_revocation(leaf.node, leaf.root_signature));
  COSHARD_ASSIGN(const auto certificate, crypto::NodeCertificate::decode(leaf.certificate));
  COSHARD_TRY(check_certificate(certificate));
  if (find_node(certificate.node()) != nullptr) {
    return refuse("node " + certificate.node().short_hex() + " is registered already");
  }
  if (account_of(certificate.root_public) != old->account) {
    return deny("node " + leaf.node.short_hex() + " is replaced by one of another account");
  }
  nodes_.at(leaf.node).revoked = context.index;
  nodes_[certificate.node()] =
      Registration{certificate, *account_of(certificate.root_public), context.index, {}, 0};
  return {};
}

Result<void> Accounts::on(const Context& context, const WitnessRegister& leaf) {
  COSHARD_ASSIGN(const auto certificate, crypto::WitnessCertificate::decode(leaf.certificate));
  COSHARD_TRY(certificate.verify());
  const std::optional<AccountId> account = account_of(certificate.root_public);
  if (!account || !is_member(*account)) {
    return deny("a witness is vouched for by an account of this ledger");
  }
  const crypto::PublicKey& key = certificate.witness_public;
  if (key == genesis_->coordinator || key == genesis_->log_key || find_node(NodeId{key})) {
    return deny("a witness key has no other part in the log");
  }
  if (const auto known = witnesses_.find(key); known != witnesses_.end()) {
    if (known->second.account != *account || known->second.revoked ||
        known->second.certificate.serial >= certificate.serial) {
      return refuse("the witness key is another account's, revoked, or has a newer certificate");
    }
  }
  witnesses_[key] = WitnessRegistration{certificate, *account, context.index, std::nullopt};
  return {};
}

Result<void> Accounts::on(const Context& context, const LogKeyRotate& leaf) {
  const bool used = leaf.key == genesis_->coordinator || find_node(NodeId{leaf.key}) != nullptr ||
                    witnesses_.contains(leaf.key) ||
                    std::any_of(log_keys_.begin(), log_keys_.end(),
                                [&](const LogKey& old) { return old.key == leaf.key; });
  if (!crypto::is_valid_public_key(leaf.key) || used) {
    return deny("a new log key is a valid key without another part in the log");
  }
  const Bytes payload = log_key_payload(leaf);
  if (!crypto::verify_payload(log_keys_.back().key, crypto::domains::kLogKey, network_, payload,
                              leaf.old_signature) ||
      !crypto::verify_payload(leaf.key, crypto::domains::kLogKey, network_, payload,
                              leaf.new_signature)) {
    return deny("a change of the log's key is signed by the old key and by the new one");
  }
  if (context.index.value < log_keys_.back().until) {
    return refuse("the log keys of the last change both sign up to " +
                  std::to_string(log_keys_.back().until) + " entries");
  }
  log_keys_.push_back({leaf.key, context.index.value, leaf.until});
  return {};
}

void Accounts::drop_claim(Recovery& recovery) {
  if (recovery.claim) reserved_.erase(crypto::account_id(recovery.claim->root));
  recovery.claim.reset();
}

Result<void> Accounts::on(const Context& context, const RecoveryName& leaf) {
  if (genesis_->recovery_days == 0) return refuse("this ledger has no recovery");
  if (context.account != account_of(context.author.bytes)) {
    return deny("the recovery key of an account is named by its own root");
  }
  if (!is_zero(leaf.key) &&
      (!crypto::is_valid_public_key(leaf.key) || leaf.key == context.author.bytes)) {
    return deny("a recovery key is a valid key and not the root itself");
  }
  Recovery& recovery = recoveries_[context.account];
  recovery.key = leaf.key;
  drop_claim(recovery);
  ++balances_[context.account].entries;
  return {};
}

Result<void> Accounts::on(const Context& context, const RecoveryClaim& leaf) {
  const auto found = recoveries_.find(leaf.account);
  if (found == recoveries_.end() || is_zero(found->second.key) ||
      found->second.key != context.author.bytes) {
    return deny("account " + leaf.account.short_hex() + " did not name this recovery key");
  }
  if (context.sequence != found->second.claims + 1) {
    return refuse("claim " + std::to_string(found->second.claims + 1) +
                  " of the account was expected, found " + std::to_string(context.sequence));
  }
  const AccountId own = crypto::account_id(leaf.root);
  const bool renewed = found->second.claim && found->second.claim->root == leaf.root;
  const bool taken = own == leaf.account || is_member(own) || roots_.contains(own) ||
                     (reserved_.contains(own) && !renewed) || is_granted(own) ||
                     leaf.root == context.author.bytes;
  if (!crypto::is_valid_public_key(leaf.root) || taken) {
    return deny("the new root must be a valid key that has no part in this ledger yet");
  }
  if (!crypto::verify_payload(leaf.root, crypto::domains::kRecovery, network_, leaf.account.view(),
                              leaf.root_signature)) {
    return deny("the new root did not sign that it takes the account over");
  }
  ++found->second.claims;
  drop_claim(found->second);
  reserved_[own] = leaf.account;  // nobody pays it, or registers under it, from here on
  found->second.claim = Recovery::Claim{leaf.root, context.seq_ms};
  return {};
}

Result<void> Accounts::on(const Context& context, const RecoveryFinish& leaf) {
  const auto found = recoveries_.find(leaf.account);
  if (leaf.account != context.account || found == recoveries_.end() || !found->second.claim ||
      found->second.claim->root != context.author.bytes) {
    return deny("account " + leaf.account.short_hex() + " is not claimed for this root");
  }
  const std::uint64_t due = found->second.claim->since_ms + genesis_->recovery_days * kDayMs;
  if (context.seq_ms < due) {
    return refuse("the owner may object for " + std::to_string((due - context.seq_ms) / 1000) +
                  " more seconds");
  }
  if (const auto old = roots_.find(leaf.account); old != roots_.end()) {
    reserved_.erase(crypto::account_id(old->second));
  }
  roots_[leaf.account] = context.author.bytes;
  found->second = Recovery{{}, found->second.claims, std::nullopt};
  ++balances_[leaf.account].entries;
  return {};
}

}  // namespace coshard::ledger
