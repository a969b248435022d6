// The machine of a node that joins while the others train on.
// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/round/participant_fixture.h"

namespace coshard::round {
namespace {

using std::chrono_literals::operator""s;

/// 300 MB of state are 100 MB of gradient, which comes every two seconds: 800 Mbit/s are needed.
TEST_F(ParticipantTest, AJoinerWhoseLinkCannotKeepUpIsToldWhatItNeeds) {
  start(0);
  obey(Welcome{StageIndex(0), ReplicaIndex(0), kLife, {}, StepId(5), {}, "", true});
  for (std::uint64_t step = 5; step <= 8; ++step) {
    obey(StageClosed{StepId(step),
                     StageIndex(0),
                     Attempt(0),
                     16,
                     {{node(1), {MicrobatchIndex(0)}}},
                     {node(1)},
                     {}});
    Commit commit;
    commit.scalars.step = StepId(step);
    obey(commit);
    if (step < 8) now += 2s;
  }
  happen(StateProgress{200'000'000, 300'000'000, 4s});  // and three gradients beside it
  EXPECT_TRUE(all<Ended>().empty());
  happen(StateProgress{1'000'000, 300'000'000, 4s});
  ASSERT_EQ(all<Ended>().size(), 1U);
  EXPECT_TRUE(all<Ended>()[0].refused);
  EXPECT_FALSE(all<Ended>()[0].again);
  EXPECT_NE(all<Ended>()[0].text.find("a link of 800.0 Mbit/s"), std::string::npos)
      << all<Ended>()[0].text;
}

/// It is a member from the step on that opens while it still lacks the update before: what is said
/// of that step meanwhile waits until it can work.
TEST_F(ParticipantTest, AJoinerIsLetInWhileItsLastUpdateIsOnItsWay) {
  start(5);
  obey(Welcome{StageIndex(2), ReplicaIndex(1), kLife, {}, StepId(1), {}, "", true});
  MembershipTable table{MembershipEpoch(6), {}};
  for (std::uint32_t n = 0; n < 6; ++n)
    table.members.push_back(
        {node(n), StageIndex(n / 2), ReplicaIndex(n % 2), kLife, "", {}, n == 5});
  obey(table);
  obey(StateOffer{{StepId(1), StageIndex(2), {}, 100}});
  happen(StateFetched{StepId(1), ""});
  happen(StageReady{{3, 2, 4, 16}, Schedule::kOneForwardOneBackward, 1, {}});
  obey(
      StageClosed{StepId(2), StageIndex(2), Attempt(0), 64, {{node(4), {}}}, {node(4)}, {node(5)}});
  Commit commit;
  commit.scalars.step = StepId(2);
  obey(commit);
  table.epoch = MembershipEpoch(7);
  table.members.back().joining = false;
  obey(table);
  obey(StepOpen{StepId(3), table.epoch});
  EXPECT_TRUE(told<SlotGrant>(node(2)).empty()) << "it could not take a microbatch";
  const StageClosed closed{StepId(3),       StageIndex(2),      Attempt(0), 64,
                           {{node(4), {}}}, {node(5), node(4)}, {}};
  obey(closed);
  hear(4, GradientChunk{StepId(3), StageIndex(2), Attempt(0), ChunkIndex(0)});
  hear(4, AveragedChunk{StepId(2), StageIndex(2), Attempt(0), ChunkIndex(0), 2.0});
  happen(AverageSet{StepId(2), Attempt(0), Hash{1}});
  happen(UpdateApplied{StepId(2), {}});
  EXPECT_EQ(machine->phase(), ParticipantPhase::kTraining);
  EXPECT_EQ(told<SlotGrant>(node(2)).size(), 1U);
  EXPECT_EQ(all<ReduceChunk>().size(), 1U) << "what came early is not lost";
}

/// A late request of its own made the coordinator believe that it was started anew, and the word of
/// that was lost: peers speak to an incarnation that it does not know of.
TEST_F(ParticipantTest, WhoFindsItselfInANewerIncarnationBeginsAnew) {
  start(5);
  obey(Welcome{StageIndex(2), ReplicaIndex(1), kLife, {}, StepId(1), {}, "", true});
  MembershipTable known = table(6);
  known.members.back().joining = true;
  obey(known);
  EXPECT_TRUE(all<Ended>().empty());
  known.epoch = known.epoch.next();
  known.members.back().incarnation = kLife.next();
  obey(known);
  ASSERT_EQ(all<Ended>().size(), 1U);
  EXPECT_TRUE(all<Ended>()[0].again && all<Ended>()[0].at_once);
}

}  // namespace
}  // namespace coshard::round
