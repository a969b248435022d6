// Until when a coordinator waits for answers and for stages to load: by the times that each node
// took before, given in closed form, and as long as limits.h says before the first one.
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/unit/round/coordinator_fixture.h"

namespace coshard::round {
namespace {

class WaitsTest : public CoordinatorTest {
 protected:
  std::optional<Wait> wait_for(const std::string& what) const {
    for (const Wait& wait : machine->status().waits)
      if (wait.what.find(what) != std::string::npos) return wait;
    return std::nullopt;
  }

  // ---- answers
  Holdings holdings(std::uint32_t n, bool lacks = false) const {
    return {StepId(1), machine->status().epoch, StageIndex(n % 2), lacks, {}, {}, false, 0};
  }
  /// Everybody is asked what it holds.
  void ask_all() {
    said.clear();
    hear(0, holdings(0, true));
    now += limits::kSurveyInterval;
    happen(Tick{});
    ASSERT_TRUE(last_to<MembershipTable>(1).has_value());
    said.clear();
  }
  /// All answer at once, but node 1.
  void answer_all_but_one() {
    for (const std::uint32_t n : {0U, 2U, 3U}) hear(n, holdings(n));
  }
  void survey_takes(Duration of_node_1) {
    ask_all();
    answer_all_but_one();
    now += of_node_1;
    hear(1, holdings(1));
    EXPECT_FALSE(wait_for("members to say").has_value());
  }
  /// So long after the question node 1, which does not answer, is asked again.
  void expect_asked_again_after(Duration time) {
    const TimePoint before = now;
    EXPECT_EQ(wait_for("1 members to say what they hold of step 1")->deadline, before + time);
    now = before + time - 1ms;
    happen(Tick{});
    EXPECT_FALSE(last_to<MembershipTable>(1).has_value());
    now = before + time;
    happen(Tick{});
    EXPECT_TRUE(last_to<MembershipTable>(1).has_value());
    EXPECT_FALSE(last_to<MembershipTable>(0).has_value()) << "it has answered";
    said.clear();
  }

  // ---- stages that load
  /// Everybody is there at once, but node 3 raises its stage in `time`.
  void open_raised(Duration time) {
    open();
    for (std::uint32_t n = 0; n < 4; ++n) hear(n, JoinRequest{});
    for (std::uint32_t n = 0; n < 4; ++n) {
      if (n == 3) now += time;
      hear(n, UpdateReport{StepId(0), StageIndex(n % 2), {}});
    }
  }
  /// Step 1 is saved, in `time` by node 3, and stage 1 loses everybody: all are back but for node
  /// 3, which loads.
  void open_loading(Duration raised, Duration time) {
    config.ledger_epoch_steps = 1;
    config.stage_patience = 60s;
    open_raised(raised);
    do_step(1);
    for (const std::uint32_t n : {0U, 1U, 2U, 3U}) {
      if (n == 3) now += time;
      hear(n, CheckpointReport{StepId(1), StageIndex(n % 2), Hash{1}, 1'000'000, ""});
    }
    for (const std::uint32_t n : {1U, 3U}) happen(PeerLost{node(n), "silent"});
    for (const std::uint32_t n : {1U, 3U, 0U, 2U}) {  // those who live last: then it begins
      JoinRequest request;
      request.checkpoints = {{StageIndex(n % 2), StepId(1), Hash{1}}};
      hear(n, request);
    }
    ASSERT_EQ(machine->phase(), CoordinatorPhase::kLoading);
    load(0);
    load(2);
  }
  void load(std::uint32_t n) { hear(n, UpdateReport{StepId(1), StageIndex(n % 2), {1}}); }
};

TEST_F(WaitsTest, WhoIsLateByItsOwnTimesIsAskedAgain) {
  open_training();
  ask_all();
  answer_all_but_one();
  expect_asked_again_after(limits::kRepeatInterval);
  expect_asked_again_after(limits::kRepeatInterval);
  hear(1, holdings(1));  // after a second
  for (const Duration time : {200ms, 120ms, 110ms, 110ms, 130ms}) survey_takes(time);
  ask_all();
  answer_all_but_one();
  // 110 110 120 130 200 1000: the median is 130, deviations 0 10 20 20 70 870, their median 20.
  expect_asked_again_after(250ms);
  expect_asked_again_after(limits::kRepeatInterval);
  hear(1, holdings(1));
}

TEST_F(WaitsTest, AnAnswerThatComesAtOnceIsWaitedForUntilTheNextTick) {
  open_training();
  survey_takes(1ms);
  ask_all();
  answer_all_but_one();
  for (const Duration time : {50ms, 100ms, 200ms, 400ms, 500ms, 500ms})
    expect_asked_again_after(time);
}

TEST_F(WaitsTest, WhoLoadsForLongerThanEverIsLeftBehindWhereItCanBeSpared) {
  open_loading(2s, 7s);
  load(1);
  const auto wait = wait_for("node " + node(3).short_hex());
  ASSERT_TRUE(wait.has_value());
  EXPECT_EQ(wait->what, "node " + node(3).short_hex() + " (stage 1, replica 1) to load its stage");
  EXPECT_EQ(wait->deadline - wait->since, 9s)
      << "as long as to raise it, and to save as many bytes";
  EXPECT_EQ(wait->then, "the round begins without it");
  pass(8900ms);
  EXPECT_EQ(machine->phase(), CoordinatorPhase::kLoading);
  pass(200ms);
  EXPECT_EQ(machine->phase(), CoordinatorPhase::kTraining);
  EXPECT_TRUE(last_to<Refused>(3).has_value());
  EXPECT_EQ(last_to<StepOpen>(1)->step.value, 2U);
}

TEST_F(WaitsTest, TheOnlyOneOfItsStageMayLoadForEver) {
  open_loading(2s, 7s);  // node 1 loads as well
  EXPECT_EQ(wait_for("node " + node(3).short_hex())->then, "nobody can take its place");
  pass(1200s);
  EXPECT_EQ(machine->phase(), CoordinatorPhase::kLoading);
  load(3);
  EXPECT_EQ(machine->phase(), CoordinatorPhase::kLoading);
  happen(Tick{});
  EXPECT_EQ(machine->phase(), CoordinatorPhase::kTraining) << "now it can do without node 1";
}

TEST_F(WaitsTest, ARoundThatGoesOnSaysUntilWhenItWaitsForWhoIsMissing) {
  open();
  hear(0, JoinRequest{});
  EXPECT_FALSE(wait_for("to come back").has_value()) << "a new round waits for all it needs";
  open_training();
  do_step(1);
  open(std::vector(journal));
  for (const std::uint32_t n : {0U, 1U, 2U}) hear(n, JoinRequest{});
  pass(1s);
  const auto wait = wait_for("1 more nodes to come back");
  ASSERT_TRUE(wait.has_value());
  EXPECT_EQ(wait->deadline, wait->since + limits::kAdmissionTimeout);
  now = wait->deadline - 50ms;
  happen(Tick{});
  EXPECT_EQ(machine->phase(), CoordinatorPhase::kAdmitting);
  now = wait->deadline;
  happen(Tick{});
  EXPECT_EQ(machine->phase(), CoordinatorPhase::kLoading);
}

TEST_F(WaitsTest, AStageLoadsForAsLongAsASilentNodeIsWaitedFor) {
  open_loading(1ms, 1ms);
  const auto wait = wait_for("node " + node(3).short_hex());
  EXPECT_EQ(wait->deadline - wait->since, Duration(limits::kSilenceMax));
}

TEST_F(WaitsTest, BeforeAnythingIsMeasuredTheLimitHolds) {
  open();
  for (std::uint32_t n = 0; n < 4; ++n) hear(n, JoinRequest{});
  const auto wait = wait_for("node " + node(3).short_hex());
  ASSERT_TRUE(wait.has_value());
  EXPECT_EQ(wait->deadline - wait->since, Duration(limits::kLoadTimeout));
}

}  // namespace
}  // namespace coshard::round
