// Rounds of real programs whose coordinator is killed and started again in its folder: no node is
// restarted, the open step goes on, every step commits once, the losses are those of a run that
// nothing disturbed, and the ledger verifies.
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <csignal>
#include <filesystem>

#include "tests/support/round_fixture.h"
#include "tests/support/round_reference.h"

namespace coshard::test {
namespace {

using std::chrono::seconds;

constexpr auto kPatience = seconds(240);

/// After which steps the coordinator is killed, and nodes: none, or the replica of that stage.
struct Blows {
  std::vector<std::uint64_t> coordinator;
  std::optional<std::uint32_t> node_of_stage;
};

class ReturnProcess : public testing::TestWithParam<Blows> {
 protected:
  void kill(ChildProcess& child) {
    child.signal(SIGKILL);
    ASSERT_TRUE(child.wait_exit(seconds(30)).has_value());
  }
  std::optional<std::size_t> node_of(std::uint32_t stage) {
    for (std::size_t i = 0; i < round_.node_count(); ++i)
      if (round_.node_status(i, "stage") == std::to_string(stage)) return i;
    return std::nullopt;
  }

  static constexpr std::uint64_t kSteps = 40;
  RoundFixture round_{
      {.stages = 2, .replicas = 2, .steps = kSteps, .microbatches = 8, .epoch_steps = 10}};
};

TEST_P(ReturnProcess, TheRoundGoesOnAsIfNothingHadBeen) {
  ASSERT_TRUE(round_.start_all());
  std::optional<std::size_t> killed;
  for (const std::uint64_t after_step : GetParam().coordinator) {
    ASSERT_TRUE(round_.wait_for_step(after_step, kPatience)) << round_.outputs();
    kill(round_.coordinator());
    if (const auto stage = GetParam().node_of_stage; stage && !killed) {
      killed = node_of(*stage);
      ASSERT_TRUE(killed.has_value());
      kill(round_.node(*killed));
    }
    ASSERT_TRUE(round_.start_coordinator()) << round_.outputs();
  }
  ASSERT_EQ(round_.coordinator().wait_exit(kPatience), 0) << round_.outputs();
  for (std::size_t i = 0; i < round_.node_count(); ++i)
    if (i != killed) {
      EXPECT_EQ(round_.node(i).wait_exit(seconds(30)), 0) << "node " << i << round_.outputs();
    }
  ASSERT_EQ(round_.metrics().size(), kSteps) << "no step was done twice, and none lost";
  expect_same_losses(round_, reference_run(round_.round(), round_.manifest()));
  const ledger::VerifiedLedger log = expect_verified(round_);
  const ledger::UnitTotals totals = log.accounts.totals();
  EXPECT_EQ(totals.posted + totals.burnt, totals.cap);
  EXPECT_EQ(log.accounts.balances().size(), 4U) << "who died is paid for what counted";
}

INSTANTIATE_TEST_SUITE_P(Coordinator, ReturnProcess,
                         testing::Values(Blows{{1}, {}}, Blows{{5}, {}}, Blows{{10}, {}},
                                         Blows{{39}, {}}, Blows{{5, 6, 7, 19, 20, 21, 30}, {}},
                                         Blows{{5}, 0}, Blows{{12, 25}, 1}),
                         [](const auto& param) {
                           std::string name = "After";
                           for (const std::uint64_t step : param.param.coordinator)
                             name += "_" + std::to_string(step);
                           if (const auto stage = param.param.node_of_stage)
                             name += "_AndANodeOfStage" + std::to_string(*stage);
                           return name;
                         });

/// The coordinator's folder, as it is taken to another machine.
class StandbyProcess : public ReturnProcess {
 protected:
  void SetUp() override {
    ASSERT_TRUE(round_.start_all());
    ASSERT_TRUE(round_.wait_for_step(5, kPatience)) << round_.outputs();
  }
  void copy_folder(const Path& from, const Path& to) {
    std::filesystem::remove_all(to);
    std::filesystem::copy(from, to, std::filesystem::copy_options::recursive);
  }
  const Path copy_ = round_.path() / "copy";
};

TEST_F(StandbyProcess, TakesOverFromTheJournal) {
  kill(round_.coordinator());
  copy_folder(round_.coordinator_dir(), copy_);
  copy_folder(copy_, round_.coordinator_dir());
  ASSERT_TRUE(round_.start_coordinator()) << round_.outputs();
  EXPECT_GT(std::stoull(round_.coordinator_field("generation")), 1'000'000U)
      << "far from those that the coordinator of before may still come to";
  expect_survived(round_, {});
}

/// What nodes have seen committed is never decided again, by nobody.
TEST_F(StandbyProcess, WithAnOlderCopyItStopsAndSaysWhatItLacks) {
  round_.coordinator().signal(SIGSTOP);
  copy_folder(round_.coordinator_dir(), copy_);
  round_.coordinator().signal(SIGCONT);
  ASSERT_TRUE(round_.wait_for_step(12, kPatience)) << round_.outputs();
  kill(round_.coordinator());
  copy_folder(copy_, round_.coordinator_dir());
  round_.start_coordinator();
  ASSERT_EQ(round_.coordinator().wait_exit(kPatience), 1) << round_.outputs();
  const std::string said = round_.coordinator().output();
  for (const char* part : {" has a signed commit of step ", "this journal ends with step ",
                           "start with the newest copy of the journal"})
    EXPECT_NE(said.find(part), std::string::npos) << part << said;
  for (std::size_t i = 0; i < round_.node_count(); ++i)
    EXPECT_TRUE(round_.node(i).running()) << "node " << i << " waits for the right one";
}

}  // namespace
}  // namespace coshard::test
