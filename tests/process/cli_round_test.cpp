// coshard round against a real coordinator: a bad round file starts nothing; a good one starts a
// coordinator that can be listed, watched, asked and told.
// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <csignal>
#include <nlohmann/json.hpp>

#include "tests/process/program.h"

namespace coshard::test {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;
using Json = nlohmann::json;

class CliRound : public ::testing::Test {
 protected:
  Ran coshard(std::vector<std::string> arguments) {
    return run_program("coshard", arguments, home_.path());
  }

  /// Text, shards and a round file that is right.
  void SetUp() override {
    std::string text;
    for (int i = 0; i < 2000; ++i) text += "the quick brown fox " + std::to_string(i) + "\n";
    write_text(home_ / "text", text);
    ASSERT_EQ(coshard({"data", "prepare", "--tokenizer", "bytes", "--out",
                       (home_ / "data").string(), (home_ / "text").string()})
                  .status,
              0);
    write_round("stages = 2");
  }

  void TearDown() override {
    if (pid_ > 0) kill(pid_, SIGKILL);
  }

  void write_round(const std::string& stages) {
    write_text(round_file(), "[model]\nname = \"fox\"\npreset = \"tiny\"\n" + stages +
                                 "\n[data]\nmanifest = \"data/manifest.json\"\n[training]\n"
                                 "steps = 3\nmicrobatches = 2\nmicrobatch_sequences = 1\n");
  }

  Path round_file() const { return home_ / "round.toml"; }
  Path round_dir() const { return home_ / "state/coshard/rounds/fox"; }

  Json launch() {
    const Ran ran = coshard({"round", "launch", round_file().string(), "--json"});
    EXPECT_EQ(ran.status, 0) << ran.output;
    Json json = Json::parse(ran.output, nullptr, false);
    if (json.is_object()) pid_ = json["pid"].get<int>();
    return json;
  }

  /// Ends the coordinator in order and waits until it has.
  void stop_coordinator() {
    ASSERT_EQ(kill(pid_, SIGTERM), 0);
    const auto ended = [this] {
      const std::string stat = read_text("/proc/" + std::to_string(pid_) + "/stat");
      return stat.empty() || stat.find(") Z") != std::string::npos;
    };
    const int pid_fd = static_cast<int>(syscall(SYS_pidfd_open, pid_, 0));
    pollfd end{pid_fd, POLLIN, 0};
    EXPECT_EQ(poll(&end, 1, 20'000), 1);
    close(pid_fd);
    EXPECT_TRUE(ended());
    pid_ = 0;
  }

  TempDir home_;
  int pid_ = 0;
};

TEST_F(CliRound, ABadRoundFileIsRefusedWithItsLineAndNothingStarts) {
  write_round("stages = 5");
  const Ran partition = coshard({"round", "launch", round_file().string()});
  EXPECT_EQ(partition.status, 2);
  EXPECT_EQ(partition.output, "coshard: " + round_file().string() +
                                  ":4: model.stages: expected 1 to 4 stages (each needs one of "
                                  "the model's 4 layers), found 5\n");
  write_round("stages = 2\nweigths = \"open\"");
  const Ran key = coshard({"round", "launch", round_file().string()});
  EXPECT_EQ(key.status, 2);
  EXPECT_THAT(key.output, HasSubstr("round.toml:5: model.weigths: expected a known key"));
  EXPECT_THAT(key.output, HasSubstr("did you mean \"weights\"?"));
  EXPECT_FALSE(std::filesystem::exists(round_dir()));
}

TEST_F(CliRound, MissingOrChangedDataIsRefusedByName) {
  const Path shard = home_ / "data/shard-00000.bin";
  std::string bytes = read_text(shard);
  bytes[100] = static_cast<char>(bytes[100] ^ 1);
  write_text(shard, bytes);
  const Ran changed = coshard({"round", "launch", round_file().string()});
  EXPECT_EQ(changed.status, 2);
  EXPECT_THAT(changed.output, HasSubstr("shard-00000.bin"));
  std::filesystem::remove(home_ / "data/manifest.json");
  const Ran missing = coshard({"round", "launch", round_file().string()});
  EXPECT_EQ(missing.status, 2);
  EXPECT_THAT(missing.output, HasSubstr("data.manifest: expected a manifest at "));
  EXPECT_FALSE(std::filesystem::exists(round_dir()));
}

TEST_F(CliRound, LaunchStartsACoordinatorThatOtherCommandsFind) {
  const Json launched = launch();
  ASSERT_TRUE(launched.is_object());
  EXPECT_THAT(launched["invitation"].get<std::string>(), StartsWith("coshard://"));
  EXPECT_EQ(kill(pid_, 0), 0);

  const Ran status = coshard({"round", "status", "fox", "--json"});
  ASSERT_EQ(status.status, 0) << status.output;
  const Json json = Json::parse(status.output);
  EXPECT_EQ(json["model"], "fox");
  EXPECT_EQ(json["state"], "waiting");
  EXPECT_EQ(json["steps"], 3);
  const Ran by_url = coshard({"round", "status", launched["url"].get<std::string>()});
  EXPECT_EQ(by_url.status, 0);
  EXPECT_THAT(by_url.output,
              HasSubstr("waiting for nodes: 1 more for stage 0, 1 more for stage 1"));
  const Ran by_folder = coshard({"round", "status", round_dir().string()});
  EXPECT_EQ(by_folder.output, by_url.output);

  const Json list = Json::parse(coshard({"round", "list", "--json"}).output);
  ASSERT_EQ(list.size(), 1U);
  EXPECT_EQ(list[0]["name"], "fox");
  EXPECT_EQ(list[0]["state"], "waiting");

  const Ran twice = coshard({"round", "launch", round_file().string()});
  EXPECT_EQ(twice.status, 2);
  EXPECT_THAT(twice.output,
              HasSubstr("expected no running coordinator, found process " + std::to_string(pid_)));
}

TEST_F(CliRound, ControlNeedsTheTokenOfTheRound) {
  const Json launched = launch();
  ASSERT_TRUE(launched.is_object());
  const std::string url = launched["url"];
  const Ran without = coshard({"round", "pause", url});
  EXPECT_EQ(without.status, 2);
  EXPECT_THAT(without.output, HasSubstr("expected --token FILE"));
  write_text(home_ / "false.token", "0123\n");
  const Ran wrong = coshard({"round", "pause", url, "--token", (home_ / "false.token").string()});
  EXPECT_EQ(wrong.status, 1);
  EXPECT_THAT(wrong.output, HasSubstr("the control token is not the coordinator's"));
  const Ran right = coshard({"round", "pause", "fox"});
  EXPECT_EQ(right.status, 0) << right.output;
  EXPECT_THAT(right.output, HasSubstr("pause accepted"));
}

TEST_F(CliRound, AStoppedRoundIsListedAsSuchAndCanBeStartedAgain) {
  ASSERT_TRUE(launch().is_object());
  stop_coordinator();
  const Ran status = coshard({"round", "status", "fox"});
  EXPECT_EQ(status.status, 0);
  EXPECT_THAT(status.output, HasSubstr("fox: no coordinator runs"));
  EXPECT_THAT(status.output, HasSubstr("coshard round resume fox"));
  const Ran again = coshard({"round", "resume", "fox"});
  ASSERT_EQ(again.status, 0) << again.output;
  const Json file = Json::parse(read_text(round_dir() / "coordinator.json"));
  pid_ = file["pid"].get<int>();
  EXPECT_EQ(Json::parse(coshard({"round", "status", "fox", "--json"}).output)["state"], "waiting");
}

TEST_F(CliRound, ATakenPortIsNamed) {
  const Json first = launch();
  ASSERT_TRUE(first.is_object());
  const std::string taken = first["url"].get<std::string>().substr(std::string("http://").size());
  const Ran second = coshard({"round", "launch", round_file().string(), "--dir",
                              (home_ / "second").string(), "--http", taken});
  EXPECT_NE(second.status, 0);
  EXPECT_THAT(second.output, HasSubstr(taken));
  EXPECT_FALSE(std::filesystem::exists(home_ / "second/coordinator.json"));
}

TEST_F(CliRound, ALedgerIsVerifiedOverHttp) {
  const Json launched = launch();
  ASSERT_TRUE(launched.is_object());
  const Ran by_url = coshard({"verify", "--ledger", launched["url"].get<std::string>(), "--json"});
  EXPECT_EQ(by_url.status, 0) << by_url.output;
  const Ran by_folder = coshard({"verify", "--ledger", round_dir().string(), "--json"});
  EXPECT_EQ(by_folder.output, by_url.output);
  const Ran foreign = coshard({"ownership", "cat", "--ledger", launched["url"]});
  EXPECT_EQ(foreign.status, 1);
  EXPECT_THAT(foreign.output, HasSubstr("/ledger/cat/"));
}

}  // namespace
}  // namespace coshard::test
