// The configuration file is optional, and wrong only in one line.
// SPDX-License-Identifier: Apache-2.0
#include "node/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

namespace coshard::node {
namespace {

Environment environment(std::map<std::string, std::string> variables) {
  return [variables](const char* name) -> std::optional<std::string> {
    const auto it = variables.find(name);
    if (it == variables.end()) return std::nullopt;
    return it->second;
  };
}

TEST(Config, DefaultsLieUnderTheStateFolder) {
  EXPECT_EQ(default_config(environment({{"HOME", "/home/ada"}})).rounds,
            "/home/ada/.local/state/coshard/rounds");
  const Config config = default_config(environment({{"XDG_STATE_HOME", "/state"}}));
  EXPECT_EQ(config.node, "/state/coshard/node");
  EXPECT_FALSE(config.ledger);
}

TEST(Config, WhatIsWrittenReplacesTheDefault) {
  const auto config = parse_config("ledger = \"https://ledger.example\"\nrounds = \"~/rounds\"\n",
                                   "config.toml", environment({{"HOME", "/home/ada"}}));
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(*config->ledger, "https://ledger.example");
  EXPECT_EQ(config->rounds, "/home/ada/rounds");
  EXPECT_EQ(config->node, "/home/ada/.local/state/coshard/node");
}

TEST(Config, UnknownKeysAndFalseTypesAreNamed) {
  const auto slip = parse_config("\nledgr = \"x\"", "config.toml", environment({}));
  ASSERT_FALSE(slip);
  EXPECT_EQ(
      slip.error().message,
      "config.toml:2: ledgr: expected a known key, found \"ledgr\"; did you mean \"ledger\"?");
  const auto type = parse_config("rounds = 3", "config.toml", environment({}));
  ASSERT_FALSE(type);
  EXPECT_EQ(type.error().message, "config.toml:1: rounds: expected the path of a folder, found 3");
}

TEST(Config, AMissingFileIsNoError) {
  const auto config = load_config(environment({{"XDG_CONFIG_HOME", "/nowhere"}}));
  EXPECT_TRUE(config.has_value());
}

}  // namespace
}  // namespace coshard::node
