// SPDX-License-Identifier: Apache-2.0
#include "ledger/concerned.h"

#include <algorithm>

namespace coshard::ledger {
namespace {

/// One function per kind of entry that concerns somebody; the last one is for all others.
class Concerned {
 public:
  Concerned(const Body& body, const Accounts& before) : author_(body.author), before_(before) {}

  void operator()(const IdentityRegister& leaf) { certificate(leaf.certificate); }
  void operator()(const IdentityRevoke& leaf) { key(leaf.node); }
  void operator()(const KeyRotate& leaf) {
    key(leaf.node);
    certificate(leaf.certificate);
  }
  void operator()(const WitnessRegister& leaf) {
    if (const auto read = crypto::WitnessCertificate::decode(leaf.certificate)) {
      root(read->root_public);
    }
  }
  void operator()(const WorkBatch& leaf) { key(leaf.node); }
  void operator()(const AuditVerdict& leaf) {
    key(leaf.node);
    key(author_);
  }
  void operator()(const Credit& leaf) { lines(leaf.lines); }
  void operator()(const CreditPost& leaf) {
    if (leaf.epoch.value < before_.epochs().size()) lines(credit_of(leaf.epoch));
  }
  void operator()(const Rollback& leaf) {
    for (const EpochState& epoch : before_.epochs()) {
      if (epoch.close.last_step > leaf.to_step && epoch.status == EpochState::Status::kPending) {
        lines(epoch.credit);
      }
    }
  }
  void operator()(const CreditVoid& leaf) { add(leaf.account); }
  void operator()(const RecoveryName&) { root(author_.bytes); }
  void operator()(const RecoveryClaim& leaf) { add(leaf.account); }
  void operator()(const RecoveryFinish& leaf) { add(leaf.account); }
  void operator()(const UnitTransfer& leaf) {
    add(leaf.from);
    add(leaf.to);
  }
  void operator()(const Bond&) { root(author_.bytes); }
  void operator()(const BondRelease&) { root(author_.bytes); }
  void operator()(const Penalty& leaf) { add(leaf.account); }
  void operator()(const Settle& leaf) {
    for (const AccountRef& one : leaf.accounts) add(one.account);
  }
  void operator()(const PayoutInitiated& leaf) { add(leaf.account); }
  void operator()(const PayoutFinal& leaf) { add(leaf.account); }
  template <class Other>
  void operator()(const Other&) {}

  std::vector<AccountId> take() {
    std::sort(out_.begin(), out_.end());
    out_.erase(std::unique(out_.begin(), out_.end()), out_.end());
    return std::move(out_);
  }

 private:
  void add(const AccountId& account) { out_.push_back(account); }
  void root(const crypto::PublicKey& root) {
    if (const auto account = before_.account_of(root)) add(*account);
  }
  void certificate(ByteView bytes) {
    if (const auto read = crypto::NodeCertificate::decode(bytes)) root(read->root_public);
  }
  void key(const NodeId& node) {
    if (const Registration* known = before_.find_node(node)) add(known->account);
    const auto witness = before_.witnesses().find(node.bytes);
    if (witness != before_.witnesses().end()) add(witness->second.account);
  }
  const std::vector<CreditLine>& credit_of(LedgerEpoch epoch) const {
    return before_.epochs()[epoch.value].credit;
  }
  void lines(const std::vector<CreditLine>& credit) {
    for (const CreditLine& line : credit) add(line.account);
  }

  const NodeId& author_;
  const Accounts& before_;
  std::vector<AccountId> out_;
};

}  // namespace

std::vector<AccountId> concerned_accounts(const Body& body, const Accounts& before) {
  Concerned concerned(body, before);
  std::visit(concerned, body.leaf);
  return concerned.take();
}

}  // namespace coshard::ledger
