// See ledger_words.h.
// SPDX-License-Identifier: Apache-2.0
#include "node/cli/ledger_words.h"

#include "node/amount.h"
#include "node/progress.h"

namespace coshard::cli {
namespace {

using ledger::Balance;
using node::render_count;

/// One overload per kind of entry; an empty text means that the account is not concerned.
struct Words {
  const ledger::Accounts& accounts;
  const AccountId& account;
  const Balance& before;
  const Balance& after;

  bool is_own(const NodeId& node) const {
    const ledger::Registration* known = accounts.find_node(node);
    return known != nullptr && known->account == account;
  }
  std::string money(std::uint64_t amount) const {
    return money_text(amount, accounts.genesis().currency);
  }
  /// What changed, for entries that name nobody.
  std::string change() const {
    if (before == after) return "";
    if (after.owed > before.owed) return money(after.owed - before.owed) + " earned";
    if (after.pending < before.pending)
      return render_count(before.pending - after.pending) + " pending units taken back";
    return "";
  }

  template <class Other>
  std::string operator()(const Other&) const {
    return change();
  }
  std::string operator()(const ledger::IdentityRegister& leaf) const {
    const auto certificate = crypto::NodeCertificate::decode(leaf.certificate);
    return certificate && is_own(certificate->node())
               ? "node " + certificate->node().short_hex() + " registered"
               : "";
  }
  std::string operator()(const ledger::IdentityRevoke& leaf) const {
    return is_own(leaf.node) ? "node " + leaf.node.short_hex() + " revoked" : "";
  }
  std::string operator()(const ledger::KeyRotate& leaf) const {
    if (!is_own(leaf.node)) return "";
    const auto next = crypto::NodeCertificate::decode(leaf.certificate);
    return "node " + leaf.node.short_hex() + " replaced by " +
           (next ? next->node().short_hex() : std::string("another"));
  }
  std::string operator()(const ledger::WitnessRegister& leaf) const {
    const auto certificate = crypto::WitnessCertificate::decode(leaf.certificate);
    return certificate && certificate->account() == account
               ? "vouches for witness " + certificate->name
               : "";
  }
  std::string operator()(const ledger::WorkBatch& leaf) const {
    if (!is_own(leaf.node)) return "";
    return "node " + leaf.node.short_hex() + ", stage " + std::to_string(leaf.stage.value) +
           ", epoch " + std::to_string(leaf.epoch.value) + ": " +
           render_count(leaf.units + leaf.repairs) + " units of work, " +
           render_count(leaf.tokens) + " tokens";
  }
  std::string operator()(const ledger::Credit& leaf) const {
    std::string text;
    for (const ledger::CreditLine& line : leaf.lines) {
      if (line.account != account) continue;
      text += (text.empty() ? "epoch " + std::to_string(leaf.epoch.value) + ": " : ", ") +
              render_count(line.units) + " for " + std::string(to_string(line.role));
    }
    return text;
  }
  std::string operator()(const ledger::CreditPost& leaf) const {
    if (before == after) return "";
    return "epoch " + std::to_string(leaf.epoch.value) + ": " +
           render_count(after.posted - before.posted) + " owned now";
  }
  std::string operator()(const ledger::CreditVoid& leaf) const {
    return leaf.account == account ? "epoch " + std::to_string(leaf.epoch.value) + ": " +
                                         render_count(before.pending - after.pending) +
                                         " pending units burnt: " + leaf.reason
                                   : "";
  }
  std::string operator()(const ledger::UnitTransfer& leaf) const {
    const std::string price = leaf.price == 0 ? "" : " for " + money(leaf.price);
    const std::string units = render_count(leaf.units) + " units ";
    if (leaf.from == account) return units + "to " + leaf.to.short_hex() + price;
    return leaf.to == account ? units + "from " + leaf.from.short_hex() + price : "";
  }
  std::string operator()(const ledger::Bond& leaf) const {
    return after.entries > before.entries ? render_count(leaf.units) + " units bonded" : "";
  }
  std::string operator()(const ledger::BondRelease& leaf) const {
    return after.entries > before.entries ? render_count(leaf.units) + " units being released" : "";
  }
  std::string operator()(const ledger::Penalty& leaf) const {
    return leaf.account == account
               ? render_count(leaf.units) + " bonded units burnt: " + leaf.reason
               : "";
  }
  std::string operator()(const ledger::RecoveryName&) const {
    return after.entries > before.entries ? "recovery key named" : "";
  }
  std::string operator()(const ledger::RecoveryClaim& leaf) const {
    return leaf.account == account ? "claimed by its recovery key: the owner may object" : "";
  }
  std::string operator()(const ledger::RecoveryFinish& leaf) const {
    return leaf.account == account ? "a new root key took the account over" : "";
  }
  std::string operator()(const ledger::RevenueReported& leaf) const {
    if (after.owed == before.owed) return "";
    return money(after.owed - before.owed) + " of " + money(leaf.amount) + " revenue (" +
           leaf.reference + ")";
  }
  std::string operator()(const ledger::Correction& leaf) const {
    if (after.owed == before.owed) return "";
    return money(after.owed - before.owed) + ": revenue of entry " +
           std::to_string(leaf.entry.value) + " is " + money(leaf.amount) + " (" + leaf.reason +
           ")";
  }
  std::string operator()(const ledger::PayoutInitiated& leaf) const {
    return leaf.account == account
               ? "payout " + std::to_string(leaf.number) + " of " + money(leaf.amount) + " begun"
               : "";
  }
  std::string operator()(const ledger::PayoutFinal& leaf) const {
    if (leaf.account != account) return "";
    const std::string what = "payout " + std::to_string(leaf.number);
    const std::string reference = leaf.reference.empty() ? "" : " (" + leaf.reference + ")";
    return leaf.paid
               ? what + " paid: " + money(before.in_flight - after.in_flight) + reference
               : what + " came back, owed again: " + money(before.in_flight - after.in_flight) +
                     reference;
  }
};

}  // namespace

std::string money_text(std::uint64_t micro_units, const std::string& currency) {
  return node::format_amount(micro_units) + (currency.empty() ? "" : " " + currency);
}

std::string words_for(const ledger::Leaf& leaf, const ledger::Accounts& accounts,
                      const AccountId& account, const Balance& before, const Balance& after) {
  return std::visit(Words{accounts, account, before, after}, leaf);
}

}  // namespace coshard::cli
