// Who gets which seat, with real programs: a node says what memory it has, and sits where that is
// enough; where it is nowhere, both sides' figures are said and nothing else happens.
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "node/round_setup.h"
#include "tests/support/round_fixture.h"
#include "tests/support/round_reference.h"

namespace coshard::test {
namespace {

using std::chrono::seconds;

constexpr TinyRound kRound{.stages = 2, .replicas = 2, .steps = 6, .microbatches = 8};

Handicap with_memory(std::uint64_t bytes) { return {.flags = {"--memory", std::to_string(bytes)}}; }

std::uint64_t need(const RoundFixture& round, std::uint32_t stage) {
  return node::stage_bill(round.round(), stage, /*card=*/false).total();
}

/// The last stage has the head. Whoever comes second would get it.
TEST(Admission, WhoCannotHoldTheLastStageHoldsTheFirst) {
  RoundFixture round(kRound);
  ASSERT_LT(need(round, 0), need(round, 1));
  ASSERT_TRUE(round.start_coordinator());
  ASSERT_TRUE(round.start_nodes({{0, {}}, {1, with_memory(need(round, 1) - 1)}}));
  EXPECT_EQ(round.node(1).wait_exit(seconds(60)), 0) << round.outputs();
  EXPECT_EQ(round.node_status(1, "stage"), "0");
  const std::string holds = round.node_status(1, "holds");
  EXPECT_EQ(holds.find("this box holds the embedding, layer 0 at microbatch 2, "), 0U) << holds;
  EXPECT_NE(holds.find(" spare"), std::string::npos) << holds;
  EXPECT_NE(round.node(1).output().find(holds), std::string::npos) << "the log says so, too";
  expect_survived(round, {});
}

TEST(Admission, WhoHoldsNoStageHearsWhatItWouldTake) {
  RoundFixture round(kRound);
  ASSERT_TRUE(round.start_coordinator());
  round.start_node(0, with_memory(need(round, 0) - 1));
  EXPECT_EQ(round.node(0).wait_exit(seconds(60)), 4) << round.outputs();
  const std::string said = round.node(0).output();
  for (const char* part : {"too little memory: stage 0, the smallest with a seat free, needs ",
                           "this node has ", "--memory", "microbatch_sequences"})
    EXPECT_NE(said.find(part), std::string::npos) << part << said;
  round.start_node(0, with_memory(need(round, 0)));
  EXPECT_TRUE(wait_for_text(round.node(0).output_file(), "admitted to", seconds(60)))
      << round.outputs();
}

}  // namespace
}  // namespace coshard::test
