// What `coshard demo --kill`, `--freeze` and `--join` understand.
// SPDX-License-Identifier: Apache-2.0
#include "node/cli/demo_disturbance.h"

#include <gtest/gtest.h>

namespace coshard::cli {
namespace {

using Kind = Disturbance::Kind;

TEST(DemoDisturbance, SeatsAndTheCoordinatorAreNamed) {
  EXPECT_EQ(parse_disturbance(Kind::kKill, "1:2@30"),
            (Disturbance{Kind::kKill, DemoSeat{1, 2}, 30}));
  EXPECT_EQ(parse_disturbance(Kind::kFreeze, "coordinator@7"),
            (Disturbance{Kind::kFreeze, std::nullopt, 7}));
}

TEST(DemoDisturbance, WhatIsWrittenIsReadBack) {
  for (const char* text : {"0:0@0", "3:1@99", "coordinator@12"})
    EXPECT_EQ(to_string(*parse_disturbance(Kind::kKill, text)), text);
}

TEST(DemoDisturbance, AnythingElseIsRefusedWithAnExample) {
  for (const char* text : {"", "1", "1:0", "1:0@", "1:0@x", "-1:0@3", "1:0@3 ", "coordinator",
                           "coordinator@", "coordinator:0@3", "1@3"}) {
    const auto parsed = parse_disturbance(Kind::kKill, text);
    ASSERT_FALSE(parsed) << text;
    EXPECT_NE(parsed.error().message.find("1:0@20, or coordinator@STEP"), std::string::npos);
  }
  EXPECT_FALSE(parse_disturbance(Kind::kJoin, "coordinator@3")) << "there is one";
}

TEST(DemoDisturbance, ARoundHasOnlyItsOwnSeats) {
  const auto check = [](const char* text) {
    return check_disturbance(*parse_disturbance(Kind::kKill, text), {2, 3, 1, 50}).has_value();
  };
  EXPECT_TRUE(check("1:2@49"));
  EXPECT_TRUE(check("coordinator@49"));
  EXPECT_FALSE(check("2:0@1"));
  EXPECT_FALSE(check("0:3@1"));
  EXPECT_FALSE(check("0:0@50"));
  EXPECT_FALSE(check("coordinator@50"));
}

TEST(DemoDisturbance, OneThatJoinsTakesTheNextSeatAtMost) {
  const auto check = [](const char* text, std::uint32_t joins) {
    return check_disturbance(*parse_disturbance(Kind::kJoin, text), {2, 3, joins, 50});
  };
  EXPECT_TRUE(check("0:0@3", 1)) << "it may be free then";
  EXPECT_TRUE(check("0:3@3", 1));
  EXPECT_TRUE(check("0:4@3", 2));
  EXPECT_FALSE(check("0:4@3", 1));
  const auto far = check("0:999@3", 1);
  ASSERT_FALSE(far);
  EXPECT_NE(far.error().message.find("0:999@3: expected a replica below 4"), std::string::npos)
      << far.error().message;
}

}  // namespace
}  // namespace coshard::cli
