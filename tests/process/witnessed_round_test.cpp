// A coordinator and three witnesses as processes, two of whom have to cosign: what readers with a
// policy see while witnesses come and go.
// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include <csignal>
#include <nlohmann/json.hpp>

#include "ledger/verify.h"
#include "tests/process/program.h"
#include "tests/support/round_fixture.h"

namespace coshard::test {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using Json = nlohmann::json;
using std::chrono::seconds;

class WitnessedRound : public ::testing::Test {
 protected:
  static constexpr std::size_t kWitnesses = 3;

  void SetUp() override {
    // The log's key is made by its coordinator; witnesses are told it before they are asked.
    ASSERT_TRUE(round_.start_coordinator());
    stop_coordinator();
    std::string names;
    for (std::size_t i = 0; i < kWitnesses; ++i) {
      const std::string name = "w" + std::to_string(i + 1);
      const Ran made = coshard({"keygen", "--witness", "example.org/" + name, "--out",
                                file(name + ".key"), "--no-passphrase", "--json"});
      ASSERT_EQ(made.status, 0) << made.output;
      start_witness(i, "127.0.0.1:0");
      std::string url = read_text(folder() / (name + "/url"));
      url.pop_back();
      addresses_[i] = url.substr(std::string("http://").size());
      const std::string vkey = Json::parse(made.output)["vkey"];
      policy_ += "witness " + name + " " + vkey + " " + url + "\n";
      names += " " + name;
    }
    policy_ += "group two 2" + names + "\nquorum two\n";
    write_text(file("policy"), policy_);
    ASSERT_TRUE(round_.start_coordinator({.flags = {"--witnesses", file("policy")}}));
    ASSERT_TRUE(wait_for(1)) << round_.outputs();
  }
  void stop_coordinator() {
    round_.coordinator().signal(SIGTERM);
    ASSERT_TRUE(round_.coordinator().wait_exit(seconds(60))) << round_.outputs();
  }
  void start_witness(std::size_t i, const std::string& listen) {
    const std::string name = "w" + std::to_string(i + 1);
    const Path output = folder() / (name + "-" + std::to_string(++starts_) + ".out");
    witnesses_[i].emplace(Spawn{bin_dir() / "coshard-witness",
                                {"--key", file(name + ".key"), "--dir", file(name), "--listen",
                                 listen, "--logs", (log() / "log.vkey").string()},
                                output,
                                {},
                                {}});
    ASSERT_TRUE(wait_for_text(output, "coshard-witness: http", seconds(30)));
  }
  Ran coshard(const std::vector<std::string>& arguments) {
    return run_program("coshard", arguments, folder());
  }
  Ran book(const std::string& reference) {
    return coshard({"revenue", "record", round_.coordinator_dir().string(), "--amount", "1",
                    "--reference", reference});
  }
  /// Entries that somebody sees who believes two witnesses; 0 when he sees none.
  std::uint64_t seen() const {
    const ledger::DiskFolder folder(log());
    const auto policy = ledger::Policy::parse(policy_);
    EXPECT_TRUE(policy) << (policy ? "" : policy.error().message);
    const auto head = ledger::read_head(folder, ledger::ReaderTrust(std::nullopt, *policy));
    return head ? head->checkpoint.size : 0;
  }
  bool wait_for(std::uint64_t size) {
    FolderWatch watch({log()});
    return watch.wait_until([&] { return seen() >= size; }, seconds(60));
  }
  const Path& folder() const { return round_.path(); }
  std::string file(const std::string& name) const { return (folder() / name).string(); }
  Path log() const { return round_.coordinator_dir() / "ledger/mite"; }

  RoundFixture round_{TinyRound{}};
  std::string policy_;
  std::array<std::optional<ChildProcess>, kWitnesses> witnesses_;
  std::array<std::string, kWitnesses> addresses_;
  int starts_ = 0;
};

TEST_F(WitnessedRound, ReadersSeeWhatTwoOfThreeHaveCosigned) {
  const std::uint64_t begun = seen();
  ASSERT_EQ(book("all three").status, 0);
  const std::uint64_t by_three = seen();
  EXPECT_GT(by_three, begun);
  witnesses_[0].reset();  // kill -9
  const Ran two = book("two of three");
  ASSERT_EQ(two.status, 0) << two.output;
  const std::uint64_t by_two = seen();
  EXPECT_GT(by_two, by_three);

  witnesses_[1].reset();
  const Ran one = book("one of three");
  EXPECT_EQ(one.status, 1) << "durable, and nobody can see it";
  EXPECT_THAT(one.output, HasSubstr("not published yet"));
  EXPECT_EQ(seen(), by_two);
  const std::vector<std::string> verify{"verify", "--ledger", log().string(), "--policy",
                                        file("policy")};
  const Ran before = coshard(verify);
  EXPECT_EQ(before.status, 0) << before.output;

  start_witness(1, addresses_[1]);  // with its memory
  EXPECT_TRUE(wait_for(by_two + 1)) << round_.outputs();
  const Ran after = coshard(verify);
  EXPECT_EQ(after.status, 0) << after.output;
  EXPECT_THAT(after.output, Not(HasSubstr(" " + std::to_string(by_two) + " entries")));
  // Who asks for all three is told that one is missing.
  std::string all = policy_;
  all.replace(all.find("group two 2"), 11, "group two 3");
  write_text(file("all"), all);
  EXPECT_EQ(coshard({"verify", "--ledger", log().string(), "--policy", file("all")}).status, 1);
}

TEST_F(WitnessedRound, ACoordinatorThatCameBackIsAskedWhatItForgot) {
  ASSERT_EQ(book("a").status, 0);
  const std::uint64_t size = seen();
  stop_coordinator();
  const Path saved = folder() / "saved";
  std::filesystem::copy(round_.coordinator_dir(), saved, std::filesystem::copy_options::recursive);
  ASSERT_TRUE(round_.start_coordinator({.flags = {"--witnesses", file("policy")}}));
  ASSERT_EQ(book("b").status, 0);
  stop_coordinator();
  EXPECT_GT(seen(), size);
  // Yesterday's copy of everything: only the witnesses know better.
  std::filesystem::remove_all(round_.coordinator_dir());
  std::filesystem::copy(saved, round_.coordinator_dir(), std::filesystem::copy_options::recursive);
  ASSERT_TRUE(round_.start_coordinator({.flags = {"--witnesses", file("policy")}}));
  (void)book("c");
  EXPECT_TRUE(wait_for_text(round_.coordinator().output_file(),
                            "was an old copy of the ledger's store restored?", seconds(60)))
      << round_.outputs();
  EXPECT_EQ(seen(), size) << "nothing new is published of a log that forgot";
}

}  // namespace
}  // namespace coshard::test
