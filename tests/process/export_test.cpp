// coshard round export against a round that runs: the stages' checkpoints come over the network
// from the nodes that hold them, and the result is, byte for byte, that of the files on their
// disks.
// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include <algorithm>
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

class Export : public ::testing::Test {
 protected:
  /// Large enough for several pieces per stage.
  static TinyRound shape() {
    return {.stages = 2, .replicas = 2, .steps = 100'000, .epoch_steps = 20, .layers = 24};
  }
  Ran coshard(std::vector<std::string> arguments) {
    return run_program("coshard", arguments, round_->path(), seconds(60));
  }
  Ran export_to(const std::string& out, const std::vector<std::string>& more = {}) {
    std::vector<std::string> arguments{"round",
                                       "export",
                                       round_->coordinator_dir().string(),
                                       "--out",
                                       (round_->path() / out).string(),
                                       "--json",
                                       "--round",
                                       (round_->path() / "round.toml").string()};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return coshard(arguments);
  }
  std::vector<std::string> node_folders() const {
    std::vector<std::string> folders{"--checkpoints"};
    for (std::size_t i = 0; i < round_->node_count(); ++i)
      folders.push_back((round_->node_dir(i) / "checkpoints").string());
    return folders;
  }
  void start(const TinyRound& shape) {
    round_ = std::make_unique<RoundFixture>(shape);
    ASSERT_TRUE(round_->start_all());
  }
  /// Until the ledger tells of one.
  void wait_for_checkpoint() {
    ASSERT_TRUE(round_->wait_for_step(1, seconds(120))) << round_->outputs();
    const Path log = round_->coordinator_dir() / "ledger/mite";
    FolderWatch watch({log});
    const auto recorded = [&] {
      const auto read = ledger::read_ledger(ledger::DiskFolder(log));
      return read && std::ranges::any_of(read->entries, [](const auto& entry) {
               return std::holds_alternative<ledger::CheckpointRecord>(entry.body.leaf);
             });
    };
    ASSERT_TRUE(watch.wait_until(recorded, seconds(120))) << round_->outputs();
  }
  void expect_same_folders(const std::string& a, const std::string& b) {
    std::size_t files = 0;
    for (const auto& entry : std::filesystem::directory_iterator(round_->path() / a)) {
      ++files;
      const auto name = entry.path().filename();
      EXPECT_EQ(read_text(entry.path()), read_text(round_->path() / b / name)) << name;
    }
    EXPECT_GE(files, 3U);
  }
  void pause() {
    ASSERT_EQ(coshard({"round", "pause", round_->coordinator_dir().string()}).status, 0);
  }

  std::unique_ptr<RoundFixture> round_;
};

TEST_F(Export, ARunningRoundIsCopiedFromItsNodes) {
  start(shape());
  wait_for_checkpoint();
  const std::uint64_t before = round_->metrics().back().step;
  const Ran remote = export_to("remote");
  ASSERT_EQ(remote.status, 0) << remote.output << round_->outputs();
  EXPECT_FALSE(std::filesystem::exists(round_->path() / "remote.parts"));
  const std::uint64_t step = Json::parse(remote.output)["step"];
  ASSERT_TRUE(round_->wait_for_step(std::max(before, step) + 2, seconds(60))) << "it trains on";
  EXPECT_THAT(round_->outputs(), Not(HasSubstr("lost node")));

  // The same step, from the disks of the nodes: the network's answer did not depend on the moment.
  pause();
  const Ran again = export_to("again");
  ASSERT_EQ(again.status, 0) << again.output << round_->outputs();
  const Ran local = export_to("local", node_folders());
  ASSERT_EQ(local.status, 0) << local.output;
  EXPECT_EQ(Json::parse(again.output)["step"], Json::parse(local.output)["step"]);
  expect_same_folders("again", "local");
}

TEST_F(Export, ABrokenOffCopyGoesOnAndAFalseBeginningDoesNoHarm) {
  start(shape());
  wait_for_checkpoint();
  pause();
  const Ran local = export_to("local", node_folders());
  ASSERT_EQ(local.status, 0) << local.output;
  std::array<char, 32> folder{};
  std::snprintf(folder.data(), folder.size(), "step-%08d",
                Json::parse(local.output)["step"].get<int>());
  const Path parts = round_->path() / "remote.parts" / folder.data();
  std::filesystem::create_directories(parts);
  Path stage0;
  for (std::size_t i = 0; i < 4; ++i) {
    const Path file = round_->node_dir(i) / "checkpoints" / folder.data() / "stage-0.safetensors";
    if (std::filesystem::exists(file)) stage0 = file;
  }
  ASSERT_GT(read_text(stage0).size(), std::size_t{1} << 20);
  write_text(parts / "stage-0.safetensors.part", read_text(stage0).substr(0, 700'001));
  write_text(parts / "stage-1.safetensors.part", std::string(1234, 'x'));
  const Ran remote = export_to("remote");
  ASSERT_EQ(remote.status, 0) << remote.output << round_->outputs();
  expect_same_folders("remote", "local");
}

TEST_F(Export, ARemoteRoundNeedsItsTokenAndItsRoundFile) {
  start({.stages = 2, .replicas = 1, .steps = 100'000, .epoch_steps = 20});
  wait_for_checkpoint();
  const std::string url = "http://" + round_->coordinator_field("http");
  const std::string out = (round_->path() / "remote").string();
  const std::string file = (round_->path() / "round.toml").string();
  const std::string token = (round_->coordinator_dir() / "control.token").string();
  const Ran no_file = coshard({"round", "export", url, "--out", out});
  EXPECT_EQ(no_file.status, 2);
  EXPECT_THAT(no_file.output, HasSubstr("expected --round FILE"));
  const Ran no_token = coshard({"round", "export", url, "--out", out, "--round", file});
  EXPECT_NE(no_token.status, 0);
  EXPECT_THAT(no_token.output, HasSubstr("expected --token FILE"));
  write_text(round_->path() / "false.token", "0123\n");
  const Ran false_token = coshard({"round", "export", url, "--out", out, "--round", file, "--token",
                                   (round_->path() / "false.token").string()});
  EXPECT_NE(false_token.status, 0);
  EXPECT_THAT(false_token.output, HasSubstr("the control token is not the coordinator's"));
  const Ran done =
      coshard({"round", "export", url, "--out", out, "--round", file, "--token", token});
  EXPECT_EQ(done.status, 0) << done.output;
}

TEST_F(Export, AProtectedRoundIsRefusedByName) {
  start({.stages = 2, .replicas = 1, .steps = 100'000, .epoch_steps = 20, .weights = "protected"});
  wait_for_checkpoint();
  const Ran refused = export_to("remote");
  EXPECT_EQ(refused.status, 2);
  EXPECT_THAT(refused.output, HasSubstr("mite: expected a round with weights = \"open\""));
  EXPECT_FALSE(std::filesystem::exists(round_->path() / "remote"));
}

TEST_F(Export, AnEndedRoundSaysWhereTheWeightsAre) {
  start({.stages = 2, .replicas = 1, .steps = 6});
  ASSERT_EQ(round_->coordinator().wait_exit(seconds(120)), 0) << round_->outputs();
  const Ran refused = export_to("remote");
  EXPECT_EQ(refused.status, 1);
  EXPECT_THAT(refused.output, HasSubstr("the checkpoint of stage 0 after step 6 is not on this "
                                        "machine: its owners cannot be asked"));
  EXPECT_THAT(refused.output, HasSubstr("--checkpoints"));
  const Ran local = export_to("local", node_folders());
  EXPECT_EQ(local.status, 0) << local.output;
}

}  // namespace
}  // namespace coshard::test
