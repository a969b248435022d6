// The coordinator's machine, one situation after the other; whole rounds run in tests/sim.
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>

#include "tests/unit/round/coordinator_fixture.h"

namespace coshard::round {
namespace {

using std::chrono_literals::operator""ms;
using std::chrono_literals::operator""s;

TEST_F(CoordinatorTest, OpensTheFirstStepOnlyWhenEverybodyIsInAndReady) {
  open();
  for (std::uint32_t n = 0; n < 4; ++n) {
    EXPECT_FALSE(last_to<MembershipTable>(0).has_value());
    hear(n, JoinRequest{});
    EXPECT_EQ(last_to<Welcome>(n)->stage.value, n % 2);
  }
  EXPECT_EQ(machine->phase(), CoordinatorPhase::kLoading);
  EXPECT_EQ(last_to<MembershipTable>(3)->members.size(), 4U);
  EXPECT_EQ(last_to<MembershipTable>(3)->members[0].certificate, Bytes{1});
  for (std::uint32_t n = 0; n < 4; ++n) {
    EXPECT_FALSE(last_to<StepOpen>(0).has_value());
    hear(n, UpdateReport{StepId(0), StageIndex(n % 2), {}});
  }
  EXPECT_EQ(last_to<StepOpen>(2)->step.value, 1U);
  hear(7, JoinRequest{});
  EXPECT_EQ(last_to<Refused>(7)->code, ErrorCode::kResourceExhausted);
}

TEST_F(CoordinatorTest, CommitsOnceEveryStageHasAveragedAndWritesItDownFirst) {
  open_training();
  do_units(1);
  EXPECT_EQ(last_to<StageClosed>(0)->tokens, 32U);
  EXPECT_EQ(last_to<UnitAck>(1)->microbatches, std::vector{MicrobatchIndex(0)});
  for (std::uint32_t n = 0; n < 3; ++n) report_average(n, 1);
  EXPECT_FALSE(last_to<Commit>(0).has_value());
  said.clear();
  report_average(3, 1);
  const auto commit = last_to<Commit>(3);
  ASSERT_TRUE(commit.has_value());
  EXPECT_EQ(commit->scalars.clip_factor, 0.25F);  // norm sqrt(8 + 8)
  ASSERT_TRUE(std::holds_alternative<Persist>(said.front())) << "journaled before it is spoken";
  EXPECT_EQ(last<StepCommitted>()->record.loss(), 5.0 / 32);
  EXPECT_EQ(last_to<StepOpen>(3)->step.value, 2U);
}

TEST_F(CoordinatorTest, ACommitWaitsForTheDigestsOfTheOneBefore) {
  open_training();
  do_units(1);
  for (std::uint32_t n = 0; n < 4; ++n) report_average(n, 1);
  for (std::uint32_t n = 0; n < 3; ++n) report_digest(n, 1);
  do_units(2);
  for (std::uint32_t n = 0; n < 4; ++n) report_average(n, 2);
  EXPECT_EQ(last_to<Commit>(0)->scalars.step.value, 1U);
  pass(1s);  // the commit is said again to the one that has not answered
  said.clear();
  report_digest(3, 1);
  EXPECT_EQ(last_to<Commit>(0)->scalars.step.value, 2U);
}

TEST_F(CoordinatorTest, SaysAgainWhatWasNotAnswered) {
  open_training();
  do_units(1);
  report_average(0, 1);
  said.clear();
  pass(2s);
  EXPECT_FALSE(last_to<StageClosed>(0).has_value());
  EXPECT_TRUE(last_to<StageClosed>(2).has_value());
  for (std::uint32_t n = 1; n < 4; ++n) report_average(n, 1);
  report_digest(0, 1);
  said.clear();
  pass(2s);
  EXPECT_FALSE(last_to<Commit>(0).has_value());
  EXPECT_TRUE(last_to<Commit>(1).has_value());
  EXPECT_TRUE(last_to<StepOpen>(0).has_value());
}

TEST_F(CoordinatorTest, ALostNodeIsNamedAtOnceAndItsUnitsAreDoneAgain) {
  open_training();
  for (const std::uint32_t n : {0U, 2U}) {
    hear(n, MicrobatchPull{StepId(1), 1, 1});
    hear(n, UnitReport{StepId(1), StageIndex(0), {{MicrobatchIndex(n / 2), Attempt(0), 16, 0}}});
  }
  hear(1, UnitReport{StepId(1), StageIndex(1), {{MicrobatchIndex(0), Attempt(0), 16, 2.5}}});
  said.clear();
  happen(PeerLost{node(3), "silent for 4 s"});
  ASSERT_EQ(machine->phase(), CoordinatorPhase::kTraining);
  for (const std::string& word :
       {node(3).short_hex(), std::string("stage 1, replica 1"), std::string("silent for 4 s")})
    EXPECT_NE(last<Note>()->text.find(word), std::string::npos) << last<Note>()->text;
  const auto table = last_to<MembershipTable>(2);
  ASSERT_TRUE(table.has_value());
  EXPECT_EQ(table->members.size(), 3U);

  // What they hold: node 3 had returned its gradient to node 2, so only its own unit is missing.
  const auto held = [&](std::uint32_t m, NodeId from, NodeId to) {
    const bool first = from == NodeId{};
    return HeldUnit{MicrobatchIndex(m), Attempt(0), UnitProgress::kDone, true, first, first, !first,
                    Hop{from, {}},      Hop{to, {}}};
  };
  hear(0, Holdings{StepId(1), table->epoch, StageIndex(0), false, {held(0, {}, node(1))}});
  hear(1, Holdings{StepId(1), table->epoch, StageIndex(1), false, {held(0, node(0), {})}});
  EXPECT_FALSE(last_to<RepairOrders>(1).has_value()) << "not everybody has answered";
  hear(2, Holdings{StepId(1), table->epoch, StageIndex(0), false, {held(1, {}, node(3))}});
  const auto redo = last_to<RepairOrders>(1), send = last_to<RepairOrders>(2);
  ASSERT_TRUE(redo && send);
  EXPECT_EQ(redo->tasks.at(0).redo, Redo::kCount);
  EXPECT_EQ(redo->tasks.at(0).from.node, node(2));
  EXPECT_EQ(send->tasks.at(0).redo, Redo::kNothing);
  EXPECT_EQ(send->tasks.at(0).to, (Hop{node(1), Attempt(1)}));
  EXPECT_TRUE(send->tasks.at(0).send_output);
  EXPECT_FALSE(last_to<RepairOrders>(0).has_value());

  hear(1, UnitReport{StepId(1), StageIndex(1), {{MicrobatchIndex(1), Attempt(1), 16, 2.5}}});
  EXPECT_EQ(last_to<StageClosed>(1)->contributions.size(), 1U);
  for (std::uint32_t n = 0; n < 3; ++n) report_average(n, 1);
  EXPECT_EQ(last<StepCommitted>()->record.units.back(),
            (UnitRecord{StageIndex(1), MicrobatchIndex(1), Attempt(1), node(1)}));
}

TEST_F(CoordinatorTest, AStageThatLosesAContributorAveragesAgain) {
  open_training();
  do_units(1);
  happen(PeerLost{node(2), "silent"});
  EXPECT_EQ(machine->status().units_done, 4U) << "somebody may hold the average";
  for (const std::uint32_t n : {0U, 1U, 3U})
    hear(n, Holdings{StepId(1),
                     last_to<MembershipTable>(0)->epoch,
                     StageIndex(n % 2),
                     false,
                     {},
                     {},
                     false});
  EXPECT_LT(machine->status().units_done, 4U) << "nobody does";
  report_average(0, 1);  // of the attempt that is void
  for (const std::uint32_t n : {1U, 3U}) report_average(n, 1);
  EXPECT_FALSE(last<StepCommitted>().has_value());
}

TEST_F(CoordinatorTest, AnAverageThatIsHeldIsFetched) {
  open_training();
  do_units(1);
  happen(PeerLost{node(2), "silent"});
  HeldUnit done;
  done.progress = UnitProgress::kDone;
  for (const std::uint32_t n : {0U, 1U, 3U}) {
    done.microbatch = MicrobatchIndex(n / 2);
    hear(n, Holdings{StepId(1),
                     last_to<MembershipTable>(0)->epoch,
                     StageIndex(n % 2),
                     false,
                     {done},
                     Attempt(0),
                     n == 0});
  }
  EXPECT_EQ(machine->status().units_done, 4U);
  EXPECT_EQ(last_to<StageClosed>(0)->holders, std::vector{node(0)});
  for (const std::uint32_t n : {0U, 1U, 3U}) report_average(n, 1);
  EXPECT_TRUE(last<StepCommitted>().has_value());
}

TEST_F(CoordinatorTest, NothingReopensOnceTheOthersHoldTheAverage) {
  open_training();
  do_units(1);
  for (const std::uint32_t n : {0U, 1U, 3U}) report_average(n, 1);
  EXPECT_FALSE(last<StepCommitted>().has_value());
  happen(PeerLost{node(2), "silent"});
  ASSERT_TRUE(last<StepCommitted>().has_value());
  EXPECT_EQ(last<StepCommitted>()->record.units[1].node, node(2)) << "what it did counts";
}

TEST_F(CoordinatorTest, OneOfTwoThatCannotWorkTogetherIsFenced) {
  open_training();
  hear(0, PeerComplaint{node(1), StepId(1), "no answer"});
  pass(500ms);
  EXPECT_EQ(last_to<MembershipTable>(0)->members.size(), 4U) << "it may be lost: wait a bit";
  pass(600ms);
  EXPECT_EQ(machine->phase(), CoordinatorPhase::kTraining);
  EXPECT_EQ(last_to<MembershipTable>(0)->members.size(), 3U);
  EXPECT_NE(last_to<Refused>(1)->reason.find("cannot work with node " + node(1).short_hex()),
            std::string::npos);
}

/// It was frozen for a while, and the one that noticed is as good as before.
TEST_F(CoordinatorTest, WhoWasSilentHereTooWhenTheComplaintCameGoes) {
  open_training();
  for (int i = 0; i < 3; ++i) {
    for (const std::uint32_t n : {0U, 1U, 3U}) hear(n, Heartbeat{});
    pass(400ms);
  }
  hear(0, PeerComplaint{node(2), StepId(1), "silent"});
  for (int i = 0; i < 3; ++i) {
    if (i == 1) hear(0, PeerComplaint{node(3), StepId(1), "slow"});  // it is at odds with more
    for (const std::uint32_t n : {0U, 1U, 2U, 3U}) hear(n, Heartbeat{});
    pass(400ms);
  }
  EXPECT_TRUE(last_to<Refused>(2).has_value());
  EXPECT_FALSE(last_to<Refused>(0).has_value());
}

/// A node whose own line is bad complains about everybody, and may be the first to do so.
TEST_F(CoordinatorTest, WhoIsAtOddsWithMoreOfTheOthersGoes) {
  open_training();
  for (const std::uint32_t n : {0U, 1U, 2U}) {
    hear(3, PeerComplaint{node(n), StepId(1), "its connection ended"});
    hear(n, PeerComplaint{node(3), StepId(1), "its connection ended"});
  }
  for (int i = 0; i < 3; ++i) {
    for (const std::uint32_t n : {0U, 1U, 2U, 3U}) hear(n, Heartbeat{});
    pass(600ms);
  }
  EXPECT_TRUE(last_to<Refused>(3).has_value());
  EXPECT_EQ(last_to<MembershipTable>(0)->members.size(), 3U) << "and nobody else";
}

TEST_F(CoordinatorTest, WhoLeavesIsLetGoBetweenSteps) {
  open_training();
  hear(2, LeaveNotice{"SIGTERM"});
  pass(1s);
  EXPECT_FALSE(last_to<Refused>(2).has_value()) << "its units are wanted";
  do_step(1);
  EXPECT_TRUE(last_to<Refused>(2).has_value());
  EXPECT_EQ(last_to<MembershipTable>(0)->members.size(), 3U);
  EXPECT_EQ(last_to<StepOpen>(0)->step.value, 2U);
  EXPECT_TRUE(last<MemberGone>()->expected);
  EXPECT_EQ(machine->status().nodes_lost, 0U);
}

TEST_F(CoordinatorTest, WhoLeavesBeforeTheOthersHaveComeHearsThatItMay) {
  open();
  hear(0, JoinRequest{});
  hear(0, LeaveNotice{"SIGTERM"});
  EXPECT_TRUE(last_to<Refused>(0).has_value());
  hear(1, JoinRequest{});
  EXPECT_EQ(last_to<Welcome>(1)->stage.value, 0U) << "its seat is free";
}

TEST_F(CoordinatorTest, WhoBecameTheLastOfItsStageEndsTheRoundWhenItLeaves) {
  open_training();
  do_units(1);
  hear(2, LeaveNotice{"SIGTERM"});
  for (std::uint32_t n = 0; n < 4; ++n)
    if (n != 0) report_average(n, 1);
  happen(PeerLost{node(0), "silent"});  // its average is not needed: the step commits
  expect_end(EndReason::kNodeLost, {node(2).short_hex(), "the last of its stage"});
  EXPECT_TRUE(last_to<RoundEnd>(2)->checkpoint);
  EXPECT_EQ(last_to<RoundEnd>(2)->last_step.value, 1U);
}

TEST_F(CoordinatorTest, AStageWithoutSurvivorsNamesTheLastCompleteCheckpoint) {
  config.stage_patience = {};
  open_training();
  do_step(1);
  happen(PeerLost{node(1), "silent"});
  happen(PeerLost{node(3), "silent"});
  pass(11s);  // the other stage saves, in vain
  EXPECT_EQ(last<RoundFinished>()->resumable_step.value, 0U);
}

TEST_F(CoordinatorTest, WaitingForTheEndHasALimit) {
  open_training();
  do_step(1);
  happen(Control{ControlVerb::kStop});
  expect_end(EndReason::kStopped, {});
  pass(9s);
  EXPECT_EQ(machine->phase(), CoordinatorPhase::kEnding);
  pass(13s);
  EXPECT_EQ(machine->phase(), CoordinatorPhase::kEnded);
}

TEST_F(CoordinatorTest, DisagreementIsNamedAndEndsTheRound) {
  open_training();
  do_units(1);
  report_average(0, 1);
  report_average(2, 1, 7);
  expect_end(EndReason::kInternal, {node(2).short_hex(), "average"});
}

TEST_F(CoordinatorTest, DifferentParametersAreNamedAndNotSaved) {
  open_training();
  do_step(1);
  do_units(2);
  for (std::uint32_t n = 0; n < 4; ++n) report_average(n, 2);
  report_digest(0, 2, 1);
  report_digest(2, 2, 9);
  expect_end(EndReason::kInternal, {node(0).short_hex(), node(2).short_hex(), "parameters"});
  EXPECT_FALSE(last_to<RoundEnd>(0)->checkpoint);
}

TEST_F(CoordinatorTest, ReplicasThatLoadedDifferentParametersDoNotStart) {
  open();
  for (std::uint32_t n = 0; n < 4; ++n) hear(n, JoinRequest{});
  hear(0, UpdateReport{StepId(0), StageIndex(0), {1}});
  hear(2, UpdateReport{StepId(0), StageIndex(0), {2}});
  expect_end(EndReason::kInternal, {"loaded different parameters"});
}

TEST_F(CoordinatorTest, OtherFaultsOfNodesEndTheRoundByName) {
  const std::vector<std::pair<std::function<void()>, std::string>> faults{
      {[&] {
         hear(0, UnitReport{StepId(1), StageIndex(0), {{MicrobatchIndex(1), Attempt(0), 16, 0}}});
       },
       "cannot have done"},
  };
  for (const auto& [happens, text] : faults) {
    said.clear();
    open_training();
    happens();
    ASSERT_GE(machine->phase(), CoordinatorPhase::kEnding) << text;
    EXPECT_NE(last_to<RoundEnd>(0)->text.find(text), std::string::npos) << text;
  }
}

TEST_F(CoordinatorTest, AFullDiskCostsItsNodeTheSeatAndNobodyTheCheckpoint) {
  config.ledger_epoch_steps = 1;
  open_training();
  do_step(1);
  hear(0, CheckpointReport{StepId(1), StageIndex(0), Hash{1}, 10, ""});
  hear(1, CheckpointReport{StepId(1), StageIndex(1), Hash{2}, 10, ""});
  hear(2, CheckpointReport{StepId(1), StageIndex(0), {}, 0, "no space left on device"});
  EXPECT_EQ(machine->phase(), CoordinatorPhase::kTraining);
  EXPECT_NE(last_to<Refused>(2)->reason.find("no space left on device"), std::string::npos);
  hear(3, CheckpointReport{StepId(1), StageIndex(1), Hash{2}, 10, ""});
  EXPECT_FALSE(last<CheckpointComplete>().has_value()) << "stage 0 is saved once alone";
  for (const std::uint32_t n : {0U, 1U})
    hear(n, ShardSealed{{StepId(1), StageIndex(0), Hash{3}, 27}, ""});
  EXPECT_EQ(last<CheckpointComplete>()->record.step.value, 1U);
  EXPECT_EQ(last<CheckpointComplete>()->record.stages[0].file_hash, Hash{1});
}

TEST_F(CoordinatorTest, StrangersAndStaleMessagesAreCountedAndChangeNothing) {
  open_training();
  do_step(1);
  const auto before = machine->status();
  said.clear();
  hear(9, UnitReport{StepId(2), StageIndex(0), {}});
  hear(9, Heartbeat{});
  EXPECT_EQ(machine->counters().stranger, 2U);
  EXPECT_TRUE(said.empty()) << "a stranger gets no answer";
  hear(0, MicrobatchPull{StepId(1), 9, 5});
  hear(0, AverageReport{StepId(1), StageIndex(0), Attempt(0), {}, {}});
  hear(0, UnitReport{StepId(1), StageIndex(0), {{MicrobatchIndex(0), Attempt(0), 16, 0}}});
  EXPECT_EQ(machine->counters().stale, 3U);
  EXPECT_EQ(last_to<UnitAck>(0)->step.value, 1U) << "it may forget what is committed";
  hear(1, MicrobatchPull{StepId(2), 9, 5});
  hear(1, Welcome{});
  EXPECT_EQ(machine->counters().faults, 2U);
  EXPECT_EQ(machine->status().last_step, before.last_step);
  EXPECT_EQ(machine->status().units_done, 0U);
}

TEST_F(CoordinatorTest, ANodeThatCameBackBeforeItWasMissedIsLostAllTheSame) {
  open_training();
  said.clear();
  hear(3, JoinRequest{});  // late: said before the node was let in
  pass(5s);
  EXPECT_EQ(machine->phase(), CoordinatorPhase::kTraining);
  hear(3, JoinRequest{});
  EXPECT_FALSE(last_to<Welcome>(3).has_value());
  EXPECT_EQ(last_to<MembershipTable>(0)->members.size(), 3U);
  EXPECT_NE(last<Note>()->text.find("started anew"), std::string::npos);
  EXPECT_EQ(last_to<Refused>(3)->code, ErrorCode::kAborted)
      << "who asks is new, and goes on asking";
}

TEST_F(CoordinatorTest, ANodeThatWasLostLearnsThatItIsOut) {
  open();
  hear(0, JoinRequest{});
  happen(PeerLost{node(0), "silent"});
  hear(0, Heartbeat{});
  EXPECT_EQ(last_to<Refused>(0)->code, ErrorCode::kPermissionDenied);
}

TEST_F(CoordinatorTest, AnEpochThatACrashCutShortIsClosedAtTheNextOpening) {
  open_training();
  do_step(1);
  do_step(2);
  const auto history = journal;
  said.clear();
  open_anew(history);
  ASSERT_TRUE(last<EpochFinished>().has_value());
  EXPECT_EQ(last<EpochFinished>()->first_step.value, 1U);
  EXPECT_EQ(last<EpochFinished>()->last_step.value, 2U);
  EXPECT_TRUE(last<EpochFinished>()->steps[0].digests[0].has_value()) << "the next step committed";
  EXPECT_FALSE(last<EpochFinished>()->steps[1].digests[0].has_value());
  EXPECT_EQ(last<RolledBack>()->to_step.value, 0U);
}

/// The ledger has not taken the epoch yet when the coordinator dies: the next one hands it over
/// again, although nobody reports the digests of a step before the last once more.
TEST_F(CoordinatorTest, DigestsOfAnEpochThatIsHandedOverAreWrittenDown) {
  config.ledger_epoch_steps = 1;
  open_training();
  do_step(1);
  const auto agreed = std::ranges::find_if(journal, [](const JournalRecord& record) {
    const auto* digests = std::get_if<DigestsAgreed>(&record);
    return digests != nullptr && digests->step == StepId(1) && digests->digests.size() == 2;
  });
  EXPECT_NE(agreed, journal.end());
}

TEST_F(CoordinatorTest, AResumedRoundStartsWithFewerNodesAfterAWhile) {
  config.ledger_epoch_steps = 1;
  open_training();
  do_step(1);
  for (std::uint32_t n = 0; n < 4; ++n)
    hear(n, CheckpointReport{StepId(1), StageIndex(n % 2), Hash{}, 10, ""});
  const auto history = journal;
  open_anew(history);
  JoinRequest request;
  for (std::uint32_t stage = 0; stage < 2; ++stage)
    request.checkpoints.push_back({StageIndex(stage), StepId(1), Hash{}});
  for (std::uint32_t n = 0; n < 3; ++n) hear(n, request);
  pass(59s);
  EXPECT_EQ(machine->phase(), CoordinatorPhase::kAdmitting);
  pass(2s);
  EXPECT_EQ(machine->phase(), CoordinatorPhase::kLoading);
}

/// Nothing was saved yet, or done, but the round has begun: it does not wait for who is gone for
/// good.
TEST_F(CoordinatorTest, ARoundThatGoesBackToItsBeginningStartsWithFewerNodesAfterAWhile) {
  for (const std::uint64_t steps : {0U, 1U}) {
    journal.clear();
    open_training();
    if (steps > 0) do_step(1);
    open(std::vector(journal));
    for (std::uint32_t n = 0; n < 3; ++n) hear(n, JoinRequest{});
    // Before anything was done, the fourth may have lived on as well.
    const Duration asked = steps == 0 ? Duration(limits::kReturnTimeout) : Duration{0};
    pass(asked + limits::kAdmissionTimeout - 1s);
    EXPECT_EQ(machine->phase(), CoordinatorPhase::kAdmitting) << steps;
    pass(2s);
    EXPECT_EQ(machine->phase(), CoordinatorPhase::kLoading) << steps;
  }
}

TEST_F(CoordinatorTest, ARoundThatHasNotBegunWaitsForAllItsNodes) {
  open();
  for (std::uint32_t n = 0; n < 3; ++n) hear(n, JoinRequest{});
  open(std::vector(journal));
  for (std::uint32_t n = 0; n < 3; ++n) hear(n, JoinRequest{});
  pass(2 * limits::kAdmissionTimeout);
  EXPECT_EQ(machine->phase(), CoordinatorPhase::kAdmitting);
}

TEST_F(CoordinatorTest, WhomItsStageCanSpareIsGivenUpSoonerThanTheLast) {
  open_training();
  happen(PeerLate{node(2)});
  pass(900ms);
  hear(2, Heartbeat{});  // it was only slow
  pass(5s);
  EXPECT_FALSE(last<MemberGone>().has_value());
  happen(PeerLate{node(2)});
  const auto waits = machine->status().waits;
  ASSERT_EQ(waits.size(), 1U);
  EXPECT_EQ(waits[0].deadline, now + 1s) << "two heartbeats";
  EXPECT_EQ(waits[0].then, "it counts as lost");
  pass(1100ms);
  ASSERT_TRUE(last<MemberGone>().has_value());
  EXPECT_EQ(last<MemberGone>()->member.node, node(2));
  EXPECT_NE(last<MemberGone>()->why.find("silent for "), std::string::npos);
  said.clear();
  happen(PeerLate{node(0)});  // nobody else holds stage 0 now
  pass(3s);
  EXPECT_FALSE(last<MemberGone>().has_value());
  EXPECT_EQ(machine->phase(), CoordinatorPhase::kTraining);
}

/// One at a time; what could not be had when it was due is made up for.
TEST_F(CoordinatorTest, ACheckpointIsAskedForWhenTheLastIsComplete) {
  config.ledger_epoch_steps = 2;
  open_training();
  const auto asked_for = [this](std::uint64_t step) {
    do_step(step);
    EXPECT_EQ(last_to<Commit>(0)->scalars.step.value, step);
    return last_to<Commit>(0)->checkpoint;
  };
  EXPECT_FALSE(asked_for(1));
  EXPECT_TRUE(asked_for(2));
  EXPECT_FALSE(asked_for(3));
  EXPECT_FALSE(asked_for(4)) << "nobody has saved step 2";
  EXPECT_TRUE(last_to<Commit>(0)->ends_ledger_epoch);
  for (std::uint32_t n = 0; n < 4; ++n)
    hear(n, CheckpointReport{StepId(2), StageIndex(n % 2), Hash{}, 10, ""});
  EXPECT_TRUE(asked_for(5));
  EXPECT_TRUE(last_to<Commit>(0)->ends_ledger_epoch) << "a checkpoint ends one";
}

}  // namespace
}  // namespace coshard::round
