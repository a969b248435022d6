// Flags of ledger and govern, and those that all commands share which ask a ledger for an entry.
// See grammar.h.
// SPDX-License-Identifier: Apache-2.0
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <climits>

#include "ledger/leaf_type.h"
#include "node/amount.h"
#include "node/cli/grammar.h"

namespace coshard::cli {
namespace {

constexpr std::uint64_t kUnitsMax = std::uint64_t{1} << 62;
constexpr std::uint64_t kEpochsMax = std::uint64_t{1} << 32;

void reason_flags(CLI::App* app, std::string& reason,
                  std::optional<std::filesystem::path>& evidence) {
  app->add_option("--reason", reason, "for everybody to read")->required();
  app->add_option("--evidence", evidence, "a file whose SHA-256 enters the log (default: none)");
}

}  // namespace

void desk_flags(CLI::App* app, DeskFlags& flags) {
  app->add_option("id", flags.id, kId)->required();
  app->add_option("--policy", flags.policy,
                  "policy file (c2sp.org/tlog-policy): believe only what its quorum of witnesses "
                  "has cosigned; in a round that has ended, ask them for it (default there: "
                  "round launch --witnesses)");
  app->add_option("--coordinator-key", flags.coordinator_key,
                  "the coordinator's key file (default: coordinator.key in the round's folder)");
  app->add_option("--coordinator-passphrase-fd", flags.coordinator_passphrase_fd,
                  "read its passphrase from this file descriptor")
      ->check(whole_number(0, INT_MAX));
  json_flag(app, flags.json);
}

void key_flags(CLI::App* app, KeyFlags& flags, const char* whose, const std::string& prefix) {
  app->add_option(prefix.empty() ? "--key" : "--" + prefix, flags.file, whose)->required();
  app->add_option("--" + (prefix.empty() ? "" : prefix + "-") + "passphrase-fd",
                  flags.passphrase_fd,
                  "read its passphrase from this file descriptor instead of the terminal")
      ->check(whole_number(0, INT_MAX));
}

CLI::Validator amount_check() {
  const auto check = [](const std::string& text) -> std::string {
    const auto parsed = node::parse_amount(text);
    return parsed ? "" : parsed.error().message;
  };
  return CLI::Validator(check, "12.34");
}

void Grammar::add_ledger() {
  CLI::App* ledger = add(root_, "ledger", "what the operator says beside money", "");
  ledger->require_subcommand(1);
  CLI::App* app = add(*ledger, "settle", "bring what accounts are owed up to date",
                      "  coshard ledger settle gcide\n"
                      "  coshard ledger settle gcide --account 3fa1…");
  auto& settle = selects<SettleCommand>(app);
  desk_flags(app, settle.desk);
  app->add_option("--account", settle.accounts, "whose (default: everybody's)");

  app = add(*ledger, "void", "burn an account's pending units of an epoch; never posted ones",
            "  coshard ledger void gcide --epoch 7 --account 3fa1… --reason \"work was copied\"");
  auto& credit = selects<CreditVoidCommand>(app);
  desk_flags(app, credit.desk);
  app->add_option("--epoch", credit.epoch, "whose credit is still pending")
      ->required()
      ->check(whole_number(0, kEpochsMax));
  app->add_option("--account", credit.account, "whose")->required();
  reason_flags(app, credit.reason, credit.evidence);

  app = add(*ledger, "penalty", "burn bonded units of an account",
            "  coshard ledger penalty gcide --account 3fa1… --units 1000 --reason \"audit 12\"");
  auto& penalty = selects<PenaltyCommand>(app);
  desk_flags(app, penalty.desk);
  app->add_option("--account", penalty.account, "whose bond")->required();
  app->add_option("--units", penalty.units, "how many of them")
      ->required()
      ->check(whole_number(1, kUnitsMax));
  reason_flags(app, penalty.reason, penalty.evidence);
}

void Grammar::add_govern() {
  CLI::App* govern = add(root_, "govern", "what a round's governors change together", "");
  govern->require_subcommand(1);
  CLI::App* app = add(*govern, "params", "propose other parameters for epochs to come",
                      "  coshard govern params gcide --minimum-payout 5.00 --out proposal.json");
  auto& params = selects<GovernParamsCommand>(app);
  desk_flags(app, params.desk);
  const auto take = [&params](const std::string& text) {
    params.minimum_payout = *node::parse_amount(text);
  };
  app->add_option_function<std::string>("--minimum-payout", take,
                                        "of an account that still owns units")
      ->check(amount_check());
  app->add_option("--challenge-epochs", params.challenge_epochs,
                  "epochs that must be closed after an epoch before its units are owned")
      ->check(whole_number(0, kEpochsMax));
  app->add_option("--bond-epochs", params.bond_epochs,
                  "from the release of a bond until its units are free")
      ->check(whole_number(0, kEpochsMax));
  app->add_option("--epoch", params.epoch, "the first one (default: the next not yet announced)")
      ->check(whole_number(0, kEpochsMax));
  app->add_option("--out", params.out, "the proposal's file")->required();

  app = add(*govern, "grants", "propose who gets the units of a role in epochs to come",
            "  coshard govern grants gcide --role data --grant 3fa1…=7500 --grant 91ab…=2500 "
            "--out proposal.json");
  auto& grants = selects<GovernGrantsCommand>(app);
  desk_flags(app, grants.desk);
  app->add_option("--role", grants.role, "data, design or treasury")->required();
  app->add_option("--grant", grants.grants, "ACCOUNT=BASIS_POINTS; 10000 in all")->required();
  app->add_option("--epoch", grants.epoch, "the first one (default: the next not yet announced)")
      ->check(whole_number(0, kEpochsMax));
  app->add_option("--out", grants.out, "the proposal's file")->required();

  app = add(*govern, "sign", "read a proposal in plain words and sign it as a governor",
            "  coshard govern sign gcide proposal.json --key me.key");
  auto& sign = selects<GovernSignCommand>(app);
  desk_flags(app, sign.desk);
  app->add_option("file", sign.file, "the proposal")->required();
  key_flags(app, sign.key, "the governor's key file");
  app->add_option("--out", sign.out, "the signed proposal (default: the same file)");
  app->add_flag("--yes", sign.yes, "agree without being asked");

  app = add(*govern, "submit", "hand in a proposal that enough governors have signed",
            "  coshard govern submit gcide proposal.json");
  auto& submit = selects<GovernSubmitCommand>(app);
  desk_flags(app, submit.desk);
  app->add_option("file", submit.file, "the proposal")->required();
}

}  // namespace coshard::cli
