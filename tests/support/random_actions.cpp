// What a random ledger proposes as its next entry: mostly what the rules accept.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <set>

#include "crypto/signed_payload.h"
#include "ledger/pricing.h"
#include "ledger/round_ledger.h"
#include "tests/support/random_ledger.h"

namespace coshard::test {

using namespace ledger;
using crypto::sign_payload;
namespace domains = crypto::domains;

const std::vector<RandomLedger::Action>& RandomLedger::actions() {
  using R = RandomLedger;
  static const std::vector<Action> kAll{{3, &R::identity_register},
                                        {1, &R::identity_revoke},
                                        {12, &R::epoch_open},
                                        {12, &R::epoch_close},
                                        {30, &R::work_batch},
                                        {15, &R::credit},
                                        {12, &R::credit_post},
                                        {8, &R::checkpoint_record},
                                        {1, &R::rollback},
                                        {1, &R::burn},
                                        {1, &R::key_rotate},
                                        {2, &R::witness_register},
                                        {3, &R::recovery_name},
                                        {3, &R::recovery_claim},
                                        {3, &R::recovery_finish},
                                        {2, &R::param_change},
                                        {2, &R::role_grants},
                                        {8, &R::seed_reveal},
                                        {3, &R::audit_verdict},
                                        {2, &R::credit_void},
                                        {8, &R::unit_transfer},
                                        {5, &R::bond},
                                        {4, &R::bond_release},
                                        {3, &R::penalty},
                                        {8, &R::revenue_reported},
                                        {4, &R::correction},
                                        {3, &R::settle},
                                        {8, &R::payout_initiated},
                                        {8, &R::payout_final},
                                        {3, &R::state_snapshot},
                                        {1, &R::log_key_rotate}};
  return kAll;
}

std::optional<RandomLedger::Proposal> RandomLedger::say(Leaf leaf) {
  return Proposal{&operating(), accounts_.next_sequence(), std::move(leaf), nullptr, {}};
}

std::optional<RandomLedger::Proposal> RandomLedger::own(const crypto::KeyPair& root, Leaf leaf) {
  const auto account = accounts_.account_of(root.public_key());
  const std::uint64_t entries = account ? accounts_.balance(*account).entries : 0;
  return Proposal{&root, entries + 1, std::move(leaf), nullptr, {}};
}

std::optional<AccountId> RandomLedger::account() {
  if (accounts_.balances().empty()) return std::nullopt;
  auto found = accounts_.balances().begin();
  std::advance(found, static_cast<std::ptrdiff_t>(below(accounts_.balances().size())));
  return found->first;
}

const EpochState* RandomLedger::epoch() {
  if (accounts_.epochs().empty()) return nullptr;
  const std::uint64_t count = accounts_.epochs().size();  // recent ones have more to be done
  return &accounts_
              .epochs()[count - 1 - below(chance(3) ? count : std::min<std::uint64_t>(3, count))];
}

NodeId RandomLedger::node() {
  auto found = accounts_.nodes().begin();
  std::advance(found, static_cast<std::ptrdiff_t>(below(accounts_.nodes().size())));
  return found->first;
}

std::vector<Grant> RandomLedger::grants(std::uint64_t points) {
  if (points == 0) return {};
  std::set<AccountId> accounts;
  for (std::uint64_t count = 1 + below(3); count > 0; --count) {
    accounts.insert(chance(6) ? AccountId{hash_of("stranger", below(3))}
                              : crypto::account_id(key("root", below(6)).public_key()));
  }
  std::vector<Grant> out;
  std::uint64_t left = kBasisPoints;
  for (const AccountId& account : accounts) {
    const bool last = out.size() + 1 == accounts.size();
    out.push_back({account, last ? left : 1 + below(left / 2)});
    left -= out.back().basis_points;
  }
  return out;
}

Params RandomLedger::params() {
  return {below(3), chance(2) ? 0 : below(100'000), below(3), below(kBasisPoints + 1)};
}

RandomLedger::Proposal RandomLedger::genesis() {
  Genesis out;
  out.model = "random";
  out.origin = "example.org/coshard/m/random";
  out.coordinator = operating().public_key();
  out.log_key = log_key().public_key();
  out.nonce = hash_of("nonce", 0);
  out.round_hash = hash_of("round", 0);
  out.unit_cap = chance(4) ? 1 + below(50) : 1 + below(std::uint64_t{1} << (20 + below(43)));
  const std::vector<std::vector<std::uint64_t>> splits{
      {8000, 1500, 500, 0}, {7000, 1000, 1000, 1000}, {10'000, 0, 0, 0}, {3333, 3333, 3333, 1}};
  out.split = one_of(splits);
  out.data = grants(out.split[1]);
  out.design = grants(out.split[2]);
  out.treasury = grants(out.split[3]);
  out.half_life_steps = chance(2) ? 0 : 1 + below(20);
  out.steps_before = chance(3) ? 1 + below(10) : 0;
  out.total_steps = out.steps_before + 10 + below(60);
  out.epoch_steps = 1 + below(6);
  for (std::uint64_t stages = chance(12) ? 1 : 2 + below(2); stages > 0; --stages) {
    out.stage_prices.push_back(1 + below(chance(2) ? 5 : kPriceMax));
  }
  out.microbatches = 1 + below(4);
  out.tokens_per_microbatch = 1 + below(chance(2) ? 100 : kTokensPerMicrobatchMax);
  out.currency = chance(12) ? "" : "EUR";
  out.params = params();
  if (chance(2)) out.vesting_epochs = {below(4), below(3), 0, below(2)};
  out.recovery_days = chance(10) ? 0 : 1 + below(2);
  if (!chance(8)) {
    for (std::uint64_t i = 0; i < 3; ++i)
      out.governors.push_back({key("governor", i).public_key()});
    std::sort(out.governors.begin(), out.governors.end(),
              [](const Governor& a, const Governor& b) { return a.key < b.key; });
    out.governors_needed = 1 + below(3);
  }
  out.buyer_signs = chance(3);
  out.witness_policy = chance(2) ? "" : "quorum none\n";
  return {&operating(), 1, out, nullptr, {}};
}

// -------------------------------------------------------------------------------------- keys

Bytes RandomLedger::certificate(std::uint64_t root, std::uint64_t node, std::uint64_t serial) {
  Bytes secret{1};
  append(secret, key("root", root).seed());
  append(secret, key("node", node).seed());
  append(secret, hash_of("curve", chance(30) ? 0 : node));
  put_be<std::uint64_t>(secret, serial);
  return crypto::Identity::decode_secret(secret)->certificate().encode();
}

std::optional<RandomLedger::Proposal> RandomLedger::identity_register() {
  const std::uint64_t root =
      accounts_.nodes().size() < 3 ? accounts_.nodes().size() : below(roots_);
  const bool again = nodes_ > 0 && chance(4);
  const std::uint64_t which = again ? below(nodes_) : nodes_;
  const std::uint64_t serial = 1 + below(again ? 5 : 2);
  return say(IdentityRegister{certificate(root, which, serial)});
}

crypto::Signature RandomLedger::take_back(const NodeId& node) {
  crypto::PublicKey first{};
  AccountId account;
  if (const Registration* known = accounts_.find_node(node)) {
    first = known->certificate.root_public;
    account = known->account;
  } else if (const auto witness = accounts_.witnesses().find(node.bytes);
             witness != accounts_.witnesses().end()) {
    first = witness->second.certificate.root_public;
    account = witness->second.account;
  }
  const crypto::KeyPair* owner = find_key(accounts_.new_root(account).value_or(first));
  if (owner == nullptr || chance(10)) owner = &root();
  return sign_payload(*owner, domains::kRevocation, accounts_.network(), node.view());
}

std::optional<RandomLedger::Proposal> RandomLedger::identity_revoke() {
  NodeId target = node();
  if (witnesses_ > 0 && chance(2)) target = {key("witness", below(witnesses_)).public_key()};
  return say(IdentityRevoke{target, take_back(target)});
}

std::optional<RandomLedger::Proposal> RandomLedger::key_rotate() {
  const NodeId old = node();
  std::uint64_t owner = below(roots_);
  for (std::uint64_t i = 0; i < roots_; ++i) {  // somebody who speaks for the node's account
    if (accounts_.account_of(key("root", i).public_key()) == accounts_.find_node(old)->account) {
      owner = i;
    }
  }
  return say(KeyRotate{old, take_back(old), certificate(owner, nodes_, 1)});
}

std::optional<RandomLedger::Proposal> RandomLedger::witness_register() {
  const bool again = witnesses_ > 0 && chance(3);
  const crypto::KeyPair& owner = root();
  const std::uint64_t which = again ? below(witnesses_) : witnesses_;
  const std::string name = chance(8) ? "a+b" : "witness.example/1";
  const auto certificate =
      crypto::WitnessCertificate::sign(owner, key("witness", which), name, 1 + below(4));
  return say(WitnessRegister{certificate.encode()});
}

std::optional<RandomLedger::Proposal> RandomLedger::log_key_rotate() {
  const crypto::KeyPair& from = chance(8) ? key("log", 0) : log_key();
  const crypto::KeyPair& to = key("log", chance(8) ? 0 : log_keys_ + 1);
  return say(sign_log_key_rotate(from, to, accounts_.network(), accounts_.size() + below(6)));
}

std::optional<RandomLedger::Proposal> RandomLedger::recovery_name() {
  const std::uint64_t number = below(roots_);
  RecoveryName leaf;
  if (!chance(5)) leaf.key = key(chance(12) ? "root" : "recovery", number).public_key();
  return own(key("root", number), leaf);
}

std::optional<RandomLedger::Proposal> RandomLedger::recovery_claim() {
  const AccountId account = crypto::account_id(key("root", below(roots_)).public_key());
  const Recovery* recovery = accounts_.find_recovery(account);
  if (recovery == nullptr) return std::nullopt;
  const crypto::KeyPair* author = find_key(recovery->key);
  if (author == nullptr) author = &root();
  const crypto::KeyPair& next = chance(6) ? root() : key("root", roots_);
  RecoveryClaim leaf{account, next.public_key(), {}};
  leaf.root_signature = sign_payload(next, domains::kRecovery, accounts_.network(), account.view());
  return Proposal{author, recovery->claims + 1, leaf, nullptr, {}};
}

std::optional<RandomLedger::Proposal> RandomLedger::recovery_finish() {
  for (std::uint64_t i = 0; i < roots_; ++i) {
    const AccountId account = crypto::account_id(key("root", i).public_key());
    const Recovery* recovery = accounts_.find_recovery(account);
    if (recovery == nullptr || !recovery->claim || chance(3)) continue;
    const crypto::KeyPair* next = find_key(recovery->claim->root);
    if (next == nullptr) continue;
    return Proposal{
        next, accounts_.balance(account).entries + 1, RecoveryFinish{account}, nullptr, {}};
  }
  return std::nullopt;
}

// ------------------------------------------------------------------------- governance, audits

std::vector<EntrySignature> RandomLedger::govern(ByteView unsigned_leaf) {
  std::vector<EntrySignature> out;
  for (std::uint64_t i = 0; i < 3; ++i) {
    if (chance(5)) continue;
    const crypto::KeyPair& governor = chance(20) ? root() : key("governor", i);
    out.push_back({governor.public_key(), sign_payload(governor, domains::kGovernance,
                                                       accounts_.network(), unsigned_leaf)});
  }
  return out;
}

std::optional<RandomLedger::Proposal> RandomLedger::param_change() {
  const std::uint64_t announced = accounts_.epochs().size() + accounts_.open_epochs().size();
  ParamChange leaf{
      LedgerEpoch(announced + below(3) - (chance(8) && announced > 0 ? 1 : 0)), params(), {}};
  leaf.governors = govern(governed_bytes(leaf));
  return say(leaf);
}

std::optional<RandomLedger::Proposal> RandomLedger::role_grants() {
  const std::uint64_t announced = accounts_.epochs().size() + accounts_.open_epochs().size();
  const std::uint64_t role = chance(10) ? 0 : 1 + below(3);
  RoleGrants leaf{LedgerEpoch(announced + below(3)),
                  static_cast<Role>(role),
                  grants(accounts_.genesis().split[role]),
                  {}};
  leaf.governors = govern(governed_bytes(leaf));
  return say(leaf);
}

std::optional<RandomLedger::Proposal> RandomLedger::seed_reveal() {
  const EpochState* of = epoch();
  if (of == nullptr) return std::nullopt;
  return say(SeedReveal{of->close.epoch, hash_of("seed", of->close.epoch.value + chance(10))});
}

std::optional<RandomLedger::Proposal> RandomLedger::audit_verdict() {
  const EpochState* of = epoch();
  if (of == nullptr) return std::nullopt;
  const NodeTotal& total = one_of(of->close.totals);
  const NodeId auditor = node();
  AuditVerdict leaf;
  leaf.epoch = of->close.epoch;
  leaf.step = StepId(of->close.first_step.value +
                     below(of->close.last_step.value - of->close.first_step.value + 1));
  leaf.stage = total.stage;
  leaf.microbatch = MicrobatchIndex(static_cast<std::uint32_t>(below(4)));
  leaf.attempt = Attempt(static_cast<std::uint32_t>(below(2)));
  leaf.node = total.node;
  leaf.passed = chance(2);
  leaf.error_ppb = below(1000);
  leaf.evidence = hash_of("audit", accounts_.size());
  return Proposal{
      find_key(auditor.bytes), accounts_.find_node(auditor)->verdicts + 1, leaf, nullptr, {}};
}

std::optional<RandomLedger::Proposal> RandomLedger::credit_void() {
  const EpochState* of = epoch();
  if (of == nullptr || of->credit.empty()) return std::nullopt;
  return say(CreditVoid{of->close.epoch, one_of(of->credit).account, "an audit failed",
                        hash_of("evidence", accounts_.size())});
}

// ---------------------------------------------------------------------------- owners and money

std::optional<RandomLedger::Proposal> RandomLedger::unit_transfer() {
  const crypto::KeyPair& seller = root();
  const auto from = accounts_.account_of(seller.public_key());
  if (!from) return std::nullopt;
  const crypto::KeyPair& buyer = root();
  UnitTransfer leaf;
  leaf.from = *from;
  leaf.to =
      accounts_.account_of(buyer.public_key()).value_or(crypto::account_id(buyer.public_key()));
  if (chance(10)) leaf.to = AccountId{hash_of("stranger", below(3))};
  leaf.units = amount(accounts_.free_units(*from));
  leaf.price = chance(2) ? 0 : below(1'000'000);
  if (chance(4)) leaf.expires = LogIndex(accounts_.size() + below(3));
  leaf.reference = chance(2) ? "" : "sale";
  auto out = own(seller, leaf);
  if (leaf.price > 0 || accounts_.genesis().buyer_signs) out->buyer = chance(10) ? &root() : &buyer;
  return out;
}

std::optional<RandomLedger::Proposal> RandomLedger::bond() {
  const crypto::KeyPair& owner = root();
  const auto account = accounts_.account_of(owner.public_key());
  if (!account) return std::nullopt;
  return own(owner, Bond{amount(accounts_.free_units(*account) / 2)});
}

std::optional<RandomLedger::Proposal> RandomLedger::bond_release() {
  const crypto::KeyPair& owner = root();
  const auto account = accounts_.account_of(owner.public_key());
  if (!account) return std::nullopt;
  return own(owner, BondRelease{amount(accounts_.bonded_units(*account))});
}

std::optional<RandomLedger::Proposal> RandomLedger::penalty() {
  const auto whose = account();
  if (!whose) return std::nullopt;
  return say(Penalty{*whose, amount(accounts_.bonded_units(*whose)), "caught",
                     hash_of("evidence", accounts_.size())});
}

std::optional<RandomLedger::Proposal> RandomLedger::revenue_reported() {
  const std::uint64_t most = chance(10) ? (std::uint64_t{1} << 61) : 10'000'000;
  return say(RevenueReported{amount(most), "invoice",
                             hash_of("statement", chance(10) ? 0 : accounts_.size())});
}

std::optional<RandomLedger::Proposal> RandomLedger::correction() {
  if (accounts_.revenues().empty()) return std::nullopt;
  const Revenue& revenue = one_of(accounts_.revenues());
  return say(Correction{LogIndex(revenue.index.value + (chance(10) ? 1 : 0)),
                        amount(revenue.amount * (chance(4) ? 2 : 1)), "counted wrongly"});
}

std::optional<RandomLedger::Proposal> RandomLedger::settle() {
  std::set<AccountId> accounts;
  for (std::uint64_t count = below(4); count > 0; --count) {
    if (const auto one = account()) accounts.insert(*one);
  }
  Settle leaf;
  for (const AccountId& one : accounts) leaf.accounts.push_back({one});
  return say(leaf);
}

std::optional<RandomLedger::Proposal> RandomLedger::payout_initiated() {
  const auto whose = account();
  if (!whose) return std::nullopt;
  const Balance balance = accounts_.balance(*whose);
  return say(PayoutInitiated{*whose, balance.payouts + 1, amount(balance.owed)});
}

std::optional<RandomLedger::Proposal> RandomLedger::payout_final() {
  if (accounts_.payouts().empty()) return std::nullopt;
  auto found = accounts_.payouts().begin();
  std::advance(found, static_cast<std::ptrdiff_t>(below(accounts_.payouts().size())));
  return say(PayoutFinal{found->first.first, found->first.second, !chance(3), "wire"});
}

std::optional<RandomLedger::Proposal> RandomLedger::state_snapshot() {
  StateSnapshot leaf = accounts_.snapshot();
  if (chance(6)) leaf.money.rem += 1;
  return say(leaf);
}

}  // namespace coshard::test
