// A node that runs out of something in the middle of a round: it goes by name, with the reason, and
// the round comes to what an undisturbed one comes to.
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "tests/support/round_fixture.h"
#include "tests/support/round_reference.h"

namespace coshard::test {
namespace {

using std::chrono::seconds;

constexpr auto kPatience = seconds(120);

class ScarcityProcess : public testing::TestWithParam<std::size_t> {
 protected:
  /// Node GetParam() holds that stage, 0 or 1.
  void expect_gone(const std::string& reason) {
    const std::size_t node = GetParam();
    expect_survived(round_, {node});
    const std::string name = "(stage " + std::to_string(node) + ", replica 0)";
    for (const std::string& part : {name + " cannot save its checkpoints: ", reason})
      EXPECT_NE(round_.coordinator().output().find(part), std::string::npos)
          << part << round_.outputs();
  }

  RoundFixture round_{
      {.stages = 2, .replicas = 3, .steps = 50, .microbatches = 8, .epoch_steps = 10}};
};

TEST_P(ScarcityProcess, AFullDiskTakesOneNodeOut) {
  ASSERT_TRUE(round_.start_coordinator());
  ASSERT_TRUE(round_.start_nodes({{GetParam(), {.file_bytes = 20'000}}})) << round_.outputs();
  expect_gone("File too large");
}

TEST_P(ScarcityProcess, ANodeAtItsLimitOfDescriptorsGoes) {
  ASSERT_TRUE(round_.start_coordinator());
  ASSERT_TRUE(round_.start_nodes({{GetParam(), {}}})) << round_.outputs();
  ASSERT_TRUE(round_.wait_for_step(2, kPatience)) << round_.outputs();
  round_.node(GetParam()).exhaust_descriptors();
  expect_gone("Too many open files");
}

INSTANTIATE_TEST_SUITE_P(Stages, ScarcityProcess, testing::Values(0, 1),
                         [](const auto& stage) { return "Stage" + std::to_string(stage.param); });

}  // namespace
}  // namespace coshard::test
