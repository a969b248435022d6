// coshard demo with the real programs: a short run learns, leaves what design 2.1 promises, and a
// verifier that others wrote accepts its ledger.
// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <csignal>
#include <nlohmann/json.hpp>
#include <set>

#include "tests/process/program.h"

namespace coshard::test {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using Json = nlohmann::json;
using std::chrono::seconds;

/// English enough that a model of bytes gets better at it in a few steps.
std::string some_text() {
  const char* words[] = {"the ", "miller ", "went ", "to ",  "sea ",
                         "and ", "found ",  "a ",    "mill "};
  std::string text;
  for (std::uint32_t i = 0, x = 1; i < 40'000; ++i) {
    x = x * 1664525U + 1013904223U;
    text += words[(x >> 16) % std::size(words)];
  }
  return text;
}

class Demo : public ::testing::Test {
 protected:
  void SetUp() override {
    for (const char* program : {"coshard-coordinator", "coshard-node"}) {
      if (!std::filesystem::exists(bin_dir() / program))
        GTEST_SKIP() << program << " is not part of this build (COSHARD_TORCH=OFF)";
    }
    write_text(home_ / "text", some_text());
  }

  std::vector<std::string> arguments(std::vector<std::string> more) const {
    std::vector<std::string> all{
        "demo", "--dir", dir().string(), "--data", (home_ / "text").string(), "--device", "cpu"};
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }
  Ran demo(const std::vector<std::string>& more) {
    return run_program("coshard", arguments(more), home_.path(), seconds(240));
  }
  Path dir() const { return home_ / "demo"; }
  std::string logs() const {
    std::string all;
    for (const auto& file : std::filesystem::directory_iterator(dir() / "logs"))
      all += "---- " + file.path().string() + "\n" + read_text(file.path());
    return all;
  }
  /// Processes of this demo that are still there.
  std::vector<int> leftovers() const {
    std::vector<int> found;
    for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
      const std::string name = entry.path().filename();
      if (name.find_first_not_of("0123456789") != std::string::npos) continue;
      const std::string line = read_text(entry.path() / "cmdline");
      if (line.find(dir().string()) != std::string::npos &&
          line.find("coshard-") != std::string::npos)
        found.push_back(std::stoi(name));
    }
    return found;
  }

  TempDir home_;
};

void expect_members(const Json& object, const std::set<std::string>& members) {
  std::set<std::string> found;
  for (const auto& [key, value] : object.items()) found.insert(key);
  EXPECT_EQ(found, members);
}

TEST_F(Demo, LearnsAndLeavesWhatTheDesignPromises) {
  const Ran ran = demo({"--steps", "12", "--json"});
  ASSERT_EQ(ran.status, 0) << ran.output << logs();
  const Json summary = Json::parse(read_text(dir() / "summary.json"));
  expect_members(summary, {"loss_first", "loss_last", "steps", "tokens", "tokens_per_second",
                           "seconds", "params", "stages", "replicas", "boundary_bytes_per_token",
                           "kills", "repaired_microbatches", "ledger", "ownership"});
  expect_members(summary["ledger"], {"origin", "size", "root"});
  EXPECT_THAT(ran.output, HasSubstr(read_text(dir() / "summary.json")));
  EXPECT_LT(summary["loss_last"], summary["loss_first"]);
  EXPECT_EQ(summary["steps"], 12);
  EXPECT_EQ(summary["tokens"], 12 * 8 * 8 * 128);
  EXPECT_EQ(summary["stages"], 2);
  EXPECT_EQ(summary["replicas"], 2);
  // fp32 activations of hidden 128 there, and their gradients back.
  EXPECT_NEAR(summary["boundary_bytes_per_token"].get<double>(), 2 * 128 * 4, 0.5);

  // Every step has its line; every unit of the emission has an owner.
  const std::string metrics = read_text(dir() / "metrics.jsonl");
  EXPECT_EQ(std::ranges::count(metrics, '\n'), 12);
  std::uint64_t units = 0;
  for (const auto& [account, owned] : summary["ownership"].items())
    units += owned.get<std::uint64_t>();
  EXPECT_EQ(units, 1'000'000'000'000U);
  EXPECT_EQ(summary["ownership"].size(), 6U);  // four nodes, data, design
  for (const char* file : {"ledger/demo/checkpoint", "ledger/demo/log.vkey", "round.toml",
                           "logs/coordinator.log", "logs/node-4.log"})
    EXPECT_TRUE(std::filesystem::exists(dir() / file)) << file;
  EXPECT_TRUE(leftovers().empty());

  const Ran verified = run_program("coshard", {"verify", "--ledger", dir().string()}, home_.path());
  EXPECT_EQ(verified.status, 0) << verified.output;
  const Ran exported = run_program("coshard",
                                   {"round", "export", dir().string(), "--format", "hf", "--out",
                                    (home_ / "hf").string(), "--json"},
                                   home_.path());
  ASSERT_EQ(exported.status, 0) << exported.output;
  EXPECT_EQ(Json::parse(exported.output)["step"], 12);
  EXPECT_EQ(Json::parse(exported.output)["parameters"], summary["params"]);
  EXPECT_EQ(Json::parse(read_text(home_ / "hf/config.json"))["model_type"], "llama");
}

TEST_F(Demo, GoesOnWhenItKillsAndFreezesItsOwnNodes) {
  const Ran ran = demo({"--steps", "30", "--kill", "1:0@4", "--freeze", "0:1@12"});
  ASSERT_EQ(ran.status, 0) << ran.output << logs();
  EXPECT_THAT(ran.output, HasSubstr("(stage 1, replica 0) after step "));
  EXPECT_THAT(ran.output, HasSubstr("2 processes were disturbed; "));
  const Json summary = Json::parse(read_text(dir() / "summary.json"));
  EXPECT_EQ(summary["steps"], 30);
  EXPECT_EQ(summary["kills"], 2);
  EXPECT_GT(summary["repaired_microbatches"], 0);
  EXPECT_EQ(summary["ownership"].size(), 6U) << "who was killed owns what it did before";
  EXPECT_TRUE(leftovers().empty());
}

TEST_F(Demo, GoesOnWhenItKillsAndFreezesItsCoordinator) {
  const Ran ran = demo({"--steps", "30", "--kill", "coordinator@4", "--freeze", "coordinator@12"});
  ASSERT_EQ(ran.status, 0) << ran.output << logs();
  EXPECT_THAT(ran.output, HasSubstr("the coordinator is back, from its journal"));
  EXPECT_THAT(ran.output, HasSubstr("freezing coordinator after step "));
  const Json summary = Json::parse(read_text(dir() / "summary.json"));
  EXPECT_EQ(summary["steps"], 30);
  EXPECT_EQ(summary["kills"], 2);
  EXPECT_EQ(summary["repaired_microbatches"], 0) << "nodes keep what they have";
  EXPECT_EQ(std::ranges::count(read_text(dir() / "metrics.jsonl"), '\n'), 30);
  EXPECT_TRUE(leftovers().empty());
}

TEST_F(Demo, TakesInNodesOnTheWay) {
  const Ran ran = demo({"--steps", "60", "--kill", "1:0@4", "--join", "1:0@8", "--join", "0:2@10"});
  ASSERT_EQ(ran.status, 0) << ran.output << logs();
  EXPECT_THAT(ran.output, HasSubstr("node-5 asks to join after step "));
  EXPECT_THAT(ran.output, HasSubstr("2 nodes joined while the others trained on"));
  const Json summary = Json::parse(read_text(dir() / "summary.json"));
  EXPECT_EQ(summary["steps"], 60);
  EXPECT_EQ(summary["kills"], 1);
  EXPECT_EQ(summary["ownership"].size(), 8U) << "six nodes, data, design";
  EXPECT_TRUE(leftovers().empty());
}

/// Stage 1 has one node, which goes for good; another one takes its shard up.
TEST_F(Demo, GoesBackToACheckpointWhenAStageIsLostAndANodeJoins) {
  const Ran ran =
      demo({"--steps", "60", "--replicas", "1", "--kill", "1:0@25", "--join", "1:0@26"});
  ASSERT_EQ(ran.status, 0) << ran.output << logs();
  EXPECT_THAT(ran.output, HasSubstr("the round goes back to its last checkpoint"));
  const Json summary = Json::parse(read_text(dir() / "summary.json"));
  EXPECT_EQ(summary["steps"], 60);
  EXPECT_EQ(summary["kills"], 1);
  EXPECT_EQ(summary["ownership"].size(), 5U) << "three nodes, data, design";
  EXPECT_THAT(read_text(dir() / "logs/coordinator.log"),
              HasSubstr("the round goes back to the checkpoint of step 20"));
  EXPECT_TRUE(leftovers().empty());
}

TEST_F(Demo, AVerifierThatOthersWroteAcceptsItsLedger) {
  const Path verifier = source_dir() / "tests/ledger_verifier/verify";
  if (!std::filesystem::exists(verifier)) GTEST_SKIP() << verifier << " is missing";
  ASSERT_EQ(demo({"--steps", "3", "--replicas", "1"}).status, 0) << logs();
  const Path output = home_ / "verifier-output";
  ChildProcess child({verifier, {(dir() / "ledger/demo").string()}, output, {}, {}});
  const auto status = child.wait_exit(seconds(120));
  ASSERT_TRUE(status.has_value());
  if (*status == 77) GTEST_SKIP() << read_text(output);  // no Go on this machine
  EXPECT_EQ(*status, 0) << read_text(output);
}

TEST_F(Demo, ASecondImplementationOfTheFormatAgreesAboutItsLedger) {
  ASSERT_EQ(demo({"--steps", "25", "--replicas", "1"}).status, 0) << logs();
  const Ran verified =
      run_program("coshard", {"verify", "--ledger", dir().string(), "--json"}, home_.path());
  ASSERT_EQ(verified.status, 0) << verified.output;
  const Path script = source_dir() / "tests/reference/ledger/replay.py";
  const Path output = home_ / "replay-output";
  ChildProcess child({COSHARD_PYTHON3, {script, (dir() / "ledger/demo").string()}, output, {}, {}});
  EXPECT_EQ(child.wait_exit(seconds(120)), 0) << read_text(output);
  EXPECT_THAT(read_text(output),
              HasSubstr(Json::parse(verified.output)["state_root"].get<std::string>()));
}

TEST_F(Demo, AFinishedDemoIsReplacedAndSaysSo) {
  ASSERT_EQ(demo({"--steps", "2", "--replicas", "1"}).status, 0) << logs();
  const std::string first = read_text(dir() / "ledger/demo/log.vkey");
  const Ran again = demo({"--steps", "2", "--replicas", "1"});
  ASSERT_EQ(again.status, 0) << again.output << logs();
  EXPECT_THAT(again.output, HasSubstr("replacing the demo in "));
  EXPECT_NE(read_text(dir() / "ledger/demo/log.vkey"), first);
}

TEST_F(Demo, InterruptedItStopsEverythingAndGoesOnLater) {
  std::filesystem::create_directories(dir());
  const Path output = home_ / "interrupted";
  const std::vector<std::string> flags = arguments({"--steps", "40", "--replicas", "1"});
  {
    ChildProcess child({bin_dir() / "coshard", flags, output, {}, {{"LC_ALL", "C"}}});
    // One folder at a time: metrics.jsonl is made once the coordinator runs.
    FolderWatch watch({dir()});
    ASSERT_TRUE(watch.wait_until(
        [&] { return std::ranges::count(read_text(dir() / "metrics.jsonl"), '\n') >= 2; },
        seconds(120)))
        << read_text(output) << logs();
    child.signal(SIGINT);
    ASSERT_EQ(child.wait_exit(seconds(60)), 130) << read_text(output) << logs();
  }
  EXPECT_TRUE(leftovers().empty());
  EXPECT_FALSE(std::filesystem::exists(dir() / "summary.json"));
  EXPECT_THAT(read_text(output), HasSubstr("the same command again goes on"));
  const Ran again = run_program("coshard", flags, home_.path(), seconds(240));
  ASSERT_EQ(again.status, 0) << again.output << logs();
  EXPECT_THAT(again.output, HasSubstr("going on with demo"));
  EXPECT_THAT(again.output, Not(HasSubstr("replacing")));
}

TEST_F(Demo, ADeadNodeIsNamedWithItsLog) {
  std::filesystem::create_directories(dir());
  const Path output = home_ / "killed";
  ChildProcess child({bin_dir() / "coshard",
                      arguments({"--steps", "200", "--replicas", "1"}),
                      output,
                      {},
                      {{"LC_ALL", "C"}}});
  FolderWatch watch({dir()});
  ASSERT_TRUE(watch.wait_until(
      [&] { return std::ranges::count(read_text(dir() / "metrics.jsonl"), '\n') >= 1; },
      seconds(120)))
      << read_text(output) << logs();
  const Json status = Json::parse(read_text(dir() / "nodes/node-2/status.json"), nullptr, false);
  ASSERT_TRUE(status.is_object());
  ASSERT_EQ(kill(status["pid"].get<int>(), SIGKILL), 0);
  ASSERT_EQ(child.wait_exit(seconds(60)), 3) << read_text(output) << logs();
  EXPECT_THAT(read_text(output), HasSubstr("node-2 ended with signal 9 (Killed). The end of "));
  EXPECT_THAT(read_text(output), HasSubstr("goes on from the last checkpoint"));
  EXPECT_TRUE(leftovers().empty());
}

/// Even kill -9 leaves nothing behind: the system tells the others to stop.
TEST_F(Demo, KilledOutrightItTakesItsProcessesAlong) {
  std::filesystem::create_directories(dir());
  const Path output = home_ / "killed-outright";
  ChildProcess child({bin_dir() / "coshard",
                      arguments({"--steps", "2000", "--replicas", "1"}),
                      output,
                      {},
                      {{"LC_ALL", "C"}}});
  FolderWatch watch({dir()});
  ASSERT_TRUE(watch.wait_until(
      [&] { return std::ranges::count(read_text(dir() / "metrics.jsonl"), '\n') >= 1; },
      seconds(120)))
      << read_text(output) << logs();
  std::vector<pollfd> ends;
  for (const int pid : leftovers())
    if (pid != child.pid())
      ends.push_back({static_cast<int>(syscall(SYS_pidfd_open, pid, 0)), POLLIN, 0});
  ASSERT_EQ(ends.size(), 3U) << "a coordinator and two nodes";
  child.signal(SIGKILL);
  ASSERT_EQ(child.wait_exit(seconds(10)), 128 + SIGKILL);
  for (pollfd& end : ends) {
    EXPECT_EQ(poll(&end, 1, 60'000), 1) << logs();
    close(end.fd);
  }
  EXPECT_TRUE(leftovers().empty());
}

}  // namespace
}  // namespace coshard::test
