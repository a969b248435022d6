// Rounds of real programs that lose a whole stage: coordinator and survivors live on in their
// processes, the round goes back to its last complete checkpoint, says so and whom it waits for,
// and ends with the losses of a run that nothing disturbed; the ledger verifies.
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <csignal>
#include <ostream>

#include "tests/support/round_fixture.h"
#include "tests/support/round_reference.h"

namespace coshard::test {
namespace {

using std::chrono::seconds;

constexpr auto kPatience = seconds(240);

/// Who takes the lost stage's place.
enum class Heir {
  kSelf,     ///< the program that was killed, started again in its folder
  kThawed,   ///< it was only frozen
  kDisk,     ///< a node of another owner, with a copy of the lost one's checkpoints
  kNobodys,  ///< a node with nothing, where there is no checkpoint yet
};

struct Loss {
  const char* name;
  std::uint32_t replicas;
  std::uint64_t after_step;  ///< a checkpoint every ten
  Heir heir;
};

void PrintTo(const Loss& loss, std::ostream* out) { *out << loss.name; }

class RollbackProcess : public testing::TestWithParam<Loss> {
 protected:
  std::vector<std::size_t> nodes_of(std::uint32_t stage) {
    std::vector<std::size_t> nodes;
    for (std::size_t i = 0; i < round_.node_count(); ++i)
      if (round_.node_status(i, "stage") == std::to_string(stage)) nodes.push_back(i);
    return nodes;
  }
  /// The whole stage goes at once.
  void strike(const std::vector<std::size_t>& nodes) {
    const bool freeze = GetParam().heir == Heir::kThawed;
    for (const std::size_t i : nodes) round_.node(i).signal(freeze ? SIGSTOP : SIGKILL);
    for (const std::size_t i : nodes)
      if (!freeze) {
        ASSERT_TRUE(round_.node(i).wait_exit(seconds(30)).has_value());
      }
  }
  /// One of the lost is enough.
  void replace(const std::vector<std::size_t>& lost) {
    const std::size_t stranger = round_.node_count();
    const Path disk = round_.node_dir(lost[0]) / "checkpoints";
    switch (GetParam().heir) {
      case Heir::kSelf:
        round_.start_node(lost[0]);
        return;
      case Heir::kThawed:
        for (const std::size_t i : lost) round_.node(i).signal(SIGCONT);
        return;
      case Heir::kDisk:
        std::filesystem::create_directories(round_.node_dir(stranger));
        std::filesystem::copy(disk, round_.node_dir(stranger) / "checkpoints",
                              std::filesystem::copy_options::recursive);
        round_.start_node(stranger);
        return;
      case Heir::kNobodys:
        round_.start_node(stranger);
        return;
    }
  }
  bool coordinator_says(const std::string& text) {
    return wait_for_text(round_.coordinator().output_file(), text, seconds(30));
  }

  static constexpr std::uint64_t kSteps = 50;
  RoundFixture round_{{.stages = 2,
                       .replicas = GetParam().replicas,
                       .steps = kSteps,
                       .microbatches = 8,
                       .epoch_steps = GetParam().heir == Heir::kNobodys ? kSteps : 10}};
};

TEST_P(RollbackProcess, TheRoundGoesBackAndEndsAsIfNothingHadBeen) {
  ASSERT_TRUE(round_.start_all());
  ASSERT_TRUE(round_.wait_for_step(GetParam().after_step, kPatience)) << round_.outputs();
  const auto lost = nodes_of(1), survivors = nodes_of(0);
  ASSERT_EQ(lost.size(), GetParam().replicas);
  strike(lost);
  ASSERT_TRUE(coordinator_says("the round goes back to ")) << round_.outputs();
  ASSERT_TRUE(coordinator_says("waiting for a node of stage 1")) << round_.outputs();
  const std::string name = round_.node_status(lost[0], "node").substr(0, 8);
  if (GetParam().after_step > 10) {
    EXPECT_TRUE(coordinator_says("nobody who lives holds its shard of step ")) << round_.outputs();
    EXPECT_TRUE(coordinator_says("node " + name + " (replica ")) << round_.outputs();
  }
  replace(lost);
  ASSERT_EQ(round_.coordinator().wait_exit(kPatience), 0) << round_.outputs();
  for (const std::size_t i : survivors)
    EXPECT_EQ(round_.node(i).wait_exit(seconds(30)), 0) << "node " << i << round_.outputs();
  EXPECT_GT(round_.metrics().size(), kSteps) << "steps after the checkpoint were done again";
  expect_same_losses(round_, reference_run(round_.round(), round_.manifest()));
  const ledger::Accounts accounts = expect_verified(round_).accounts;
  EXPECT_EQ(accounts.totals().posted + accounts.totals().burnt, accounts.totals().cap);
  EXPECT_EQ(accounts.totals().pending, 0U);
  std::uint64_t units = 0;
  for (const ledger::EpochState& epoch : accounts.epochs())
    for (const ledger::NodeTotal& total : epoch.close.totals) units += total.units;
  EXPECT_EQ(units, round_.metrics().size() * 8 * 2) << "each execution of a step counts its units";
}

INSTANTIATE_TEST_SUITE_P(Losses, RollbackProcess,
                         testing::Values(Loss{"OneComesBack", 1, 25, Heir::kSelf},
                                         Loss{"OneThaws", 1, 15, Heir::kThawed},
                                         Loss{"ADiskComesBack", 1, 25, Heir::kDisk},
                                         Loss{"NothingWasSavedYet", 1, 5, Heir::kNobodys},
                                         Loss{"OneOfTwoComesBack", 2, 25, Heir::kSelf},
                                         Loss{"TwoThaw", 2, 12, Heir::kThawed}),
                         [](const auto& loss) { return std::string(loss.param.name); });

}  // namespace
}  // namespace coshard::test
