// The node's machine, one situation after the other; whole rounds run in tests/sim.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "tests/unit/round/participant_fixture.h"

namespace coshard::round {
namespace {

using std::chrono_literals::operator""s;

TEST_F(ParticipantTest, AsksUntilItIsAnswered) {
  ParticipantConfig config;
  config.coordinator = kCoordinator;
  machine.emplace(config);
  take(machine->start(now));
  for (int i = 0; i < 4; ++i) {
    now += limits::kRepeatInterval;
    happen(Tick{});
  }
  EXPECT_EQ(told<JoinRequest>(kCoordinator).size(), 5U);
  obey(Refused{ErrorCode::kResourceExhausted, "the round is full"});
  ASSERT_EQ(all<Ended>().size(), 1U);
  EXPECT_TRUE(all<Ended>()[0].refused);
  EXPECT_EQ(all<Ended>()[0].text, "the round is full");
}

TEST_F(ParticipantTest, SaysThatItIsReadyAndGrantsItsUpstreamSlots) {
  sit(2);
  EXPECT_EQ(told<UpdateReport>(kCoordinator).size(), 1U);
  // Capacity 3 - 1 + 1 = 3 among two upstream replicas.
  EXPECT_EQ(told<SlotGrant>(node(0)).at(0).slots_total, 2U);
  EXPECT_EQ(told<SlotGrant>(node(1)).at(0).slots_total, 1U);
}

TEST_F(ParticipantTest, AMiddleStageMovesAMicrobatchAndReturnsTheSlot) {
  sit(2);
  hear(4, SlotGrant{1, 0, kLife});
  did.clear();
  hear(0, ForwardTensor{unit(1, 3, 0), {}});
  ASSERT_EQ(did.size(), 2U);
  EXPECT_EQ(std::get<TensorKey>(std::get<KeepPayload>(did[0]).key).unit, unit(1, 3, 0));
  EXPECT_EQ(std::get<Compute>(did[1]).work, (Work{WorkOp::kForward, unit(1, 3, 1)}));
  did.clear();
  done(WorkOp::kForward, unit(1, 3, 1));
  EXPECT_EQ(all<SendTensor>().at(0).to, node(4));
  did.clear();
  hear(4, BackwardTensor{unit(1, 3, 2), {}, 2});
  EXPECT_EQ(all<Compute>().at(0).work, (Work{WorkOp::kBackward, unit(1, 3, 1)}));
  now += 1s;
  did.clear();
  done(WorkOp::kBackward, unit(1, 3, 1));
  EXPECT_EQ(all<SendTensor>().at(0).to, node(0));
  EXPECT_EQ(all<SendTensor>().at(0).slots_total, 3U);
  const auto report = told<UnitReport>(kCoordinator).at(0);
  EXPECT_EQ(report.units, (std::vector{UnitDone{MicrobatchIndex(3), Attempt(0), 16, 1.5}}));
  now += 1s;
  happen(Tick{});
  EXPECT_EQ(told<UnitReport>(kCoordinator).size(), 2U) << "again until acknowledged";
  obey(UnitAck{StepId(1), StageIndex(1), {MicrobatchIndex(3)}});
  now += 1s;
  happen(Tick{});
  EXPECT_EQ(told<UnitReport>(kCoordinator).size(), 2U);
}

/// The deadline of a gradient comes from the times that the same peer has taken before.
TEST_F(ParticipantTest, SaysForWhatItWaitsAndUntilWhen) {
  sit(2);
  hear(4, SlotGrant{4, 0, kLife});
  for (std::uint32_t m = 0; m < 4; ++m) {
    hear(0, ForwardTensor{unit(1, m, 0), {}});
    done(WorkOp::kForward, unit(1, m, 1));
    const auto waits = machine->waits();
    ASSERT_EQ(waits.size(), 1U);
    EXPECT_EQ(waits[0].what, "the gradient of microbatch " + std::to_string(m) +
                                 " of step 1 from stage 2, replica 0");
    EXPECT_EQ(waits[0].since, now);
    EXPECT_EQ(waits[0].deadline - now, m == 0 ? Duration(limits::kSilenceMax) : Duration(2s));
    now += 2s;
    obey(Heartbeat{});
    hear(4, BackwardTensor{unit(1, m, 2), {}, 4});
    EXPECT_TRUE(machine->waits().empty()) << "it has come";
    done(WorkOp::kBackward, unit(1, m, 1));
  }
}

TEST_F(ParticipantTest, StageZeroPullsWhatItCanHold) {
  sit(0);
  ASSERT_EQ(told<MicrobatchPull>(kCoordinator).size(), 1U);
  EXPECT_EQ(told<MicrobatchPull>(kCoordinator)[0].slots, 4U);
  now += 1s;
  happen(Tick{});
  EXPECT_EQ(told<MicrobatchPull>(kCoordinator).size(), 2U) << "not answered";
  did.clear();
  obey(MicrobatchGrant{StepId(1), 2, {{MicrobatchIndex(0), Attempt(0)}}});
  obey(MicrobatchGrant{StepId(1), 2, {{MicrobatchIndex(0), Attempt(0)}}});
  EXPECT_EQ(all<Compute>().size(), 1U);
}

TEST_F(ParticipantTest, EngineWorkComesBeforeNetworkWorkInItsActions) {
  sit(2);
  hear(4, SlotGrant{2, 0, kLife});
  for (const std::uint32_t m : {0U, 1U}) hear(0, ForwardTensor{unit(1, m, 0), {}});
  hear(1, ForwardTensor{unit(1, 2, 0), {}});
  did.clear();
  done(WorkOp::kForward, unit(1, 0, 1));
  ASSERT_GE(did.size(), 2U);
  EXPECT_TRUE(std::holds_alternative<Compute>(did.front()));
  EXPECT_TRUE(std::holds_alternative<SendTensor>(did.back()));
}

TEST_F(ParticipantTest, RefusesWhatNeighboursMayNotSend) {
  sit(2);
  const std::vector<std::pair<std::uint32_t, Message>> faults{
      {4, ForwardTensor{unit(1, 0, 0), {}}},                 // not upstream
      {0, ForwardTensor{unit(1, 0, 1), {}}},                 // not its stage
      {0, ForwardTensor{unit(1, 4, 0), {}}},                 // no such microbatch
      {0, BackwardTensor{unit(1, 0, 2), {}, 0}},             // not downstream
      {4, BackwardTensor{unit(1, 0, 2), {}, 0}},             // of nothing that was sent
      {0, SlotGrant{9, 0, kLife}},                           // not downstream
      {0, GradientChunk{StepId(1), StageIndex(1), {}, {}}},  // not this stage
      {3, AveragedChunk{StepId(1), StageIndex(1), {}, ChunkIndex(2), 0}},  // no such chunk
      {0, StepOpen{}},                                                     // not the coordinator
  };
  std::size_t count = 0;
  for (const auto& [from, message] : faults) {
    did.clear();
    hear(from, message);
    EXPECT_EQ(all<PeerFault>().size(), 1U) << "case " << count;
    EXPECT_EQ(all<KeepPayload>().size(), 0U) << "case " << count;
    EXPECT_EQ(machine->counters().faults, ++count);
  }
  hear(50, ForwardTensor{unit(1, 0, 0), {}});
  EXPECT_EQ(machine->counters().stranger, 1U);
}

TEST_F(ParticipantTest, KeepsNoMoreThanItGranted) {
  sit(2);
  for (const std::uint32_t m : {0U, 1U, 2U}) hear(0, ForwardTensor{unit(1, m, 0), {}});
  EXPECT_EQ(all<KeepPayload>().size(), 2U);
  EXPECT_EQ(all<PeerFault>().size(), 1U);
  hear(0, ForwardTensor{unit(1, 1, 0), {}});
  EXPECT_EQ(machine->counters().repeated, 1U) << "a repetition needs no slot";
  EXPECT_EQ(all<PeerFault>().size(), 1U);
}

TEST_F(ParticipantTest, HoldsEarlyTensorsOfTheNextStepUntilItsUpdateIsApplied) {
  sit(5);
  hear(2, ForwardTensor{unit(2, 0, 1), {}});
  EXPECT_EQ(all<KeepPayload>().size(), 1U);
  EXPECT_EQ(all<Compute>().size(), 0U);
  hear(2, ForwardTensor{unit(3, 0, 1), {}});
  EXPECT_EQ(machine->counters().stale, 1U) << "two ahead cannot be";
  // Step 1 is done by the other replica: this one receives the average only.
  obey(StageClosed{StepId(1), StageIndex(2), Attempt(0), 64, {{node(4), {}}}, {node(4), node(5)}});
  hear(4, GradientChunk{StepId(1), StageIndex(2), Attempt(0), ChunkIndex(1)});
  hear(4, AveragedChunk{StepId(1), StageIndex(2), Attempt(0), ChunkIndex(0), 2.0});
  ASSERT_EQ(all<ReduceChunk>().size(), 1U);
  EXPECT_EQ(all<ReduceChunk>()[0].contributors, std::vector{node(4)});
  happen(ChunkReduced{StepId(1), Attempt(0), ChunkIndex(1), 3.0});
  EXPECT_EQ(all<SetAverage>().size(), 1U);
  happen(AverageSet{StepId(1), Attempt(0), Hash{1}});
  EXPECT_EQ(told<AverageReport>(kCoordinator).at(0).squared_norms, (std::vector{2.0, 3.0}));
  Commit commit;
  commit.scalars.step = StepId(1);
  obey(commit);
  EXPECT_EQ(all<ApplyUpdate>().size(), 1U);
  EXPECT_EQ(all<Compute>().size(), 0U);
  happen(UpdateApplied{StepId(1), {7}});
  ASSERT_EQ(all<Compute>().size(), 1U);
  EXPECT_EQ(all<Compute>()[0].work.unit, unit(2, 0, 2));
  did.clear();
  obey(commit);
  EXPECT_EQ(told<UpdateReport>(kCoordinator).at(0).digest, Fingerprint{7}) << "said again";
}

TEST_F(ParticipantTest, ARefusedInputIsReportedWithItsSender) {
  sit(4);
  hear(3, ForwardTensor{unit(1, 0, 1), {}});
  happen(ComputeDone{{WorkOp::kForwardLoss, unit(1, 0, 2)}, 0, 0, "expected (8, 128, 128)"});
  const auto refusal = told<UnitRefused>(kCoordinator).at(0);
  EXPECT_EQ(refusal.sender, node(3));
  EXPECT_EQ(refusal.unit, unit(1, 0, 2));
}

/// Until a table asks what this node holds: the one with which the step was opened did not, however
/// late it comes.
TEST_F(ParticipantTest, ARefusalIsRepeatedUntilEverybodyIsAskedWhatItHolds) {
  start(4);
  obey(Welcome{StageIndex(2), ReplicaIndex(0), kLife, {}, StepId(0), {}});
  happen(StageReady{{3, 2, 4, 16}, Schedule::kOneForwardOneBackward, 2, {}});
  MembershipTable known = table(6);
  obey(known);
  obey(StepOpen{StepId(1), known.epoch.next()});
  hear(3, ForwardTensor{unit(1, 0, 1), {}});
  happen(ComputeDone{{WorkOp::kForwardLoss, unit(1, 0, 2)}, 0, 0, "not finite"});
  const auto times_told = [&](MembershipEpoch epoch) {
    known.epoch = epoch;
    obey(known);
    did.clear();
    now += limits::kRepeatInterval;
    happen(Tick{});
    return told<UnitRefused>(kCoordinator).size();
  };
  EXPECT_EQ(times_told(MembershipEpoch(6)), 1U);
  EXPECT_EQ(times_told(MembershipEpoch(7)), 1U);
  EXPECT_EQ(times_told(MembershipEpoch(8)), 0U);
}

TEST_F(ParticipantTest, LeavesWhenTheRoundIsElsewhere) {
  for (int situation = 0; situation < 2; ++situation) {
    sit(5);
    did.clear();
    if (situation == 0) {
      Commit commit;  // of a step whose average this node does not hold
      commit.scalars.step = StepId(1);
      obey(commit);
    } else {
      obey(StageClosed{StepId(1),
                       StageIndex(2),
                       Attempt(0),
                       64,
                       {{node(5), {MicrobatchIndex(1)}}},
                       {node(4), node(5)}});
    }
    EXPECT_EQ(told<LeaveNotice>(kCoordinator).size(), 1U);
    EXPECT_EQ(all<Ended>().size(), 1U);
    EXPECT_EQ(machine->phase(), ParticipantPhase::kEnded);
  }
}

/// The table that names the new one was lost on its way here.
TEST_F(ParticipantTest, AClosingThatNamesAStrangerWaitsForTheTable) {
  sit(5);
  const std::vector reducers{node(4), node(5), node(6)};
  obey(StageClosed{StepId(1), StageIndex(2), Attempt(0), 64, {{node(5), {}}}, reducers});
  EXPECT_TRUE(all<Ended>().empty() && all<SendChunk>().empty());
  obey(table(7));
  EXPECT_TRUE(all<Ended>().empty());
  EXPECT_FALSE(all<SendChunk>().empty());
}

TEST_F(ParticipantTest, TheEndDropsTheOpenStepSavesAndSettles) {
  sit(4);
  hear(2, ForwardTensor{unit(1, 0, 1), {}});
  did.clear();
  obey(RoundEnd{EndReason::kNodeLost, StepId(0), true, "node x was lost"});
  EXPECT_EQ(all<DropStep>().at(0).step.value, 1U);
  EXPECT_EQ(all<SaveCheckpoint>().size(), 1U);
  done(WorkOp::kForwardLoss, unit(1, 0, 2));  // an answer that comes too late
  happen(CheckpointSaved{StepId(0), Hash{3}, 10, ""});
  EXPECT_EQ(told<CheckpointReport>(kCoordinator).at(0).file_hash, Hash{3});
  EXPECT_TRUE(all<Ended>().empty()) << "the coordinator may come back and ask again";
  obey(RoundEnd{EndReason::kNodeLost, StepId(0), true, "node x was lost", true});
  EXPECT_EQ(all<Ended>().at(0).text, "node x was lost");
}

TEST_F(ParticipantTest, ACheckpointThatIsBeingWrittenHoldsUpNoStep) {
  sit(5);
  commit(1, true);
  happen(UpdateApplied{StepId(1), {1}});
  EXPECT_EQ(all<SaveCheckpoint>().size(), 1U);
  commit(2, false);
  EXPECT_EQ(all<ApplyUpdate>().size(), 2U) << "while the first is still being written";
  happen(UpdateApplied{StepId(2), {2}});
  happen(CheckpointSaved{StepId(1), Hash{3}, 10, ""});
  EXPECT_EQ(told<CheckpointReport>(kCoordinator).at(0).step.value, 1U);
}

/// The last step's is asked for whatever is under way: it waits, and so does what would change it.
TEST_F(ParticipantTest, ASecondCheckpointWaitsForTheFirst) {
  sit(5);
  commit(1, true);
  happen(UpdateApplied{StepId(1), {1}});
  commit(2, true);
  happen(UpdateApplied{StepId(2), {2}});
  EXPECT_EQ(all<SaveCheckpoint>().size(), 1U);
  commit(3, false);
  EXPECT_EQ(all<ApplyUpdate>().size(), 2U) << "the state after step 2 is not copied yet";
  happen(CheckpointSaved{StepId(1), Hash{3}, 10, ""});
  ASSERT_EQ(all<SaveCheckpoint>().size(), 2U);
  EXPECT_EQ(all<SaveCheckpoint>()[1].step.value, 2U);
  EXPECT_EQ(all<ApplyUpdate>().size(), 3U);
  const auto place = [this](std::size_t variant) {
    return std::find_if(did.rbegin(), did.rend(),
                        [=](const auto& action) { return action.index() == variant; });
  };
  EXPECT_GT(place(ParticipantAction(SaveCheckpoint{}).index()),
            place(ParticipantAction(ApplyUpdate{}).index()))
      << "copied first";
}

TEST_F(ParticipantTest, WhoIsSentBackAsksAgainAtOnceAndAStrangerGoesOnAsking) {
  sit(5);
  obey(Refused{ErrorCode::kAborted, "the round goes back to step 0"});
  ASSERT_EQ(all<Ended>().size(), 1U);
  EXPECT_TRUE(all<Ended>()[0].again && all<Ended>()[0].at_once);
  ParticipantConfig config;
  config.coordinator = kCoordinator;
  machine.emplace(config);
  did.clear();
  take(machine->start(now));
  obey(Refused{ErrorCode::kAborted, "said to the process before this one"});
  EXPECT_TRUE(all<Ended>().empty());
}

TEST_F(ParticipantTest, ANeighbourThatDoesNotAnswerIsReported) {
  sit(2);
  happen(PeerLost{node(4), "silent for 4 s"});
  EXPECT_EQ(told<PeerComplaint>(kCoordinator).at(0).peer, node(4));
}

TEST_F(ParticipantTest, ASilentCoordinatorIsAskedAndNothingIsGivenUp) {
  sit(2);
  hear(0, ForwardTensor{unit(1, 3, 0), {}});
  did.clear();
  now += limits::kClaimSilence;
  happen(Tick{});
  const auto claim = told<JoinRequest>(kCoordinator).at(0).seat;
  EXPECT_EQ(claim.incarnation, machine->seat()->incarnation);
  EXPECT_EQ(claim.committed.value, 0U);
  EXPECT_TRUE(claim.working);
  hear(4, SlotGrant{1, 0, kLife});
  done(WorkOp::kForward, unit(1, 3, 1));
  EXPECT_EQ(all<SendTensor>().size(), 1U) << "what is here goes on";
  now += limits::kRepeatInterval;
  happen(Tick{});
  EXPECT_EQ(told<JoinRequest>(kCoordinator).size(), 2U);
  obey(Heartbeat{});
  now += limits::kRepeatInterval;
  happen(Tick{});
  EXPECT_EQ(told<JoinRequest>(kCoordinator).size(), 2U) << "it is back";
  happen(CoordinatorDialled{});
  EXPECT_EQ(told<JoinRequest>(kCoordinator).size(), 3U) << "perhaps another that knows nothing";
  EXPECT_TRUE(all<Ended>().empty());
  now += limits::kCoordinatorPatience;
  happen(Tick{});
  EXPECT_EQ(all<Ended>().at(0).reason, EndReason::kNodeLost);
}

TEST_F(ParticipantTest, WhoIsAskedToStopWhileNobodyHearsItLeavesAtOnce) {
  sit(2);
  now += limits::kClaimSilence;
  happen(LeaveRequested{"SIGTERM"});
  EXPECT_EQ(all<Ended>().at(0).reason, EndReason::kStopped);
}

TEST_F(ParticipantTest, SaysThatItLeavesUntilItIsAnswered) {
  sit(2);
  happen(LeaveRequested{"SIGTERM"});
  for (int i = 0; i < 3; ++i) {
    now += limits::kRepeatInterval;
    obey(Heartbeat{});
    happen(Tick{});
  }
  EXPECT_EQ(told<LeaveNotice>(kCoordinator).size(), 4U);
  EXPECT_TRUE(all<Ended>().empty());
  obey(Refused{ErrorCode::kPermissionDenied, "it has left"});
  ASSERT_EQ(all<Ended>().size(), 1U);
  EXPECT_FALSE(all<Ended>()[0].refused);
  EXPECT_FALSE(all<Ended>()[0].again);
}

/// The coordinator dies with the notice in its hands.
TEST_F(ParticipantTest, WhoLeavesDoesNotWaitForACoordinatorThatFellSilent) {
  sit(2);
  happen(LeaveRequested{"SIGTERM"});
  now += limits::kClaimSilence;
  happen(Tick{});
  EXPECT_EQ(all<Ended>().at(0).reason, EndReason::kStopped);
}

TEST_F(ParticipantTest, AStepThatIsOpenedAgainIsPulledForAgain) {
  sit(0);
  obey(MicrobatchGrant{StepId(1), 1, {{MicrobatchIndex(0), Attempt(0)}}});
  now += 1s;
  obey(Heartbeat{});
  did.clear();
  obey(StepOpen{StepId(1), {}});
  EXPECT_EQ(told<MicrobatchPull>(kCoordinator).at(0).slots, 4U);
}

}  // namespace
}  // namespace coshard::round
