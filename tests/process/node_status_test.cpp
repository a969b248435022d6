// coshard status against a running round: what this box's node does, and what its account owns
// according to the public log, which the command verifies by itself.
// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "tests/process/program.h"
#include "tests/support/round_fixture.h"

namespace coshard::test {
namespace {

using ::testing::HasSubstr;
using Json = nlohmann::json;

class NodeStatus : public ::testing::Test {
 protected:
  Ran coshard(std::vector<std::string> arguments) {
    return run_program("coshard", arguments, round_.path());
  }
  Json status(std::size_t node) {
    const Ran ran = coshard({"status", "--dir", round_.node_dir(node).string(), "--json"});
    EXPECT_EQ(ran.status, 0) << ran.output;
    return Json::parse(ran.output, nullptr, false);
  }
  /// The round runs on while a command reads it, so what one says lies between two others.
  Json balance(const std::string& account) {
    const Ran ran = coshard(
        {"balance", account, "--ledger", "http://" + round_.coordinator_field("http"), "--json"});
    EXPECT_EQ(ran.status, 0) << ran.output;
    return Json::parse(ran.output, nullptr, false)["models"][0];
  }
  static std::uint64_t earned(const Json& balance) {
    return balance["posted"].get<std::uint64_t>() + balance["pending"].get<std::uint64_t>();
  }

  RoundFixture round_{{.stages = 2, .replicas = 1, .steps = 100'000, .epoch_steps = 2}};
};

TEST_F(NodeStatus, ShowsCreditsThatTheLedgerProves) {
  ASSERT_TRUE(round_.start_all());
  ASSERT_TRUE(round_.wait_for_step(20, std::chrono::seconds(120))) << round_.outputs();
  for (std::size_t node : {0U, 1U}) {
    const std::string account = round_.node_status(node, "account");
    const Json before = balance(account);
    const Json said = status(node);
    const Json after = balance(account);
    ASSERT_TRUE(said["credits"].is_object()) << said.dump();
    EXPECT_GT(earned(said["credits"]), 0U);
    EXPECT_GE(earned(said["credits"]), earned(before));
    EXPECT_LE(earned(said["credits"]), earned(after));
    EXPECT_EQ(said["account"], account);
  }
  const Ran text = coshard({"status", "--dir", round_.node_dir(0).string()});
  EXPECT_THAT(text.output, HasSubstr(" units posted, "));
  EXPECT_THAT(text.output, HasSubstr(" pending (verified, "));

  round_.coordinator().signal(SIGSTOP);  // it does not answer any more
  const Ran alone = coshard({"status", "--dir", round_.node_dir(0).string()});
  EXPECT_EQ(alone.status, 0);
  EXPECT_THAT(alone.output, HasSubstr("round      mite, stage "));
  EXPECT_THAT(alone.output, HasSubstr("credits    unknown: no answer from http://127.0.0.1:"));
}

/// What a stolen box could do ends with one command, said elsewhere.
TEST_F(NodeStatus, ABoxWithoutTheRootEarnsForItsOwnerUntilItIsRevoked) {
  const std::string owner = (round_.path() / "owner.key").string();
  const std::string box = (round_.path() / "box.key").string();
  const Ran root = coshard({"keygen", "--out", owner, "--no-passphrase", "--json"});
  ASSERT_EQ(root.status, 0) << root.output;
  const Ran made = coshard({"keygen", "--root", owner, "--out", box, "--no-passphrase", "--json"});
  ASSERT_EQ(made.status, 0) << made.output;
  const std::string account = Json::parse(root.output)["account"];
  const std::string node = Json::parse(made.output)["node"];
  ASSERT_TRUE(round_.start_coordinator());
  ASSERT_TRUE(round_.start_nodes({{0, {.flags = {"--key", box}}}}));
  ASSERT_TRUE(round_.wait_for_step(20, std::chrono::seconds(120))) << round_.outputs();
  EXPECT_EQ(round_.node_status(0, "account"), account);
  EXPECT_GT(earned(balance(account)), 0U);

  const std::string url = "http://" + round_.coordinator_field("http");
  const Ran itself = coshard({"key", "revoke", url, "--key", box});
  EXPECT_EQ(itself.status, 2);
  EXPECT_THAT(itself.output, HasSubstr("has no root key to sign with"));
  const Ran revoked = coshard({"key", "revoke", url, "--key", owner, "--node", node});
  ASSERT_EQ(revoked.status, 0) << revoked.output;
  const Ran statement = coshard({"statement", account, "--ledger", url, "--no-index"});
  EXPECT_THAT(statement.output, HasSubstr("revoked"));
}

}  // namespace
}  // namespace coshard::test
