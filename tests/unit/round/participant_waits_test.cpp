// Until when a node waits for the state that it copies.
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "protocol/round/participant.h"
#include "tests/unit/round/round_nodes.h"

namespace coshard::round {
namespace {

using std::chrono_literals::operator""s;

/// What is still to come takes as long, byte for byte, as what has come.
TEST(ParticipantWaits, WhoCopiesItsStateSaysWhenItWillBeHere) {
  const NodeId coordinator = node(100);
  ParticipantConfig config;
  config.self = node(5);
  config.coordinator = coordinator;
  Participant machine(config);
  TimePoint now{};
  (void)machine.start(now);
  const auto obey = [&](Message message) {
    (void)machine.on(Received{coordinator, std::move(message), {}}, now);
  };
  Welcome welcome{StageIndex(2), ReplicaIndex(1), Incarnation(1), {}, StepId(1), {}};
  welcome.restores = true;
  obey(welcome);
  const Member keeper{node(3), StageIndex(1), ReplicaIndex(1), Incarnation(1), "", {}};
  obey(MembershipTable{MembershipEpoch(6), {keeper}});
  obey(ShardReturn{{StepId(1), StageIndex(2), {}, 4000}, keeper.node, {}, {}});
  ASSERT_EQ(machine.waits().size(), 1U);
  EXPECT_EQ(machine.waits()[0].deadline, now + limits::kLoadTimeout) << "nothing has come";
  now += 2s;
  (void)machine.on(StateProgress{1000, 4000, 2s}, now);
  const Wait wait = machine.waits()[0];
  EXPECT_EQ(wait.deadline - wait.since, 8s);
  (void)machine.on(StateFetched{StepId(1), ""}, now);
  EXPECT_EQ(machine.waits()[0].what, "the engine to load the stage");
}

}  // namespace
}  // namespace coshard::round
