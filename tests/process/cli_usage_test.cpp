// Bad use of the command line (design 9): one line that says what was expected, what was found and
// where; exit 2; nothing on disk.
// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <sys/stat.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "tests/process/program.h"

namespace coshard::test {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::StartsWith;

struct BadUse {
  std::vector<std::string> arguments;
  std::string message;  ///< what follows "coshard: "
};

void expect_refused(const BadUse& use, const Path& home) {
  const Ran ran = run_program("coshard", use.arguments, home);
  std::string line;
  for (const std::string& word : use.arguments) line += " " + word;
  EXPECT_EQ(ran.status, 2) << "coshard" << line << "\n" << ran.output;
  EXPECT_THAT(ran.output, StartsWith("coshard: ")) << line;
  EXPECT_THAT(ran.output, HasSubstr(use.message)) << line;
  EXPECT_THAT(ran.output, EndsWith("\n")) << line;
  EXPECT_EQ(std::ranges::count(ran.output, '\n'), 1) << line << "\n" << ran.output;
}

TEST(CliUsage, WrongWordsAreNamedWithTheHelpToRead) {
  const TempDir home;
  const BadUse uses[] = {
      {{}, "see coshard --help"},
      {{"demmo"},
       "expected a command, found \"demmo\"; did you mean \"demo\"?; see coshard --help"},
      {{"demo", "--stagess", "3"}, "did you mean \"--stages\"?; see coshard demo --help"},
      {{"demo", "--stages", "0"}, "--stages: expected a whole number from 1 to 256, found \"0\""},
      {{"demo", "--replicas", "2x"}, "--replicas: expected a whole number from 1 to 1024"},
      {{"demo", "--steps", "-5"}, "--steps: expected a whole number"},
      {{"demo", "--preset", "huge"}, "--preset: expected \"tiny\", "},
      {{"demo", "--device", "tpu"},
       "--device: expected \"cpu\", \"cuda\" or \"auto\", found \"tpu\""},
      {{"demo", "--round", "r.toml", "--steps", "3"}, "excludes"},
      {{"demo", "--kill", "1:0"},
       "expected STAGE:REPLICA@STEP, for example 1:0@20, or coordinator@STEP, found \"1:0\""},
      {{"simulate"}, "file is required"},
      {{"simulate", "r.toml", "--churn", "5%"},
       "--churn: expected a share per hour like 5%/h, found \"5%\"; see coshard simulate --help"},
      {{"simulate", "r.toml", "--uplink", "50"}, "--uplink: expected a rate like 800kbit, 50mbit"},
      {{"simulate", "r.toml", "--peers", "0"}, "--peers: expected a whole number from 1 to 4096"},
      {{"demo", "more"}, "expected no further argument, found \"more\""},
      {{"round"}, "see coshard round --help"},
      {{"round", "lunch"}, "did you mean \"launch\"?; see coshard round --help"},
      {{"round", "export", "x", "--format", "onnx", "--out", "y"}, "--format: expected \"hf\""},
      {{"keygen", "--no-passphrase", "--passphrase-fd", "3"}, "excludes"},
      {{"data", "prepare", "--out", "d", "x.txt"}, "--tokenizer is required"},
  };
  for (const BadUse& use : uses) expect_refused(use, home.path());
}

TEST(CliUsage, WhatIsMissingIsNamed) {
  const TempDir home;
  const std::string dir = (home / "demo").string();
  const BadUse uses[] = {
      {{"demo", "--dir", dir, "--data", "/nope.txt"},
       "--data: expected a text file, found none at /nope.txt"},
      {{"demo", "--dir", dir, "--round", "/nope.toml"},
       "/nope.toml: expected a round file, found nothing"},
      {{"simulate", "/nope.toml"}, "/nope.toml: expected a round file, found nothing"},
      {{"round", "launch", "/nope.toml"}, "/nope.toml: expected a round file, found nothing"},
      {{"round", "status", "nothing"}, "round \"nothing\": expected a name under "},
      {{"round", "watch", "nothing"}, "(found there: none)"},
      {{"round", "export", "nothing", "--out", dir}, "round \"nothing\": expected a name under "},
      {{"status"}, "status.json: expected the status of a node, found none"},
      {{"ownership", "demo"}, "--ledger: expected a folder or an URL"},
      {{"verify", "--ledger", "/nope"}, "/nope"},
      {{"data", "prepare", "--tokenizer", "bytes", "--out", dir, "/nope.txt"}, "/nope.txt"},
      {{"data", "prepare", "--tokenizer", "/nope.model", "--out", dir, "/etc/hostname"},
       "/nope.model"},
  };
  for (const BadUse& use : uses) expect_refused(use, home.path());
  EXPECT_FALSE(std::filesystem::exists(dir));
}

TEST(CliUsage, AnImpossiblePartitionStartsNothing) {
  const TempDir home;
  write_text(home / "text", "a few words\n");
  expect_refused({{"demo", "--stages", "5", "--dir", (home / "demo").string(), "--data",
                   (home / "text").string()},
                  "--stages: expected 1 to 4 (preset tiny has 4 layers, each stage needs one), "
                  "found 5"},
                 home.path());
  EXPECT_FALSE(std::filesystem::exists(home / "demo"));
}

TEST(CliUsage, ADemoNeverTouchesAFolderThatIsNotItsOwn) {
  const TempDir home;
  std::filesystem::create_directories(home / "mine");
  write_text(home / "mine/thesis.txt", "do not replace");
  expect_refused(
      {{"demo", "--dir", (home / "mine").string(), "--data", (home / "mine/thesis.txt").string()},
       "--dir: expected an empty folder or one that a demo made"},
      home.path());
  EXPECT_EQ(read_text(home / "mine/thesis.txt"), "do not replace");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(home / "mine"), {}), 1);
}

TEST(CliUsage, TheConfigurationFileIsCheckedToo) {
  const TempDir home;
  std::filesystem::create_directories(home / "config/coshard");
  write_text(home / "config/coshard/config.toml", "ledgre = \"x\"\n");
  expect_refused({{"verify"}, "config.toml:1: ledgre: expected a known key"}, home.path());
  write_text(home / "config/coshard/config.toml", "ledger = \"/nope\"\n");
  expect_refused({{"verify"}, "/nope"}, home.path());
}

TEST(CliUsage, HelpOfEveryCommandHasAnExample) {
  const TempDir home;
  const std::vector<std::vector<std::string>> commands{{"demo"},
                                                       {"keygen"},
                                                       {"data", "prepare"},
                                                       {"round", "launch"},
                                                       {"round", "list"},
                                                       {"round", "status"},
                                                       {"round", "watch"},
                                                       {"round", "pause"},
                                                       {"round", "resume"},
                                                       {"round", "finish"},
                                                       {"round", "export"},
                                                       {"status"},
                                                       {"ownership"},
                                                       {"balance"},
                                                       {"statement"},
                                                       {"verify"},
                                                       {"key", "rotate"},
                                                       {"key", "witness"},
                                                       {"ledger", "settle"},
                                                       {"ledger", "void"},
                                                       {"ledger", "penalty"},
                                                       {"govern", "params"},
                                                       {"govern", "grants"},
                                                       {"govern", "sign"},
                                                       {"govern", "submit"}};
  for (std::vector<std::string> command : commands) {
    std::string name = "coshard";
    for (const std::string& word : command) name += " " + word;
    command.emplace_back("--help");
    const Ran ran = run_program("coshard", command, home.path());
    EXPECT_EQ(ran.status, 0) << name;
    EXPECT_THAT(ran.output, HasSubstr("Example:\n  " + name)) << name;
  }
}

TEST(CliKeygen, WritesAFileForItsOwnerAloneAndNeverOverwritesIt) {
  const TempDir home;
  const std::string file = (home / "a.key").string();
  const Ran made =
      run_program("coshard", {"keygen", "--out", file, "--no-passphrase", "--json"}, home.path());
  ASSERT_EQ(made.status, 0) << made.output;
  const auto json = nlohmann::json::parse(made.output);
  EXPECT_EQ(json["node"].get<std::string>().size(), 64U);
  EXPECT_EQ(json["account"].get<std::string>().size(), 64U);
  EXPECT_NE(json["node"], json["account"]);
  struct stat status {};
  ASSERT_EQ(stat(file.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777U, 0600U);
  const std::string before = read_text(file);
  expect_refused({{"keygen", "--out", file, "--no-passphrase"}, "keys are never overwritten"},
                 home.path());
  EXPECT_EQ(read_text(file), before);
}

TEST(CliKeygen, AsksOnATerminalOnly) {
  const TempDir home;
  const std::string file = (home / "a.key").string();
  expect_refused({{"keygen", "--out", file}, "use --passphrase-fd N or --no-passphrase"},
                 home.path());
  expect_refused({{"keygen", "--out", file, "--passphrase-fd", "77"}, "file descriptor 77"},
                 home.path());
  EXPECT_FALSE(std::filesystem::exists(file));
}

TEST(CliData, PreparesShardsAndSaysWhatItMade) {
  const TempDir home;
  write_text(home / "text", std::string(3000, 'x'));
  const Ran made = run_program("coshard",
                               {"data", "prepare", "--tokenizer", "bytes", "--out",
                                (home / "data").string(), (home / "text").string(), "--json"},
                               home.path());
  ASSERT_EQ(made.status, 0) << made.output;
  const auto json = nlohmann::json::parse(made.output);
  EXPECT_EQ(json["tokens"], 3000);
  EXPECT_EQ(json["vocab"], 256);
  EXPECT_TRUE(std::filesystem::exists(home / "data/manifest.json"));
}

TEST(CliStatus, ReadsWhatTheNodeWroteAndSaysWhenItIsGone) {
  const TempDir home;
  std::filesystem::create_directories(home / "node");
  write_text(home / "node/status.json",
             R"({"pid": 999999999, "model": "gcide", "stage": 1, "replica": 0, "state": "running",
                 "step": 12, "tokens_per_second": 4000.5, "loss": 3.5, "updated_ms": 1,
                 "ledger": {"url": "http://127.0.0.1:9", "network": "00"}, "rss_bytes": 1048576,
                 "links": [{"peer": "abcdef0123456789", "stage": 0, "bytes_sent": 2048,
                            "bytes_received": 10, "rtt_ms": 1.5}]})");
  const Ran text =
      run_program("coshard", {"status", "--dir", (home / "node").string()}, home.path());
  EXPECT_EQ(text.status, 0);
  EXPECT_THAT(text.output, HasSubstr("not running"));
  EXPECT_THAT(text.output, HasSubstr("gcide, stage 1 replica 0, running"));
  EXPECT_THAT(text.output, HasSubstr("credits    unknown: no answer from http://127.0.0.1:9"));
  EXPECT_THAT(text.output, HasSubstr("abcdef01  stage 0  sent 2.00 KiB  received 10 B  1.5 ms"));
  const Ran json =
      run_program("coshard", {"status", "--dir", (home / "node").string(), "--json"}, home.path());
  const auto said = nlohmann::json::parse(json.output);
  EXPECT_EQ(said["step"], 12);
  EXPECT_TRUE(said["credits"].is_null());
  EXPECT_THAT(said["credits_unknown"].get<std::string>(), HasSubstr("http://127.0.0.1:9"));
  const Ran offline = run_program(
      "coshard", {"status", "--dir", (home / "node").string(), "--offline"}, home.path());
  EXPECT_EQ(offline.status, 0);
  EXPECT_EQ(offline.output.find("credits"), std::string::npos);
}

}  // namespace
}  // namespace coshard::test
