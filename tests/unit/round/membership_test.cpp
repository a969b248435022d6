// Who holds which stage.
// SPDX-License-Identifier: Apache-2.0
#include "protocol/round/membership.h"

#include <gtest/gtest.h>

#include "tests/unit/round/round_nodes.h"

namespace coshard::round {
namespace {

const RoundShape kShape{2, 2, 4, 16};

Membership fresh() { return Membership(kShape, kShape.replicas, {}, {}, std::nullopt); }

TEST(Membership, FillsTheWeakestStageFirstAndRefusesPolitelyWhenFull) {
  Membership members = fresh();
  const std::uint32_t stages[] = {0, 1, 0, 1};
  const std::uint32_t replicas[] = {0, 0, 1, 1};
  for (std::uint32_t i = 0; i < 4; ++i) {
    EXPECT_LT(members.weakest(), 2U);
    const auto seat = members.admit(node(i), {}, {});
    ASSERT_TRUE(seat.has_value());
    EXPECT_EQ(seat->stage.value, stages[i]);
    EXPECT_EQ(seat->replica.value, replicas[i]);
    EXPECT_EQ(members.epoch().value, i + 1);
  }
  EXPECT_EQ(members.weakest(), 2U);
  const auto fifth = members.admit(node(9), {}, {});
  ASSERT_FALSE(fifth.has_value());
  EXPECT_EQ(fifth.error().code, ErrorCode::kResourceExhausted);
  EXPECT_NE(fifth.error().message.find("full"), std::string::npos);
  EXPECT_EQ(members.epoch().value, 4U);
  EXPECT_EQ(members.nodes(), (std::vector{node(0), node(2), node(1), node(3)}));
}

TEST(Membership, AReturningNodeGetsItsStageBackAsANewIncarnation) {
  Membership members = fresh();
  for (std::uint32_t i = 0; i < 4; ++i) ASSERT_TRUE(members.admit(node(i), {}, {}).has_value());
  members.remove(node(1));
  EXPECT_EQ(members.find(node(1)), nullptr);
  EXPECT_TRUE(members.knows(node(1)));
  EXPECT_EQ(members.epoch().value, 5U);
  members.remove(node(0));
  const auto back = members.admit(node(1), {}, {});  // stage 0 is weaker, but its seat sticks
  ASSERT_TRUE(back.has_value());
  EXPECT_EQ(back->stage.value, 1U);
  EXPECT_EQ(back->replica.value, 0U);
  EXPECT_EQ(back->incarnation.value, 2U);
}

TEST(Membership, ASeatSticksEvenWhenItsStageIsTaken) {
  Membership members = fresh();
  ASSERT_TRUE(members.admit(node(0), {}, {}).has_value());  // stage 0
  members.remove(node(0));
  for (std::uint32_t i = 1; i < 4; ++i) ASSERT_TRUE(members.admit(node(i), {}, {}).has_value());
  // Stage 0 holds nodes 1 and 3, stage 1 holds node 2: the free seat is not for node 0.
  const auto back = members.admit(node(0), {}, {});
  ASSERT_FALSE(back.has_value());
  EXPECT_EQ(back.error().code, ErrorCode::kResourceExhausted);
  // Of what nobody has trained there is nothing to collect.
  const auto moved = members.admit(node(0), {}, {}, /*trained=*/false);
  ASSERT_TRUE(moved.has_value());
  EXPECT_EQ(moved->stage, StageIndex(1));
  EXPECT_EQ(moved->incarnation, Incarnation(2));
}

JoinRequest box(std::uint64_t memory, std::uint64_t speed = 0, bool card = false) {
  JoinRequest request;
  request.memory_bytes = memory;
  request.flops_per_second = speed;
  request.card = card;
  return request;
}

/// Of three stages the last needs most.
Membership demanding(std::uint32_t replicas_max = 2) {
  return Membership({3, 1, 4, 16}, replicas_max, {}, {}, std::nullopt, {},
                    {{.processor = 100, .card = 50}, {100, 50}, {300, 150}});
}

TEST(Membership, ANodeSitsOnlyWhereItsMemoryIsEnough) {
  Membership members = demanding();
  EXPECT_EQ(members.admit(node(0), box(1000), {})->stage.value, 0U);
  EXPECT_EQ(members.admit(node(1), box(299), {})->stage.value, 1U);
  EXPECT_EQ(members.admit(node(2), box(299), {})->stage.value, 0U) << "stage 2 is weaker";
  EXPECT_EQ(members.admit(node(3), box(299, 0, /*card=*/true), {})->stage.value, 2U);
  EXPECT_EQ(members.admit_joiner(node(4), box(300), {})->stage.value, 1U);
  const auto refused = members.admit(node(5), box(299), {});
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, ErrorCode::kResourceExhausted);
  EXPECT_NE(refused.error().message.find("(stage 0, 1) every seat is taken"), std::string::npos)
      << refused.error().message;
  EXPECT_EQ(members.admit(node(6), box(0), {})->stage.value, 2U) << "it does not know what it has";
}

TEST(Membership, WhoFitsNowhereHearsBothFigures) {
  Membership members(kShape, 2, {}, {}, std::nullopt, {}, {{3 << 20, 0}, {5 << 20, 0}});
  for (const auto& refused : {members.admit(node(0), box(2 << 20), {}),
                              members.admit_joiner(node(0), box(2 << 20), {})}) {
    ASSERT_FALSE(refused.has_value());
    for (const char* part : {"stage 0, ", "needs 3.00 MiB", "has 2.00 MiB", "--memory"})
      EXPECT_NE(refused.error().message.find(part), std::string::npos) << refused.error().message;
  }
}

TEST(Membership, OfStagesEquallyWeakTheSlowestGetsTheNext) {
  Membership members = demanding(9);
  for (std::uint32_t i = 0; i < 3; ++i)
    ASSERT_EQ(members.admit(node(i), box(1000, 30 - 10 * i), {})->stage.value, i);
  EXPECT_EQ(members.admit(node(3), box(1000, 1), {})->stage.value, 2U) << "10 of 30, 20, 10";
  EXPECT_EQ(members.admit(node(4), box(1000, 15), {})->stage.value, 1U) << "need comes first";
  EXPECT_EQ(members.admit(node(5), box(1000, 1), {})->stage.value, 0U);
  EXPECT_EQ(members.admit(node(6), box(200, 1), {})->stage.value, 0U) << "31, 35; 11 is too large";
}

TEST(Membership, WhoHadASeatHasItAgainWhateverItsMemory) {
  Membership members = demanding();
  for (std::uint32_t i = 0; i < 3; ++i) ASSERT_TRUE(members.admit(node(i), box(1000), {}));
  members.remove(node(2));
  EXPECT_EQ(members.admit(node(2), box(1), {})->stage.value, 2U);
}

TEST(Membership, AnAllowListAdmitsListedNodesOnly) {
  Membership members(kShape, kShape.replicas, {node(1)}, {}, std::nullopt);
  EXPECT_EQ(members.admit(node(0), {}, {}).error().code, ErrorCode::kPermissionDenied);
  EXPECT_TRUE(members.admit(node(1), {}, {}).has_value());
}

TEST(Membership, AResumedRoundSeatsNodesWhereTheyHoldTheFile) {
  CheckpointRecord checkpoint{StepId(20), {{Hash{1}, 10}, {Hash{2}, 10}}};
  std::map<NodeId, NodeAssigned> seats;
  seats[node(5)] = {node(5), StageIndex(1), ReplicaIndex(1), Incarnation(3)};
  Membership members(kShape, kShape.replicas, {}, seats, checkpoint);
  JoinRequest bare;
  EXPECT_EQ(members.admit(node(0), bare, {}).error().code, ErrorCode::kFailedPrecondition);
  JoinRequest stale;
  stale.checkpoints.push_back({StageIndex(1), StepId(10), Hash{2}});
  EXPECT_FALSE(members.admit(node(5), stale, {}).has_value());
  JoinRequest holds;
  holds.checkpoints.push_back({StageIndex(1), StepId(20), Hash{2}});
  const auto back = members.admit(node(5), holds, {});
  ASSERT_TRUE(back.has_value());
  EXPECT_EQ(back->replica.value, 1U);
  EXPECT_EQ(back->incarnation.value, 4U);
  const auto other = members.admit(node(6), holds, {});  // stage 0 is weaker: it lacks that file
  EXPECT_EQ(other->stage.value, 1U);
}

TEST(Membership, ADamagedCheckpointIsNamedWithWhatWasExpectedAndFound) {
  CheckpointRecord checkpoint{StepId(20), {{Hash{1}, 10}, {Hash{2}, 10}}};
  std::map<NodeId, NodeAssigned> seats;
  seats[node(5)] = {node(5), StageIndex(1), ReplicaIndex(1), Incarnation(3)};
  Membership members(kShape, kShape.replicas, {}, seats, checkpoint);
  JoinRequest torn;
  torn.checkpoints.push_back({StageIndex(1), StepId(20), Hash{9}});
  const auto refused = members.admit(node(5), torn, {});
  ASSERT_FALSE(refused.has_value());
  for (const std::string& part : {std::string("step 20"), std::string("stage-1.safetensors"),
                                  to_hex(Hash{2}), to_hex(Hash{9}), std::string("sound copy")})
    EXPECT_NE(refused.error().message.find(part), std::string::npos) << refused.error().message;
}

TEST(Membership, WhoJoinsHasASeatAndIsNoMemberYet) {
  Membership members(kShape, 3, {}, {}, std::nullopt);
  for (std::uint32_t i = 0; i < 4; ++i) ASSERT_TRUE(members.admit(node(i), {}, {}).has_value());
  members.remove(node(1));  // of stage 1
  const auto first = members.admit_joiner(node(7), {}, {});
  ASSERT_TRUE(first.has_value());
  EXPECT_EQ(first->stage.value, 1U) << "the weakest";
  const auto second = members.admit_joiner(node(8), {}, {});
  ASSERT_TRUE(second.has_value());
  EXPECT_EQ(second->stage.value, 0U) << "seats of those who join count";
  EXPECT_EQ(members.find(node(7)), nullptr);
  EXPECT_NE(members.find_joiner(node(7)), nullptr);
  EXPECT_EQ(members.joiners().size(), 2U);
  EXPECT_EQ(members.nodes().size(), 3U);
  EXPECT_EQ(members.weakest(), 1U);
  EXPECT_EQ(members.table().members.size(), 5U) << "the others have to know them";

  const MembershipEpoch before = members.epoch();
  members.remove(node(8));
  EXPECT_EQ(members.epoch(), before) << "nobody depended on it";
  members.promote(node(7));
  EXPECT_GT(members.epoch(), before);
  EXPECT_EQ(members.find_joiner(node(7)), nullptr);
  EXPECT_EQ(members.replicas(StageIndex(1)).size(), 2U);
}

TEST(Membership, AReturningJoinerGetsItsOwnStageOrNone) {
  Membership members = fresh();
  for (std::uint32_t i = 0; i < 4; ++i) ASSERT_TRUE(members.admit(node(i), {}, {}).has_value());
  members.remove(node(1));
  members.remove(node(0));
  ASSERT_TRUE(members.admit_joiner(node(9), {}, {}).has_value());  // stage 0, by number
  const auto back = members.admit_joiner(node(0), {}, {});
  ASSERT_FALSE(back.has_value());
  EXPECT_NE(back.error().message.find("sticks to its stage"), std::string::npos);
  EXPECT_EQ(members.admit_joiner(node(1), {}, {})->incarnation.value, 2U);
}

}  // namespace
}  // namespace coshard::round
