// Units that are not finite, in real programs: at one replica, and another does them as if nothing
// had been; everywhere, and the step commits every unit and no update; in a gradient sum, and its
// node begins anew. See tests/support/poisoned_engine.cpp.
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "tests/support/round_fixture.h"
#include "tests/support/round_reference.h"

namespace coshard::test {
namespace {

using std::chrono::seconds;

const TinyRound kRound{
    .stages = 2, .replicas = 3, .steps = 50, .microbatches = 8, .epoch_steps = 10};

Handicap poisoned(const std::string& how) {
  return {.environment = {{"COSHARD_POISON", how}}, .program = "coshard-poisoned-node"};
}

/// By stage. Node 0 holds the first one, node 1 the last.
class PoisonProcess : public testing::TestWithParam<std::uint32_t> {
 protected:
  /// All nodes as `usual`, but for that of this stage which is `struck`.
  void start(const Handicap& usual, const Handicap& struck) {
    std::map<std::size_t, Handicap> nodes;
    for (std::size_t node = 0; node < round_.seats(); ++node)
      nodes[node] = node == GetParam() ? struck : usual;
    ASSERT_TRUE(round_.start_coordinator());
    ASSERT_TRUE(round_.start_nodes(nodes)) << round_.outputs();
  }
  std::size_t times_said(const std::string& what) {
    return count_of(round_.coordinator().output(), what);
  }
  const std::string stage_ = std::to_string(GetParam());
  RoundFixture round_{kRound};
};

TEST_P(PoisonProcess, WhatIsNotFiniteAtOneReplicaIsDoneByAnother) {
  ASSERT_NO_FATAL_FAILURE(start({}, poisoned("unit " + stage_ + " 5 50 any 3 0")));
  expect_survived(round_, {});
  EXPECT_GE(times_said(" refused microbatch "), 1U) << round_.outputs();
  EXPECT_EQ(times_said(" is skipped"), 0U) << round_.outputs();
}

TEST_P(PoisonProcess, WhatIsNotFiniteAnywhereIsCommittedAsASkippedUpdate) {
  const Handicap everywhere = poisoned("unit " + stage_ + " 5 5 3 1000 0");
  ASSERT_NO_FATAL_FAILURE(start(everywhere, everywhere));
  expect_survived(round_, {}, {5});
  EXPECT_EQ(times_said("the update of step 5 is skipped"), 1U) << round_.outputs();
  EXPECT_EQ(times_said(" is skipped"), 1U) << round_.outputs();
}

/// A forward takes 20 ms longer, so that the node is back before the round is over.
TEST_P(PoisonProcess, WhoseSumIsSpoiltBeginsAnew) {
  const std::size_t struck = GetParam();
  ASSERT_NO_FATAL_FAILURE(
      start(poisoned("none 0 0 0 any 0 20"), poisoned("sum " + stage_ + " 5 50 any 1 20")));
  expect_survived(round_, {struck});
  EXPECT_EQ(round_.node(struck).wait_exit(seconds(30)), 0) << round_.outputs();
  EXPECT_EQ(count_of(round_.node(struck).output(), "admitted to"), 2U) << round_.outputs();
  EXPECT_EQ(round_.node_status(struck, "stage"), stage_);
  EXPECT_EQ(times_said(" works from step "), 1U) << round_.outputs();
  EXPECT_EQ(times_said(" is skipped"), 0U) << round_.outputs();
}

INSTANTIATE_TEST_SUITE_P(Stages, PoisonProcess, testing::Values(0U, 1U),
                         [](const auto& stage) { return stage.param == 0 ? "First" : "Last"; });

}  // namespace
}  // namespace coshard::test
