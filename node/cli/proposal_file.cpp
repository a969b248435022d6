// See proposal_file.h.
// SPDX-License-Identifier: Apache-2.0
#include "node/cli/proposal_file.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "crypto/signed_payload.h"
#include "node/amount.h"
#include "protocol/base/check.h"

namespace coshard::cli {
namespace {

using ledger::ParamChange;
using ledger::RoleGrants;

tl::unexpected<Error> bad(const std::string& what) {
  return fail(ErrorCode::kInvalidArgument,
              what + "; expected a file of coshard govern params or grants");
}

/// Calls `act` with the change, whichever it is.
template <class Leaf, class Act>
auto with_change(Leaf& leaf, const Act& act) {
  if (auto* params = std::get_if<ParamChange>(&leaf)) return act(*params);
  auto* grants = std::get_if<RoleGrants>(&leaf);
  COSHARD_CHECK(grants != nullptr);
  return act(*grants);
}

Bytes signed_bytes(const ledger::Leaf& leaf) {
  return with_change(leaf, [](const auto& change) { return ledger::governed_bytes(change); });
}

std::string line(const std::string& name, const std::string& before, const std::string& after) {
  constexpr std::size_t kNameWidth = 18;
  std::string out = name;
  out.resize(std::max(kNameWidth, name.size() + 1), ' ');
  return out + after + (before == after ? "  (as it is)" : "  (is " + before + ")") + "\n";
}

std::string percent(std::uint64_t basis_points) {
  const std::string fraction = std::to_string(basis_points % 100);
  return std::to_string(basis_points / 100) + "." + (fraction.size() < 2 ? "0" : "") + fraction +
         " %";
}

std::string describe_change(const ParamChange& change, const ledger::Accounts& accounts) {
  const ledger::Params before = accounts.params_at(change.first_epoch);
  const std::string currency = " " + accounts.genesis().currency;
  const auto epochs = [](std::uint64_t count) { return std::to_string(count) + " epochs"; };
  return line("minimum payout", node::format_amount(before.minimum_payout) + currency,
              node::format_amount(change.params.minimum_payout) + currency) +
         line("units are owned", epochs(before.challenge_epochs) + " after",
              epochs(change.params.challenge_epochs) + " after they were earned") +
         line("bonds are free", epochs(before.bond_epochs) + " after",
              epochs(change.params.bond_epochs) + " after their release") +
         line("audited work", percent(before.audit_rate), percent(change.params.audit_rate));
}

std::string describe_change(const RoleGrants& change, const ledger::Accounts& accounts) {
  const std::string role(to_string(change.role));
  std::string out = "the units for " + role + " go to\n";
  for (const ledger::Grant& grant : change.grants)
    out += "  " + grant.account.hex() + "  " + percent(grant.basis_points) + "\n";
  out += "instead of\n";
  if (change.role != ledger::Role::kCompute)
    for (const ledger::Grant& grant : accounts.grants_at(change.role, change.first_epoch))
      out += "  " + grant.account.hex() + "  " + percent(grant.basis_points) + "\n";
  return out;
}

Result<void> check_signatures(const Proposal& proposal, const ledger::Accounts& accounts) {
  const Bytes payload = signed_bytes(proposal.leaf);
  for (const ledger::EntrySignature& one : proposal.signatures())
    if (!is_governor(accounts, one.key_id) ||
        !crypto::verify_payload(one.key_id, crypto::domains::kGovernance, proposal.network, payload,
                                one.signature))
      return fail(ErrorCode::kPermissionDenied, "the signature of key " +
                                                    to_hex(one.key_id).substr(0, 8) +
                                                    " is false, or of nobody who governs");
  return {};
}

}  // namespace

LedgerEpoch Proposal::first_epoch() const {
  return with_change(leaf, [](const auto& change) { return change.first_epoch; });
}

const std::vector<ledger::EntrySignature>& Proposal::signatures() const {
  if (const auto* params = std::get_if<ParamChange>(&leaf)) return params->governors;
  return std::get<RoleGrants>(leaf).governors;
}

void Proposal::sign(const crypto::KeyPair& governor) {
  const auto& all = signatures();
  const bool has_signed = std::any_of(
      all.begin(), all.end(), [&](const auto& one) { return one.key_id == governor.public_key(); });
  if (has_signed) return;
  const ledger::EntrySignature mine{
      governor.public_key(),
      crypto::sign_payload(governor, crypto::domains::kGovernance, network, signed_bytes(leaf))};
  with_change(leaf, [&](auto& change) { change.governors.push_back(mine); });
}

std::string to_json(const Proposal& proposal) {
  const nlohmann::ordered_json json{{"coshard", "proposal"},
                                    {"model", proposal.model},
                                    {"network", proposal.network.hex()},
                                    {"kind", to_string(type_of(proposal.leaf))},
                                    {"leaf", to_hex(ledger::encode_leaf(proposal.leaf))}};
  return json.dump(2) + "\n";
}

Result<Proposal> parse_proposal(std::string_view text, const ledger::Accounts& accounts) {
  const auto json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  const auto member = [&](const char* key) -> std::string {
    const bool has = json.is_object() && json.contains(key) && json[key].is_string();
    return has ? json[key].get<std::string>() : "";
  };
  if (member("coshard") != "proposal") return bad("this is no proposal");
  if (member("network") != accounts.network().hex())
    return bad("the proposal is for another ledger (" + member("model") + ", network " +
               member("network").substr(0, 8) + ")");
  const std::string kind = member("kind");
  const bool is_params = kind == to_string(ledger::LeafType::kParamChange);
  if (!is_params && kind != to_string(ledger::LeafType::kRoleGrants))
    return bad("its kind is unknown");
  const auto bytes = from_hex(member("leaf"));
  if (!bytes) return bad("its change is damaged");
  auto leaf = ledger::decode_leaf(
      is_params ? ledger::LeafType::kParamChange : ledger::LeafType::kRoleGrants, *bytes);
  if (!leaf) return bad("its change is damaged");
  Proposal out{accounts.network(), member("model"), std::move(*leaf)};
  COSHARD_TRY(check_signatures(out, accounts));
  return out;
}

std::string describe(const Proposal& proposal, const ledger::Accounts& accounts) {
  const ledger::Genesis& genesis = accounts.genesis();
  std::string out = "model             " + genesis.model + "\nfrom epoch        " +
                    std::to_string(proposal.first_epoch().value) + " of " +
                    std::to_string(genesis.epoch_steps) +
                    " steps (the first that can still change is " +
                    std::to_string(first_open_to_change(accounts).value) + ")\n";
  out += with_change(proposal.leaf,
                     [&](const auto& change) { return describe_change(change, accounts); });
  out += "signed by         " + std::to_string(proposal.signatures().size()) + " of " +
         std::to_string(genesis.governors.size()) + " governors; " +
         std::to_string(genesis.governors_needed) + " are needed\n";
  return out;
}

bool is_governor(const ledger::Accounts& accounts, const crypto::PublicKey& key) {
  const auto& governors = accounts.genesis().governors;
  return std::any_of(governors.begin(), governors.end(),
                     [&](const ledger::Governor& one) { return one.key == key; });
}

LedgerEpoch first_open_to_change(const ledger::Accounts& accounts) {
  return LedgerEpoch(accounts.epochs().size() + accounts.open_epochs().size());
}

}  // namespace coshard::cli
