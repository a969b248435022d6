// coshard revenue, payout, transfer and bond on a small round that has ended, and revenue to a
// coordinator that runs.
// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "tests/process/finished_round.h"

namespace coshard::test {
namespace {

using ::testing::HasSubstr;
using Json = nlohmann::json;

class CliMoney : public FinishedRound {};

TEST_F(CliMoney, RevenueIsBookedOnceAndCorrectedByAnotherEntry) {
  finish_round();
  const std::vector<std::string> record{"revenue", "record",      dir(),   "--amount",
                                        "1000.01", "--reference", "INV-7", "--json"};
  const Ran first = coshard(record);
  ASSERT_EQ(first.status, 0) << first.output;
  const Json booked = Json::parse(first.output);
  EXPECT_EQ(booked["revenue"], "1000.01");
  EXPECT_EQ(booked["currency"], "USD");
  EXPECT_EQ(booked["new"], true);
  const Ran again = coshard(record);
  ASSERT_EQ(again.status, 0) << again.output;
  EXPECT_EQ(Json::parse(again.output)["index"], booked["index"]);
  EXPECT_EQ(Json::parse(again.output)["new"], false);
  const Ran other = coshard({"revenue", "record", dir(), "--amount", "5", "--reference", "INV-7"});
  EXPECT_EQ(other.status, 1);
  EXPECT_THAT(other.output, HasSubstr("correct that entry instead"));
  const std::string entry = std::to_string(booked["index"].get<int>());
  const Ran corrected = coshard(
      {"revenue", "correct", dir(), "--entry", entry, "--amount", "900", "--reason", "fees"});
  ASSERT_EQ(corrected.status, 0) << corrected.output;
  EXPECT_EQ(accounts().money().revenue, 900'000'000U);
}

TEST_F(CliMoney, PayoutsGoOutOnceAndComeToAnEnd) {
  finish_round();
  ASSERT_EQ(coshard({"revenue", "record", dir(), "--amount", "100", "--reference", "a"}).status, 0);
  const std::string csv = (folder_.path() / "payouts.csv").string();
  const Ran first = coshard({"payout", "export", dir(), "--out", csv});
  ASSERT_EQ(first.status, 0) << first.output;
  EXPECT_THAT(first.output, HasSubstr("2 payouts begun; 2 on their way"));
  const std::string list = read_text(csv);
  EXPECT_THAT(list, HasSubstr(account(0).hex() + ",1,"));
  const Ran second = coshard({"payout", "export", dir(), "--out", csv});
  EXPECT_THAT(second.output, HasSubstr("0 payouts begun; 2 on their way"));
  EXPECT_EQ(read_text(csv), list) << "the same list: nobody is paid twice";
  EXPECT_EQ(accounts().money().owed, 0U);

  const Ran failed = coshard({"payout", "confirm", dir(), "--account", account(0).hex(), "--number",
                              "1", "--failed", "--reference", "no such bank"});
  ASSERT_EQ(failed.status, 0) << failed.output;
  const Ran done = coshard({"payout", "confirm", dir(), csv, "--json"});
  ASSERT_EQ(done.status, 0) << done.output;
  EXPECT_EQ(Json::parse(done.output)["paid"], 1);
  EXPECT_EQ(Json::parse(done.output)["final_before"], 1);
  const Ran retry = coshard({"payout", "export", dir(), "--format", "json"});
  EXPECT_THAT(retry.output, HasSubstr("\"number\": 2"));
  const ledger::MoneyTotals money = accounts().money();
  EXPECT_EQ(money.revenue, 100'000'000U);
  const std::uint64_t known = money.paid + money.in_flight + money.owed;
  EXPECT_LE(known, 100'000'000U);
  EXPECT_GE(known + 1, 100'000'000U) << "less than a millionth for each of two is carried on";
}

TEST_F(CliMoney, AChangedListOfPayoutsIsRefused) {
  finish_round();
  ASSERT_EQ(coshard({"revenue", "record", dir(), "--amount", "100", "--reference", "a"}).status, 0);
  const Path csv = folder_.path() / "payouts.csv";
  ASSERT_EQ(coshard({"payout", "export", dir(), "--out", csv.string()}).status, 0);
  std::string list = read_text(csv);
  list.replace(list.find(",1,"), 3, ",2,");
  write_text(csv, list);
  const Ran ran = coshard({"payout", "confirm", dir(), csv.string()});
  EXPECT_EQ(ran.status, 2);
  EXPECT_THAT(ran.output, HasSubstr("line 2: the key is not that of this payout"));
}

TEST_F(CliMoney, UnitsAreSoldWhenBothHaveSigned) {
  finish_round();
  const std::string file = (folder_.path() / "offer.json").string();
  const std::uint64_t before = posted(1);
  const Ran offer =
      coshard({"transfer", "offer", dir(), "--key", key(0), "--to", account(1).hex().substr(0, 12),
               "--units", "1000", "--price", "250.5", "--expires", "10", "--out", file});
  ASSERT_EQ(offer.status, 0) << offer.output;
  EXPECT_THAT(offer.output, HasSubstr("250.50 USD for all of them"));
  const Ran early = coshard({"transfer", "submit", dir(), file});
  EXPECT_EQ(early.status, 1);
  EXPECT_THAT(early.output, HasSubstr("the buyer has not signed this transfer"));
  const Ran wrong = coshard({"transfer", "accept", dir(), file, "--key", key(0), "--yes"});
  EXPECT_THAT(wrong.output, HasSubstr("the offer is made to account"));
  const Ran accept = coshard({"transfer", "accept", dir(), file, "--key", key(1), "--yes"});
  ASSERT_EQ(accept.status, 0) << accept.output;
  EXPECT_THAT(accept.output, HasSubstr("units      1"));
  const Ran submit = coshard({"transfer", "submit", dir(), file});
  ASSERT_EQ(submit.status, 0) << submit.output;
  EXPECT_EQ(coshard({"transfer", "submit", dir(), file}).output, submit.output) << "once";
  EXPECT_EQ(posted(1), before + 1000);
}

TEST_F(CliMoney, UnitsAreGivenAndBonded) {
  finish_round();
  const std::uint64_t before = posted(1);
  const Ran give = coshard(
      {"transfer", "give", dir(), "--key", key(0), "--to", account(1).hex(), "--units", "7"});
  ASSERT_EQ(give.status, 0) << give.output;
  EXPECT_EQ(posted(1), before + 7);
  ASSERT_EQ(coshard({"bond", "lock", dir(), "--key", key(1), "--units", "5"}).status, 0);
  EXPECT_EQ(accounts().bonded_units(account(1)), 5U);
  const Ran much = coshard({"transfer", "give", dir(), "--key", key(1), "--to", account(0).hex(),
                            "--units", std::to_string(before + 3)});
  EXPECT_EQ(much.status, 1);
  EXPECT_THAT(much.output, HasSubstr("neither bonded nor still vesting"));
  ASSERT_EQ(coshard({"bond", "release", dir(), "--key", key(1), "--units", "5"}).status, 0);
}

TEST_F(CliMoney, KeysAreReplacedAndRevokedByTheirRoot) {
  finish_round();
  const std::string next = (folder_.path() / "next.key").string();
  const std::vector<std::string> rotate{"key", "rotate", dir(), "--key", key(0), "--out", next};
  const Ran first = coshard(rotate);
  ASSERT_EQ(first.status, 0) << first.output;
  EXPECT_EQ(coshard(rotate).output, first.output) << "said again, it is the same entry";
  const auto fresh = crypto::load_identity(next, std::nullopt);
  ASSERT_TRUE(fresh);
  EXPECT_EQ(fresh->account(), account(0));
  EXPECT_TRUE(accounts().find_node(nodes_[0].node())->revoked);
  EXPECT_FALSE(accounts().find_node(fresh->node())->revoked);
  ASSERT_EQ(coshard({"key", "revoke", dir(), "--key", key(1)}).status, 0);
  EXPECT_TRUE(accounts().find_node(nodes_[1].node())->revoked);
  const Ran foreign =
      coshard({"key", "revoke", dir(), "--key", key(1), "--node", fresh->node().hex()});
  EXPECT_EQ(foreign.status, 1);
  EXPECT_THAT(foreign.output, HasSubstr("not signed by the root"));
}

TEST_F(CliMoney, ABoxWithoutTheRootIsReplacedFromElsewhere) {
  finish_round();
  const std::string box = (folder_.path() / "box.key").string();
  const std::string next = (folder_.path() / "box-2.key").string();
  const Ran made = coshard({"keygen", "--root", key(0), "--out", box, "--no-passphrase", "--json"});
  ASSERT_EQ(made.status, 0) << made.output;
  EXPECT_EQ(Json::parse(made.output)["account"], account(0).hex());
  EXPECT_EQ(Json::parse(made.output)["holds_root"], false);
  const std::string node = Json::parse(made.output)["node"];

  // The owner's first keys are replaced by the box's; then the box is stolen and replaced too.
  const Ran joined = coshard({"key", "rotate", dir(), "--key", key(0), "--out", box, "--box"});
  ASSERT_EQ(joined.status, 0) << joined.output;
  for (const std::vector<std::string>& wrong :
       {std::vector<std::string>{"key", "rotate", dir(), "--key", box, "--out", next},
        {"key", "revoke", dir(), "--key", box},
        {"bond", "lock", dir(), "--key", box, "--units", "1"},
        {"keygen", "--root", box, "--out", next, "--no-passphrase"}}) {
    const Ran ran = coshard(wrong);
    EXPECT_EQ(ran.status, 2) << ran.output;
    EXPECT_THAT(ran.output, HasSubstr("expected an owner's key file, found a box's"));
    EXPECT_THAT(ran.output, HasSubstr("--node " + node));
  }
  const Ran rotated =
      coshard({"key", "rotate", dir(), "--key", key(0), "--node", node, "--out", next, "--box"});
  ASSERT_EQ(rotated.status, 0) << rotated.output;
  const auto fresh = crypto::load_identity(next, std::nullopt);
  ASSERT_TRUE(fresh);
  EXPECT_FALSE(fresh->has_root());
  const auto known = accounts();
  EXPECT_TRUE(known.find_node(NodeId{*to_array<32>(*from_hex(node))})->revoked);
  EXPECT_FALSE(known.find_node(fresh->node())->revoked);
  EXPECT_EQ(known.find_node(fresh->node())->account, account(0));
  const Ran gone =
      coshard({"key", "revoke", dir(), "--key", key(0), "--node", fresh->node().hex()});
  EXPECT_EQ(gone.status, 0) << gone.output;
}

TEST_F(CliMoney, AnAccountVouchesForAWitnessAndTakesItBack) {
  finish_round();
  const std::string file = (folder_.path() / "witness.key").string();
  ASSERT_EQ(
      coshard({"keygen", "--witness", "example.org/w1", "--out", file, "--no-passphrase"}).status,
      0);
  const std::vector<std::string> vouch{"key", "witness", dir(), "--key", key(0), "--witness", file};
  const Ran first = coshard(vouch);
  ASSERT_EQ(first.status, 0) << first.output;
  EXPECT_EQ(coshard(vouch).output, first.output) << "said again, it is the same entry";
  ASSERT_EQ(accounts().witnesses().size(), 1U);
  const auto [public_key, registration] = *accounts().witnesses().begin();
  EXPECT_EQ(registration.certificate.name, "example.org/w1");
  EXPECT_EQ(registration.account, account(0));
  const Ran foreign = coshard({"key", "witness", dir(), "--key", key(1), "--witness", file});
  EXPECT_EQ(foreign.status, 1);
  EXPECT_THAT(foreign.output, HasSubstr("another account's"));
  const Ran no_witness = coshard({"key", "witness", dir(), "--key", key(0), "--witness", key(1)});
  EXPECT_EQ(no_witness.status, 2);
  EXPECT_THAT(no_witness.output, HasSubstr("expected the key of a witness"));
  const Ran revoked =
      coshard({"key", "revoke", dir(), "--key", key(0), "--node", to_hex(public_key)});
  ASSERT_EQ(revoked.status, 0) << revoked.output;
  EXPECT_TRUE(accounts().witnesses().begin()->second.revoked);
  EXPECT_EQ(coshard(vouch).status, 1) << "a key that was taken back stays so";
}

TEST_F(CliMoney, AnAccountIsClaimedByItsRecoveryKey) {
  finish_round();
  const std::string safe = (folder_.path() / "safe.key").string();
  const std::string fresh = (folder_.path() / "fresh.key").string();
  const Ran made = coshard({"keygen", "--out", safe, "--no-passphrase", "--json"});
  ASSERT_EQ(coshard({"keygen", "--out", fresh, "--no-passphrase"}).status, 0);
  const std::string root = Json::parse(made.output)["root"];
  const std::vector<std::string> claim{"key", "recovery",  "claim",          dir(),   "--recovery",
                                       safe,  "--account", account(0).hex(), "--new", fresh};
  EXPECT_EQ(coshard(claim).status, 1) << "nobody named that key yet";
  ASSERT_EQ(
      coshard({"key", "recovery", "name", dir(), "--key", key(0), "--recovery-key", root}).status,
      0);
  const Ran claimed = coshard(claim);
  ASSERT_EQ(claimed.status, 0) << claimed.output;
  const Ran early =
      coshard({"key", "recovery", "finish", dir(), "--key", fresh, "--account", account(0).hex()});
  EXPECT_EQ(early.status, 1);
  EXPECT_THAT(early.output, HasSubstr("the owner may object for"));
}

TEST_F(CliMoney, QueriesSayMoneyAndUnitsInWords) {
  finish_round();
  ASSERT_EQ(coshard({"revenue", "record", dir(), "--amount", "100", "--reference", "a"}).status, 0);
  ASSERT_EQ(coshard({"payout", "export", dir()}).status, 0);
  ASSERT_EQ(
      coshard({"payout", "confirm", dir(), "--account", account(0).hex(), "--number", "1"}).status,
      0);
  ASSERT_EQ(coshard({"bond", "lock", dir(), "--key", key(0), "--units", "5"}).status, 0);
  const std::string ledger = dir() + "/ledger";
  const Ran balance = coshard({"balance", account(0).hex(), "--ledger", ledger, "--json"});
  ASSERT_EQ(balance.status, 0) << balance.output;
  const Json row = Json::parse(balance.output)["models"][0];
  EXPECT_EQ(row["bonded"], 5);
  EXPECT_EQ(row["free"].get<std::uint64_t>() + 5, row["posted"].get<std::uint64_t>());
  EXPECT_GT(row["paid"].get<std::uint64_t>(), 40'000'000U);
  EXPECT_EQ(row["owed"], 0);
  const Ran statement = coshard({"statement", account(0).hex(), "--ledger", ledger});
  // Revenue concerns every owner and is no line of anybody's: what it brought shows under OWED.
  for (const char* words : {"payout 1 of", "payout 1 paid: ", "5 units bonded", "node "})
    EXPECT_THAT(statement.output, HasSubstr(words));
  const Path file = folder_.path() / "tree.json";
  const Ran owners =
      coshard({"ownership", "mite", "--ledger", ledger, "--distributor", file.string()});
  ASSERT_EQ(owners.status, 0) << owners.output;
  EXPECT_THAT(owners.output, HasSubstr("money: revenue 100.00 USD, of which paid"));
  const Json tree = Json::parse(read_text(file));
  EXPECT_EQ(tree["values"].size(), 2U);
  EXPECT_THAT(owners.output, HasSubstr(tree["tree"][0].get<std::string>()));
  const Path script = source_dir() / "tests/process/distributor_test.mjs";
  if (std::system("command -v node >/dev/null") != 0) return;
  const int loaded =
      std::system(("node " + script.string() + " " + file.string() + " >&2").c_str());
  EXPECT_TRUE(WEXITSTATUS(loaded) == 0 || WEXITSTATUS(loaded) == 77) << "77: not installed";
}

TEST_F(CliMoney, ABalanceIsProvedWithoutTheLedger) {
  finish_round();
  const std::string ledger = dir() + "/ledger";
  const Path file = folder_.path() / "balance.proof";
  const Ran made =
      coshard({"balance", account(1).hex(), "--ledger", ledger, "--proof", file.string()});
  ASSERT_EQ(made.status, 0) << made.output;
  std::string vkey = read_text(folder_.coordinator_dir() / "ledger/mite/log.vkey");
  vkey.pop_back();
  const std::vector<std::string> check{"verify", "--proof", file.string(),
                                       "--vkey", vkey,      "--json"};
  const Ran checked = coshard(check);
  ASSERT_EQ(checked.status, 0) << checked.output;
  EXPECT_EQ(Json::parse(checked.output)["posted"], posted(1));
  const std::string text = read_text(file);
  for (std::size_t at = 19; at < text.size(); at += 7) {
    std::string changed = text;
    changed[at] = changed[at] == 'A' ? 'B' : 'A';
    write_text(file, changed);
    ASSERT_NE(coshard(check).status, 0) << "changed at " << at;
  }
}

TEST_F(CliMoney, BadUseIsSaidInOneLine) {
  finish_round();
  const std::pair<std::vector<std::string>, const char*> cases[] = {
      {{"revenue", "record", dir(), "--amount", "1e3", "--reference", "a"},
       "expected an amount like 12.34"},
      {{"revenue", "record", dir(), "--amount", "1", "--reference", "a", "--statement", "/none"},
       "/none"},
      {{"payout", "confirm", dir()}, "expected a file of payout export, or --account and --number"},
      {{"transfer", "offer", dir(), "--key", key(0), "--to", "12", "--units", "1", "--out", "x"},
       "an account id of 64 hexadecimal digits"},
      {{"revenue", "record", "nowhere", "--amount", "1", "--reference", "a"},
       "round \"nowhere\": expected a name"},
  };
  for (const auto& [arguments, what] : cases) {
    const Ran ran = coshard(arguments);
    EXPECT_EQ(ran.status, 2) << ran.output;
    EXPECT_THAT(ran.output, HasSubstr(what));
  }
  const Ran none =
      coshard({"revenue", "correct", dir(), "--entry", "1", "--amount", "1", "--reason", "x"});
  EXPECT_EQ(none.status, 1);
  EXPECT_THAT(none.output, HasSubstr("entry 1 reports no revenue"));
}

/// Before anybody owns a unit: it is held for those who will.
TEST_F(CliMoney, ACoordinatorThatRunsBooksRevenue) {
  ASSERT_TRUE(folder_.start_coordinator());
  const std::vector<std::string> record{"revenue", "record",      dir(), "--amount",
                                        "12.34",   "--reference", "a",   "--json"};
  const Ran first = coshard(record);
  ASSERT_EQ(first.status, 0) << first.output;
  EXPECT_EQ(coshard(record).status, 0);
  EXPECT_EQ(accounts().money().held, 12'340'000U);
  const std::string url = "http://" + folder_.coordinator_field("http");
  const Ran remote = coshard({"revenue", "record", url, "--amount", "1", "--reference", "b"});
  EXPECT_EQ(remote.status, 2);
  EXPECT_THAT(remote.output, HasSubstr("--coordinator-key: expected the key file"));
  const Ran with_key =
      coshard({"revenue", "record", url, "--amount", "1", "--reference", "b", "--coordinator-key",
               (folder_.coordinator_dir() / "coordinator.key").string()});
  EXPECT_EQ(with_key.status, 0) << with_key.output;
  EXPECT_EQ(accounts().money().held, 13'340'000U);
}

}  // namespace
}  // namespace coshard::test
