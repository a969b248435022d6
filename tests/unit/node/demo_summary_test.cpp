// What a demo says of itself: exactly the members that scripts rely on, and the reasons to fail.
// SPDX-License-Identifier: Apache-2.0
#include "node/cli/demo_summary.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

namespace coshard::cli {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;

DemoPlan plan() {
  DemoPlan plan;
  plan.dir = "/tmp/demo";
  plan.round.model.name = "demo";
  plan.round.model.spec = *shard::preset("tiny");
  plan.round.training.steps = 3;
  AccountId account;
  account.bytes[0] = 0xAB;
  plan.owner_names[account] = "node-1";
  return plan;
}

DemoSummary summary() {
  DemoSummary summary;
  summary.loss_first = 5.5;
  summary.loss_last = 2.25;
  summary.steps = 3;
  summary.tokens = 24'576;
  summary.seconds = 61;
  summary.params = 857'344;
  summary.stages = summary.replicas = 2;
  summary.origin = "coshard.local/coshard/m/demo";
  summary.size = 9;
  summary.root = "AAAA";
  summary.ownership["ab" + std::string(62, '0')] = 750;
  summary.ownership["cd" + std::string(62, '0')] = 250;
  return summary;
}

TEST(DemoSummary, JsonHasTheMembersOfTheDesignAndNoOther) {
  EXPECT_EQ(to_json(summary()),
            "{\"loss_first\":5.5,\"loss_last\":2.25,\"steps\":3,\"tokens\":24576,"
            "\"tokens_per_second\":0.0,\"seconds\":61.0,\"params\":857344,\"stages\":2,"
            "\"replicas\":2,\"boundary_bytes_per_token\":0.0,\"kills\":0,"
            "\"repaired_microbatches\":0,\"ledger\":{\"origin\":\"coshard.local/coshard/m/demo\","
            "\"size\":9,\"root\":\"AAAA\"},\"ownership\":{\"ab" +
                std::string(62, '0') + "\":750,\"cd" + std::string(62, '0') + "\":250}}");
}

TEST(DemoSummary, AMissingStepOrALossThatDidNotFallFails) {
  EXPECT_EQ(shortcoming(plan(), summary()), std::nullopt);
  DemoSummary short_run = summary();
  short_run.steps = 2;
  EXPECT_THAT(*shortcoming(plan(), short_run), HasSubstr("expected 3 committed steps, found 2"));
  DemoSummary flat = summary();
  flat.loss_last = flat.loss_first;
  EXPECT_THAT(*shortcoming(plan(), flat), HasSubstr("expected the loss to fall from 5.5000"));
  flat.loss_last = NAN;
  EXPECT_TRUE(shortcoming(plan(), flat).has_value());
}

TEST(DemoSummary, TextNamesOwnersAndCommands) {
  const std::vector<StepMetrics> metrics{{1, 5.5, 1, 1, 1, 1}, {3, 2.25, 1, 1, 1, 1}};
  const auto lines = render_summary(plan(), summary(), metrics, false);
  EXPECT_THAT(
      lines, Contains(HasSubstr("loss 5.5000 -> 2.2500 over 3 steps: 24,576 tokens in 1 min 1 s")));
  EXPECT_THAT(lines, Contains(HasSubstr("node-1   ab00000000000000  75.00 %  750 units")));
  EXPECT_THAT(lines, Contains(HasSubstr(" verify --ledger ")));
}

}  // namespace
}  // namespace coshard::cli
