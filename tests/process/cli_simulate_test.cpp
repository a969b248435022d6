// coshard simulate as people run it: an answer in words and one in JSON, the same for the same
// seed.
// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "tests/process/program.h"

namespace coshard::test {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::Not;

const std::string kRound = COSHARD_SOURCE_DIR "/deploy/rounds/160m.toml";

json answer(const std::vector<std::string>& flags, const TempDir& home) {
  std::vector<std::string> arguments{"simulate", kRound, "--json", "--churn", "50%/h"};
  arguments.insert(arguments.end(), flags.begin(), flags.end());
  const Ran ran = run_program("coshard", arguments, home.path());
  EXPECT_EQ(ran.status, 0) << ran.output;
  return json::parse(ran.output, nullptr, false);
}

/// What follows from the seed, without what was measured on the way.
json story(json said) {
  said.erase("wall_seconds");
  said.erase("coordinator");
  return said;
}

TEST(CliSimulate, ASeedGivesTheSameAnswerEachTime) {
  const TempDir home;
  const json first = answer({"--peers", "12", "--uplink", "200mbit", "--seed", "5"}, home);
  ASSERT_TRUE(first.is_object());
  EXPECT_EQ(first["stages"], 4);
  EXPECT_EQ(first["replicas"], 3);
  EXPECT_GT(first["utilisation"], 0);
  EXPECT_GT(first["peers_lost"], 0);
  EXPECT_GT(first["coordinator"]["cores"], 0);
  EXPECT_EQ(story(first),
            story(answer({"--peers", "12", "--uplink", "200mbit", "--seed", "5"}, home)));
  EXPECT_NE(story(first),
            story(answer({"--peers", "12", "--uplink", "200mbit", "--seed", "6"}, home)));
}

TEST(CliSimulate, SaysInWordsWhatHoldsTheRoundBack) {
  const TempDir home;
  const Ran slow = run_program(
      "coshard", {"simulate", kRound, "--peers", "14", "--uplink", "10mbit"}, home.path());
  EXPECT_EQ(slow.status, 0);
  EXPECT_THAT(slow.output, HasSubstr("4 stages x 3 replicas on 12 boxes"));
  EXPECT_THAT(slow.output, HasSubstr("(2 more find no seat)"));
  EXPECT_THAT(slow.output, HasSubstr("advice       boundary tensors fill the lines"));
  const Ran fast = run_program(
      "coshard", {"simulate", kRound, "--peers", "64", "--latency", "0ms", "--hours", "0.1"},
      home.path());
  EXPECT_THAT(fast.output, HasSubstr("advice       32 microbatches keep 16 replicas of 4 stages"));
}

/// A stage of one replica has its checkpoint sealed and kept by another's box.
TEST(CliSimulate, SaysWhatTheOnlyCopiesOfShardsCost) {
  const TempDir home;
  const auto run = [&](const char* peers) {
    return run_program("coshard",
                       {"simulate", kRound, "--peers", peers, "--churn", "0%/h", "--uplink",
                        "1gbit", "--hours", "3"},
                       home.path())
        .output;
  };
  EXPECT_THAT(run("4"), HasSubstr("copies       "));
  EXPECT_THAT(run("8"), Not(HasSubstr("copies       "))) << "both replicas have it";
}

}  // namespace
}  // namespace coshard::test
