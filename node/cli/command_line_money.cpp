// Flags of revenue, payout, transfer, bond and key. See grammar.h.
// SPDX-License-Identifier: Apache-2.0
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <climits>

#include "node/amount.h"
#include "node/cli/grammar.h"

namespace coshard::cli {
namespace {

constexpr std::uint64_t kUnitsMax = std::uint64_t{1} << 62;
constexpr const char* kOwnerKey = "a key file of the owner, whose root signs";

/// A decimal amount, exactly.
CLI::Option* amount_option(CLI::App* app, const char* name, std::uint64_t& out,
                           const char* description) {
  const auto take = [&out](const std::string& text) { out = *node::parse_amount(text); };
  return app->add_option_function<std::string>(name, take, description)->check(amount_check());
}

}  // namespace

void Grammar::add_revenue() {
  CLI::App* revenue = add(root_, "revenue", "what a model earned, said by its operator", "");
  revenue->require_subcommand(1);
  CLI::App* app = add(*revenue, "record", "book revenue; every statement counts once",
                      "  coshard revenue record gcide --amount 1250.00 --reference INV-2031\n"
                      "  coshard revenue record gcide --amount 99.5 --reference May "
                      "--statement may.pdf");
  auto& record = selects<RevenueRecordCommand>(app);
  desk_flags(app, record.desk);
  amount_option(app, "--amount", record.amount, "in the ledger's currency, up to six decimals")
      ->required();
  app->add_option("--reference", record.reference, "number of the invoice or settlement")
      ->required();
  app->add_option("--statement", record.statement,
                  "the file that proves it: its SHA-256 enters the log (default: the reference's)");

  CLI::App* again = add(*revenue, "correct", "say what an earlier entry should have said",
                        "  coshard revenue correct gcide --entry 57 --amount 1240.00 --reason fee");
  auto& correct = selects<RevenueCorrectCommand>(again);
  desk_flags(again, correct.desk);
  again->add_option("--entry", correct.entry, "index of the revenue in the log")->required();
  amount_option(again, "--amount", correct.amount, "what it was; 0: it was no revenue")->required();
  again->add_option("--reason", correct.reason, "for everybody to read")->required();
}

void Grammar::add_payout() {
  CLI::App* payout = add(root_, "payout", "money to the owners, in two steps", "");
  payout->require_subcommand(1);
  CLI::App* app =
      add(*payout, "export", "begin the payouts that are due, and list all that are on their way",
          "  coshard payout export gcide --out payouts.csv\n"
          "  coshard payout export gcide --again --format json");
  auto& flags = selects<PayoutExportCommand>(app);
  desk_flags(app, flags.desk);
  app->add_option("--format", flags.format, "of the list")
      ->capture_default_str()
      ->check(one_of({"csv", "json"}));
  app->add_option("--out", flags.out, "the file to write (default: standard output)");
  app->add_flag("--again", flags.again, "begin none: only list what is on its way");

  CLI::App* done = add(*payout, "confirm", "say which payouts arrived, and which came back",
                       "  coshard payout confirm gcide payouts.csv\n"
                       "  coshard payout confirm gcide --account 3fa1… --number 2 --failed");
  auto& confirm = selects<PayoutConfirmCommand>(done);
  desk_flags(done, confirm.desk);
  CLI::Option* file = done->add_option(
      "file", confirm.file,
      "a list of payout export: all of it was paid, but for lines whose status is \"failed\"");
  CLI::Option* account =
      done->add_option("--account", confirm.account, "one payout instead: whose")->excludes(file);
  CLI::Option* number =
      done->add_option("--number", confirm.number, "and which of his")->excludes(file);
  account->needs(number);
  number->needs(account);
  done->add_option("--reference", confirm.reference, "of the payment, where the list has none");
  done->add_flag("--failed", confirm.failed, "they came back: the money is owed again");
}

void Grammar::add_transfer() {
  CLI::App* transfer = add(root_, "transfer", "units from one owner to another", "");
  transfer->require_subcommand(1);
  for (const bool give : {false, true}) {
    CLI::App* app = give
                        ? add(*transfer, "give", "give units away, at once",
                              "  coshard transfer give gcide --key me.key --to 3fa1… --units 1000")
                        : add(*transfer, "offer", "sign an offer of units, for the buyer to sign",
                              "  coshard transfer offer gcide --key me.key --to 3fa1… --units 1000 "
                              "--price 250.00 --out offer.json");
    auto& flags = selects<TransferOfferCommand>(app);
    flags.give = give;
    desk_flags(app, flags.desk);
    key_flags(app, flags.key, "the owner's key file");
    app->add_option("--to", flags.to, "account that gets the units")->required();
    app->add_option("--units", flags.units, "how many")
        ->required()
        ->check(whole_number(1, kUnitsMax));
    app->add_option("--reference", flags.reference, "your own, for everybody to read");
    if (give) continue;
    amount_option(app, "--price", flags.price, "for all of them, paid outside of the ledger");
    app->add_option("--expires", flags.expires,
                    "the offer ends after so many more entries (default: never)")
        ->check(whole_number(1, kUnitsMax));
    app->add_option("--out", flags.out, "the offer's file")->required();
  }
  CLI::App* sign = add(*transfer, "accept", "read an offer in plain words and sign it as the buyer",
                       "  coshard transfer accept gcide offer.json --key me.key");
  auto& accept = selects<TransferAcceptCommand>(sign);
  desk_flags(sign, accept.desk);
  sign->add_option("file", accept.file, "the offer")->required();
  key_flags(sign, accept.key, "the buyer's key file");
  sign->add_option("--out", accept.out, "the signed offer (default: the same file)");
  sign->add_flag("--yes", accept.yes, "agree without being asked");

  CLI::App* hand_in = add(*transfer, "submit", "hand a signed transfer in; either party may",
                          "  coshard transfer submit gcide offer.json");
  auto& submit = selects<TransferSubmitCommand>(hand_in);
  desk_flags(hand_in, submit.desk);
  hand_in->add_option("file", submit.file, "the offer, signed by all who must")->required();
}

void Grammar::add_bond() {
  CLI::App* bond = add(root_, "bond", "units that a penalty could take", "");
  bond->require_subcommand(1);
  for (const bool release : {false, true}) {
    CLI::App* app = release ? add(*bond, "release", "ask for bonded units back",
                                  "  coshard bond release gcide --key me.key --units 1000")
                            : add(*bond, "lock", "put units up as a bond",
                                  "  coshard bond lock gcide --key me.key --units 1000");
    auto& flags = selects<BondCommand>(app);
    flags.release = release;
    desk_flags(app, flags.desk);
    key_flags(app, flags.key, "the owner's key file");
    app->add_option("--units", flags.units, "how many")
        ->required()
        ->check(whole_number(1, kUnitsMax));
  }
}

void Grammar::add_key() {
  CLI::App* key = add(root_, "key", "replace, revoke and recover keys", "");
  key->require_subcommand(1);
  CLI::App* app = add(*key, "rotate", "replace a node's keys by new ones of the same account",
                      "  coshard key rotate gcide --key node.key --out node-2.key\n"
                      "  coshard key rotate gcide --key me.key --node 5d0a… --out box-2.key --box");
  auto& rotate = selects<KeyRotateCommand>(app);
  desk_flags(app, rotate.desk);
  key_flags(app, rotate.key, kOwnerKey);
  app->add_option("--node", rotate.node,
                  "whose operating key is believed no more, 64 digits (default: the key file's "
                  "own node)");
  app->add_option("--out", rotate.out,
                  "the new key file; one of the same account that is there already is used")
      ->required();
  app->add_option("--out-passphrase-fd", rotate.out_passphrase_fd,
                  "read its passphrase from this file descriptor (default: that of --key)")
      ->check(whole_number(0, INT_MAX));
  app->add_flag("--box", rotate.box, "leave the root out of it, as coshard keygen --root does");

  CLI::App* gone = add(*key, "revoke", "a lost or stolen operating key is believed no more",
                       "  coshard key revoke gcide --key me.key\n"
                       "  coshard key revoke gcide --key me.key --node 5d0a…");
  auto& revoke = selects<KeyRevokeCommand>(gone);
  desk_flags(gone, revoke.desk);
  key_flags(gone, revoke.key, kOwnerKey);
  gone->add_option("--node", revoke.node,
                   "which node or witness key, 64 digits (default: the key file's own node)");

  CLI::App* vouch = add(*key, "witness", "vouch for a witness: the ledger then says whose it is",
                        "  coshard key witness gcide --key me.key --witness witness.key");
  auto& witness = selects<KeyWitnessCommand>(vouch);
  desk_flags(vouch, witness.desk);
  key_flags(vouch, witness.key, kOwnerKey);
  key_flags(vouch, witness.witness, "the witness's key file: it signs too", "witness");
  add_recovery(*key);
}

void Grammar::add_recovery(CLI::App& key) {
  CLI::App* recovery = add(key, "recovery", "get an account back whose root key is lost", "");
  recovery->require_subcommand(1);
  using Step = KeyRecoveryCommand::Step;
  CLI::App* name = add(*recovery, "name", "say which key may claim your account one day",
                       "  coshard key recovery name gcide --key me.key --recovery-key 91ab…");
  auto& named = selects<KeyRecoveryCommand>(name);
  named.step = Step::kName;
  desk_flags(name, named.desk);
  key_flags(name, named.key, "the owner's key file");
  name->add_option("--recovery-key", named.recovery_key,
                   "its public key: the root of coshard keygen --json; \"none\" takes it back and "
                   "ends a claim")
      ->required();

  CLI::App* claim = add(*recovery, "claim", "claim the account for a new root key",
                        "  coshard key recovery claim gcide --recovery safe.key --account 3fa1… "
                        "--new new.key");
  auto& claimed = selects<KeyRecoveryCommand>(claim);
  claimed.step = Step::kClaim;
  desk_flags(claim, claimed.desk);
  key_flags(claim, claimed.recovery, "the recovery key's file", "recovery");
  key_flags(claim, claimed.next, "a fresh key file, whose root takes over", "new");
  claim->add_option("--account", claimed.account, "whose")->required();

  CLI::App* finish = add(*recovery, "finish", "take over, once the time to object has passed",
                         "  coshard key recovery finish gcide --key new.key --account 3fa1…");
  auto& finished = selects<KeyRecoveryCommand>(finish);
  finished.step = Step::kFinish;
  desk_flags(finish, finished.desk);
  key_flags(finish, finished.key, "the new key file");
  finish->add_option("--account", finished.account, "which account")->required();
}

}  // namespace coshard::cli
