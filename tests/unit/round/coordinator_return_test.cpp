// How a coordinator comes back from its journal, one situation after the other; whole rounds run in
// tests/sim/return_sim_test.cpp.
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "protocol/round/coordinator.h"
#include "protocol/round/step.h"
#include "tests/unit/round/round_nodes.h"

namespace coshard::round {
namespace {

using std::chrono_literals::operator""ms;
using std::chrono_literals::operator""s;

/// Two stages of two replicas, nodes 0..3 as (stage, replica) 0.0 1.0 0.1 1.1, which have committed
/// step 1 of two microbatches when the coordinator dies.
class CoordinatorReturnTest : public testing::Test {
 protected:
  void SetUp() override {
    config.shape = {2, 2, 2, 16};
    config.steps = 10;
    config.ledger_epoch_steps = 5;
    open();
    for (std::uint32_t n = 0; n < 4; ++n) hear(n, JoinRequest{});
    for (std::uint32_t n = 0; n < 4; ++n) hear(n, UpdateReport{StepId(0), StageIndex(n % 2), {}});
    for (std::uint32_t n = 0; n < 4; ++n) {
      if (n % 2 == 0) hear(n, MicrobatchPull{StepId(1), 1, 1});
      hear(n,
           UnitReport{StepId(1), StageIndex(n % 2), {{MicrobatchIndex(n / 2), Attempt(0), 16, 1}}});
    }
    for (std::uint32_t n = 0; n < 4; ++n) report_average(n, 1, Attempt(0));
    ASSERT_EQ(machine->status().last_step.value, 1U);
  }
  void open() {
    said.clear();
    machine.emplace(config, journal);
    take(machine->start(now));
  }
  void hear(std::uint32_t from, Message message) {
    take(machine->on(Received{node(from), std::move(message), Bytes{1}}, now));
  }
  void lose(std::uint32_t n) { take(machine->on(PeerLost{node(n), "silent"}, now)); }
  void claim(std::uint32_t from, std::uint64_t committed = 1, bool working = true) {
    JoinRequest request;
    request.endpoint = "tcp://10.0.0." + std::to_string(from) + ":1";
    request.seat = {Incarnation(1), StepId(committed), working};
    hear(from, request);
  }
  void pass(Duration time) {
    for (const TimePoint until = now + time; now < until; now += 50ms)
      take(machine->on(Tick{}, now));
  }
  void report_average(std::uint32_t n, std::uint64_t step, Attempt attempt) {
    hear(n, AverageReport{StepId(step), StageIndex(n % 2), attempt, Hash{1}, {8}});
  }
  void take(CoordinatorActions actions) {
    for (auto& action : actions) {
      if (const auto* record = std::get_if<Persist>(&action)) journal.push_back(record->record);
      said.push_back(std::move(action));
    }
  }
  template <class M>
  std::optional<M> last_to(std::uint32_t to) const {
    std::optional<M> found;
    for (const auto& action : said)
      if (const auto* send = std::get_if<Send>(&action); send != nullptr && send->to == node(to))
        if (const auto* message = std::get_if<M>(&send->message)) found = *message;
    return found;
  }
  template <class A>
  std::size_t count() const {
    return static_cast<std::size_t>(std::count_if(said.begin(), said.end(), [](const auto& action) {
      return std::holds_alternative<A>(action);
    }));
  }
  /// Node n has done microbatch n / 2 of step 2 and sent and got all tensors of it.
  void tell_holdings(std::uint32_t n, Attempt averaging = {}) {
    const bool first = n % 2 == 0;
    const Hop other{node(first ? n + 1 : n - 1), {}};
    const HeldUnit unit{MicrobatchIndex(n / 2),
                        {},
                        UnitProgress::kDone,
                        true,
                        first,
                        first,
                        !first,
                        first ? Hop{} : other,
                        first ? other : Hop{},
                        16,
                        2.5};
    hear(n,
         Holdings{StepId(2), machine->status().epoch, StageIndex(n % 2), false, {unit}, averaging});
  }

  CoordinatorConfig config;
  std::optional<Coordinator> machine;
  std::vector<JournalRecord> journal;
  CoordinatorActions said;
  TimePoint now{};
};

TEST_F(CoordinatorReturnTest, TheOpenStepGoesOnFromWhatItsMembersHold) {
  const MembershipEpoch before = machine->status().epoch;
  open();
  EXPECT_EQ(machine->status().generation.value, 2U);
  for (std::uint32_t n = 0; n < 3; ++n) claim(n);
  EXPECT_EQ(machine->phase(), CoordinatorPhase::kAdmitting);
  EXPECT_EQ(count<MemberBack>(), 3U);
  claim(3);
  ASSERT_EQ(machine->phase(), CoordinatorPhase::kTraining);
  EXPECT_EQ(count<RolledBack>(), 0U);
  EXPECT_EQ(last_to<Commit>(2)->scalars.step.value, 1U) << "whoever lacks it can have it";
  ASSERT_TRUE(last_to<MembershipTable>(0).has_value());
  EXPECT_GT(last_to<MembershipTable>(0)->epoch, before);
  EXPECT_EQ(last_to<MembershipTable>(0)->members[1].endpoint, "tcp://10.0.0.2:1");
  hear(0, MicrobatchPull{StepId(2), 2, 7});
  EXPECT_FALSE(last_to<MicrobatchGrant>(0).has_value()) << "nobody knows yet what is free";
  EXPECT_FALSE(last_to<StepOpen>(0).has_value());

  for (std::uint32_t n = 0; n < 4; ++n) tell_holdings(n, Attempt(n == 3 ? 4 : 0));
  EXPECT_EQ(last_to<StepOpen>(0)->step.value, 2U);
  EXPECT_EQ(last_to<StageClosed>(0)->contributions.size(), 2U) << "all of it is done";
  EXPECT_EQ(last_to<StageClosed>(0)->attempt.value, 1U) << "not one that somebody has begun";
  EXPECT_EQ(last_to<StageClosed>(1)->attempt.value, 5U);
  for (std::uint32_t n = 0; n < 4; ++n)
    report_average(n, 2, last_to<StageClosed>(n % 2 == 0 ? 0 : 1)->attempt);
  EXPECT_EQ(count<StepCommitted>(), 0U) << "the digests of step 1 are owed";
  for (std::uint32_t n = 0; n < 4; ++n) hear(n, UpdateReport{StepId(1), StageIndex(n % 2), {7}});
  ASSERT_EQ(count<StepCommitted>(), 1U);
  const auto& record = std::get<StepRecord>(journal.back());
  EXPECT_EQ(record.step().value, 2U);
  EXPECT_EQ(record.loss_sum, 5.0);
  EXPECT_EQ(record.ledger_epoch.value, 0U) << "the epoch that was open goes on";
}

TEST_F(CoordinatorReturnTest, WhoDoesNotComeIsLostAfterAWhileAndItsUnitsAreDoneAgain) {
  open();
  for (const std::uint32_t n : {0U, 1U, 2U}) claim(n);
  pass(limits::kReturnTimeout - 100ms);
  EXPECT_EQ(machine->phase(), CoordinatorPhase::kAdmitting);
  pass(200ms);
  ASSERT_EQ(machine->phase(), CoordinatorPhase::kTraining);
  for (const std::uint32_t n : {0U, 1U, 2U}) tell_holdings(n);
  ASSERT_TRUE(last_to<RepairOrders>(1).has_value());
  EXPECT_EQ(last_to<RepairOrders>(1)->tasks.at(0).redo, Redo::kCount);
  said.clear();
  claim(3);
  EXPECT_EQ(last_to<Refused>(3)->code, ErrorCode::kPermissionDenied) << "too late";
}

TEST_F(CoordinatorReturnTest, AStageThatNobodyHoldsGoesBackToTheCheckpoint) {
  open();
  claim(0);
  hear(1, JoinRequest{});  // started anew
  EXPECT_EQ(count<RolledBack>(), 0U);
  hear(3, JoinRequest{});
  EXPECT_EQ(count<RolledBack>(), 1U);
  EXPECT_TRUE(last_to<Refused>(0).has_value()) << "its state is ahead";
  EXPECT_EQ(last_to<Welcome>(3)->incarnation.value, 2U);
}

TEST_F(CoordinatorReturnTest, WhoHeldNothingOfTheLastStepsIsNoHolder) {
  open();
  claim(0, 0);  // has not heard of the commit: gets it again
  EXPECT_EQ(count<MemberBack>(), 1U);
  claim(1, 7);
  EXPECT_EQ(count<MemberBack>(), 1U);
  EXPECT_TRUE(last_to<Refused>(1).has_value());
}

TEST_F(CoordinatorReturnTest, ALostMemberIsNoneAfterARestartEither) {
  lose(3);
  open();
  claim(3);
  EXPECT_TRUE(last_to<Refused>(3).has_value());
  for (const std::uint32_t n : {0U, 1U, 2U}) claim(n);
  EXPECT_EQ(machine->phase(), CoordinatorPhase::kTraining) << "nobody waits for it";
}

TEST_F(CoordinatorReturnTest, ACopyOfTheJournalGivesUpNobodyWhoMayObeyAnother) {
  config.journal_is_copy = true;
  open();
  for (const std::uint32_t n : {0U, 1U, 2U}) claim(n);
  pass(60s);
  EXPECT_EQ(machine->phase(), CoordinatorPhase::kAdmitting);
  lose(1);  // gone to the other one?
  claim(3);
  pass(60s);
  EXPECT_EQ(machine->phase(), CoordinatorPhase::kAdmitting);
  claim(1);
  EXPECT_EQ(machine->phase(), CoordinatorPhase::kTraining);
  lose(2);  // before it has answered under the new generation
  EXPECT_EQ(machine->phase(), CoordinatorPhase::kAdmitting);
  claim(2);
  ASSERT_EQ(machine->phase(), CoordinatorPhase::kTraining);
  for (std::uint32_t n = 0; n < 4; ++n) tell_holdings(n);
  EXPECT_TRUE(last_to<StepOpen>(0).has_value());
  lose(2);
  EXPECT_EQ(machine->phase(), CoordinatorPhase::kTraining) << "by now everybody obeys us";
}

TEST_F(CoordinatorReturnTest, WhoHoldsWhatAnotherHasDoneIsOut) {
  open();
  for (std::uint32_t n = 0; n < 4; ++n) claim(n);
  for (const std::uint32_t n : {0U, 1U, 3U}) tell_holdings(n);
  const HeldUnit same{
      MicrobatchIndex(0), {}, UnitProgress::kInput, true, false, false, false, {}, {}};
  hear(2, Holdings{StepId(2), machine->status().epoch, StageIndex(0), false, {same}, {}});
  EXPECT_TRUE(last_to<Refused>(2).has_value());
  EXPECT_EQ(machine->phase(), CoordinatorPhase::kTraining);
}

TEST_F(CoordinatorReturnTest, AnEndThatWasDecidedIsSaidAgain) {
  take(machine->on(Control{ControlVerb::kStop}, now));
  ASSERT_EQ(machine->phase(), CoordinatorPhase::kEnding);
  open();
  EXPECT_EQ(machine->phase(), CoordinatorPhase::kEnding);
  for (std::uint32_t n = 0; n < 4; ++n) claim(n);
  ASSERT_TRUE(last_to<RoundEnd>(1).has_value());
  EXPECT_TRUE(last_to<RoundEnd>(1)->checkpoint);
  EXPECT_FALSE(last_to<RoundEnd>(1)->settled);
  for (std::uint32_t n = 0; n < 4; ++n) {
    hear(n, UpdateReport{StepId(1), StageIndex(n % 2), {7}});
    hear(n, CheckpointReport{StepId(1), StageIndex(n % 2), Hash{1}, 10, ""});
  }
  pass(11s);
  EXPECT_EQ(machine->phase(), CoordinatorPhase::kEnded);
  EXPECT_TRUE(last_to<RoundEnd>(1)->settled);
  EXPECT_EQ(replay(journal).resume_step().value, 1U);
}

}  // namespace
}  // namespace coshard::round
