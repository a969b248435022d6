// Rounds of real programs that lose nodes and go on: nothing else is restarted, every step commits,
// the losses are those of a run that nothing disturbed, and the ledger verifies.
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <csignal>

#include "tests/support/round_fixture.h"
#include "tests/support/round_reference.h"

namespace coshard::test {
namespace {

using std::chrono::seconds;

constexpr auto kPatience = seconds(240);

struct Blow {
  std::uint64_t after_step;
  std::uint32_t stage;
  int signal_number;
};

class RepairProcess : public testing::TestWithParam<std::vector<Blow>> {
 protected:
  /// A node of `stage` that nothing was done to yet.
  std::optional<std::size_t> next_victim(std::uint32_t stage) {
    for (std::size_t i = 0; i < round_.node_count(); ++i)
      if (!struck_.contains(i) && round_.node_status(i, "stage") == std::to_string(stage)) return i;
    return std::nullopt;
  }

  RoundFixture round_{
      {.stages = 2, .replicas = 3, .steps = 50, .microbatches = 8, .epoch_steps = 10}};
  std::set<std::size_t> struck_;
};

TEST_P(RepairProcess, TheRoundGoesOnAsIfNothingHadBeen) {
  ASSERT_TRUE(round_.start_all());
  for (const Blow& blow : GetParam()) {
    ASSERT_TRUE(round_.wait_for_step(blow.after_step, kPatience)) << round_.outputs();
    const auto victim = next_victim(blow.stage);
    ASSERT_TRUE(victim.has_value());
    round_.node(*victim).signal(blow.signal_number);
    struck_.insert(*victim);
  }
  expect_survived(round_, struck_);
  for (const std::size_t i : struck_) {
    round_.node(i).signal(SIGCONT);  // a thawed node asks for its coordinator, which is gone
    round_.node(i).signal(SIGTERM);
    EXPECT_TRUE(round_.node(i).wait_exit(seconds(30)).has_value()) << "node " << i;
  }
}

INSTANTIATE_TEST_SUITE_P(
    Losses, RepairProcess,
    testing::Values(std::vector<Blow>{{5, 0, SIGKILL}}, std::vector<Blow>{{5, 1, SIGKILL}},
                    std::vector<Blow>{{5, 0, SIGSTOP}}, std::vector<Blow>{{5, 1, SIGSTOP}},
                    std::vector<Blow>{
                        {5, 0, SIGKILL}, {5, 1, SIGKILL}, {20, 0, SIGKILL}, {30, 1, SIGSTOP}}),
    [](const auto& param) {
      std::string name;
      for (const Blow& blow : param.param)
        name += (blow.signal_number == SIGKILL ? "Kill" : "Freeze") + std::to_string(blow.stage) +
                "After" + std::to_string(blow.after_step);
      return name;
    });

}  // namespace
}  // namespace coshard::test
