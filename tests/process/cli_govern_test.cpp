// coshard ledger and govern on a small round that has ended, and all that writes there where
// witnesses cosign.
// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "tests/process/finished_round.h"

namespace coshard::test {
namespace {

using ::testing::HasSubstr;
using Json = nlohmann::json;

class CliGovern : public FinishedRound {
 protected:
  std::string file(const std::string& name) const { return (folder_.path() / name).string(); }

  /// Two governors of two, each with a key file, one of them without its root.
  void govern() {
    std::string keys;
    for (std::size_t i = 0; i < 2; ++i) {
      crypto::Identity governor = crypto::Identity::generate();
      if (i == 1) governor = governor.without_root();
      governors_.push_back(file("governor-" + std::to_string(i) + ".key"));
      ASSERT_TRUE(crypto::save_identity(governors_[i], governor, std::nullopt));
      keys += std::string(keys.empty() ? "" : ", ") + "\"" + governor.node().hex() + "\"";
    }
    with_ownership("split = { compute = 10000, data = 0,",
                   "governors = [" + keys + "]\ndata = [ { account = \"" + std::string(64, 'a') +
                       "\", basis_points = 10000 } ]\nsplit = { compute = 9000, data = 1000,");
  }
  std::vector<std::string> governors_;
};

TEST_F(CliGovern, GovernorsChangeParametersTogether) {
  govern();
  finish_round();
  const std::string proposal = file("proposal.json");
  const Ran made = coshard({"govern", "params", dir(), "--minimum-payout", "5", "--bond-epochs",
                            "3", "--out", proposal});
  ASSERT_EQ(made.status, 0) << made.output;
  EXPECT_THAT(made.output, HasSubstr("minimum payout    5.00 USD  (is 0.00 USD)"));
  EXPECT_THAT(made.output, HasSubstr("0 of 2 governors; 2 are needed"));
  const Ran stranger = coshard({"govern", "sign", dir(), proposal, "--key", key(0), "--yes"});
  EXPECT_EQ(stranger.status, 1);
  EXPECT_THAT(stranger.output, HasSubstr("is a governor of this round"));
  const Ran first = coshard({"govern", "sign", dir(), proposal, "--key", governors_[0], "--yes"});
  ASSERT_EQ(first.status, 0) << first.output;
  EXPECT_THAT(first.output, HasSubstr("has 1 of 2 signatures"));
  EXPECT_EQ(coshard({"govern", "sign", dir(), proposal, "--key", governors_[0], "--yes"}).status, 0)
      << "who signs again has signed once";
  const Ran early = coshard({"govern", "submit", dir(), proposal});
  EXPECT_EQ(early.status, 1);
  EXPECT_THAT(early.output, HasSubstr("signatures of 2 governors were expected, found 1"));
  ASSERT_EQ(coshard({"govern", "sign", dir(), proposal, "--key", governors_[1], "--yes"}).status,
            0);
  const Ran done = coshard({"govern", "submit", dir(), proposal});
  ASSERT_EQ(done.status, 0) << done.output;
  EXPECT_EQ(coshard({"govern", "submit", dir(), proposal}).output, done.output) << "once";
  const ledger::Params now = accounts().params_at(LedgerEpoch(99));
  EXPECT_EQ(now.minimum_payout, 5'000'000U);
  EXPECT_EQ(now.bond_epochs, 3U);
  EXPECT_EQ(now.challenge_epochs, accounts().genesis().params.challenge_epochs);
}

TEST_F(CliGovern, GovernorsGrantARoleToOthers) {
  govern();
  finish_round();
  const std::string proposal = file("proposal.json");
  const std::string whole = account(1).hex();
  const std::vector<std::string> propose{
      "govern",  "grants",        dir(),   "--role", "data", "--grant", account(0).hex() + "=2500",
      "--grant", whole + "=7500", "--out", proposal};
  const Ran made = coshard(propose);
  ASSERT_EQ(made.status, 0) << made.output;
  EXPECT_THAT(made.output, HasSubstr(whole + "  75.00 %"));
  for (const std::string& governor : governors_) {
    const Ran ran = coshard({"govern", "sign", dir(), proposal, "--key", governor, "--yes"});
    ASSERT_EQ(ran.status, 0) << ran.output;
  }
  const Ran done = coshard({"govern", "submit", dir(), proposal});
  ASSERT_EQ(done.status, 0) << done.output;
  EXPECT_EQ(accounts().grants_at(ledger::Role::kData, LedgerEpoch(99)).size(), 2U);
  std::vector<std::string> short_of = propose;
  short_of[6] = account(0).hex() + "=2499";
  const Ran refused = coshard(short_of);
  EXPECT_EQ(refused.status, 2);
  EXPECT_THAT(refused.output, HasSubstr("basis points that sum to 10000, found 9999"));
}

TEST_F(CliGovern, AProposalThatWasChangedIsNotSigned) {
  govern();
  finish_round();
  const std::string proposal = file("proposal.json");
  ASSERT_EQ(coshard({"govern", "params", dir(), "--bond-epochs", "3", "--out", proposal}).status,
            0);
  ASSERT_EQ(coshard({"govern", "sign", dir(), proposal, "--key", governors_[0], "--yes"}).status,
            0);
  Json json = Json::parse(read_text(proposal));
  std::string leaf = json["leaf"];
  leaf.back() = leaf.back() == '0' ? '1' : '0';  // of the signature
  json["leaf"] = leaf;
  write_text(proposal, json.dump());
  const Ran ran = coshard({"govern", "sign", dir(), proposal, "--key", governors_[1], "--yes"});
  EXPECT_NE(ran.status, 0);
  EXPECT_THAT(ran.output, HasSubstr("is false, or of nobody who governs"));
}

TEST_F(CliGovern, ALedgerWithoutGovernorsSaysSo) {
  finish_round();
  const Ran ran =
      coshard({"govern", "params", dir(), "--bond-epochs", "3", "--out", file("p.json")});
  EXPECT_EQ(ran.status, 1);
  EXPECT_THAT(ran.output, HasSubstr("begun without governors"));
}

TEST_F(CliGovern, TheOperatorSettlesAndBurnsBonds) {
  finish_round();
  ASSERT_EQ(coshard({"revenue", "record", dir(), "--amount", "100", "--reference", "a"}).status, 0);
  const Ran settled = coshard({"ledger", "settle", dir()});
  ASSERT_EQ(settled.status, 0) << settled.output;
  EXPECT_GE(accounts().money().owed, 99'999'999U);
  ASSERT_EQ(coshard({"bond", "lock", dir(), "--key", key(0), "--units", "50"}).status, 0);
  const std::uint64_t before = posted(0);
  const std::vector<std::string> take{"ledger",    "penalty",        dir(),
                                      "--account", account(0).hex(), "--units",
                                      "20",        "--reason",       "audit 12"};
  const Ran first = coshard(take);
  ASSERT_EQ(first.status, 0) << first.output;
  EXPECT_EQ(coshard(take).output, first.output) << "said again, it is the same penalty";
  EXPECT_EQ(posted(0), before - 20);
  EXPECT_EQ(accounts().bonded_units(account(0)), 30U);
  std::vector<std::string> more = take;
  more[6] = "31";
  const Ran much = coshard(more);
  EXPECT_EQ(much.status, 1);
  EXPECT_THAT(much.output, HasSubstr("a penalty takes 1 to 30 bonded units"));
}

TEST_F(CliGovern, TheOperatorVoidsWhatIsPendingAndNothingElse) {
  finish_round(/*post=*/false);
  const std::uint64_t pending = accounts().balance(account(0)).pending;
  ASSERT_GT(pending, 0U);
  const std::vector<std::string> take{"ledger",    "void",           dir(),      "--epoch", "1",
                                      "--account", account(0).hex(), "--reason", "copied"};
  const Ran ran = coshard(take);
  ASSERT_EQ(ran.status, 0) << ran.output;
  EXPECT_EQ(coshard(take).output, ran.output);
  EXPECT_LT(accounts().balance(account(0)).pending, pending);
  std::vector<std::string> later = take;
  later[4] = "9";
  EXPECT_THAT(coshard(later).output, HasSubstr("has no pending credit"));
}

/// A witness of its own and the policy that asks for it.
class CliWitnessed : public CliGovern {
 protected:
  void start_witness() {
    const Ran made = coshard({"keygen", "--witness", "example.org/w", "--out", file("w.key"),
                              "--no-passphrase", "--json"});
    ASSERT_EQ(made.status, 0) << made.output;
    vkey_ = Json::parse(made.output)["vkey"];
    restart_witness("127.0.0.1:0");
    std::string url = read_text(folder_.path() / "memory/url");
    url.pop_back();
    address_ = url.substr(std::string("http://").size());
    write_text(file("policy"), "witness w " + vkey_ + " " + url + "\nquorum w\n");
  }
  void restart_witness(const std::string& listen) {
    const std::string log = (folder_.coordinator_dir() / "ledger/mite/log.vkey").string();
    witness_.emplace(
        Spawn{bin_dir() / "coshard-witness",
              {"--key", file("w.key"), "--dir", file("memory"), "--listen", listen, "--logs", log},
              folder_.path() / ("witness-" + std::to_string(++starts_) + ".out"),
              {},
              {}});
    ASSERT_TRUE(wait_for_text(folder_.path() / ("witness-" + std::to_string(starts_) + ".out"),
                              "coshard-witness: http", std::chrono::seconds(30)));
  }
  std::vector<std::string> record(const std::string& reference) const {
    return {"revenue",     "record",  dir(),      "--amount",     "1",
            "--reference", reference, "--policy", file("policy"), "--json"};
  }
  std::string vkey_, address_;
  int starts_ = 0;
  std::optional<ChildProcess> witness_;
};

TEST_F(CliWitnessed, WhatIsWrittenAfterTheEndIsCosigned) {
  finish_round();
  start_witness();
  // Nobody cosigned what the round left: who believes the witness alone sees no ledger yet.
  EXPECT_EQ(coshard(record("a")).status, 1);
  write_text(folder_.coordinator_dir() / "launch.json", Json{{"round", file("round.toml")},
                                                             {"listen", ""},
                                                             {"advertise", ""},
                                                             {"http", ""},
                                                             {"witnesses", file("policy")}}
                                                            .dump());
  const Ran first = coshard({"revenue", "record", dir(), "--amount", "1", "--reference", "a"});
  ASSERT_EQ(first.status, 0) << first.output;
  std::filesystem::remove(folder_.coordinator_dir() / "launch.json");
  const Ran blind = coshard({"revenue", "record", dir(), "--amount", "1", "--reference", "b"});
  EXPECT_EQ(blind.status, 2) << "a checkpoint without cosignatures would hide the ledger";
  EXPECT_THAT(blind.output, HasSubstr("--policy: expected the policy file of the witnesses"));
  const Ran second = coshard(record("b"));
  ASSERT_EQ(second.status, 0) << second.output;
  EXPECT_EQ(accounts().money().revenue, 2'000'000U);
  const Ran read = coshard({"ownership", "mite", "--ledger", dir() + "/ledger", "--policy",
                            file("policy"), "--no-index"});
  EXPECT_EQ(read.status, 0) << read.output;

  witness_.reset();  // nobody answers
  const Ran waits = coshard(record("c"));
  EXPECT_EQ(waits.status, 1);
  EXPECT_THAT(waits.output, HasSubstr("is durable and not published yet"));
  EXPECT_THAT(waits.output, HasSubstr("say the same again when the witnesses answer"));
  EXPECT_EQ(accounts().money().revenue, 2'000'000U);
  restart_witness(address_);
  const Ran again = coshard(record("c"));
  ASSERT_EQ(again.status, 0) << again.output;
  EXPECT_EQ(coshard(record("c")).output, coshard(record("c")).output);
  EXPECT_EQ(accounts().money().revenue, 3'000'000U) << "once";
}

}  // namespace
}  // namespace coshard::test
