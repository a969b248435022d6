// Rounds whose coordinator dies on the way, over many seeds: another one takes over its journal and
// the open step goes on, without any node being started again; a coordinator that was replaced is
// obeyed by nobody. A failing seed is printed: run it alone with COSHARD_SIM_SEED=<seed>.
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "tests/sim/seeds.h"
#include "tests/sim/virtual_round.h"

namespace coshard::simtest {
namespace {

using std::chrono_literals::operator""ms;
using std::chrono_literals::operator""s;

Options long_options(std::uint64_t seed) {
  Options options = random_options(seed);
  Rng rng(seed, 41);
  options.steps = 4 + rng.below(5);
  if (rng.below(3) == 0) options.duplicates = 0.1;
  if (rng.below(3) == 0) options.evictions = 0.3;
  return options;
}

/// Any instant of the round; another coordinator soon, or after more than a silence.
void restart(VirtualRound& world, Rng& rng, std::uint64_t from_ms) {
  world.restart_coordinator(
      std::chrono::milliseconds(from_ms + rng.below(6000)),
      std::chrono::milliseconds(rng.below(2) == 0 ? rng.below(500) : rng.below(9000)));
}

void expect_undisturbed_result(const Options& options, const VirtualRound& world) {
  ASSERT_TRUE(world.errors.empty()) << world.errors.front() << "\n" << world.describe();
  ASSERT_TRUE(world.finished.has_value()) << world.describe();
  EXPECT_EQ(world.finished->reason, EndReason::kFinished) << world.finished->text;
  EXPECT_EQ(world.committed.size(), options.steps);
  EXPECT_EQ(world.refused, 0U);
  const auto expected = reference(options, options.steps);
  for (std::uint32_t node = 0; node < options.shape.stages * options.shape.replicas; ++node)
    EXPECT_EQ(world.parameters_of(node), expected[world.stage_of(node).value()]) << "node " << node;
}

/// Each committed step stands in exactly one epoch, with the digest of every stage.
void expect_epochs(const Options& options, const VirtualRound& world) {
  std::uint64_t next = 1;
  for (const auto& epoch : world.epochs)
    for (const auto& step : epoch.steps) {
      EXPECT_EQ(step.record.step().value, next++);
      const auto expected = reference(options, step.record.step().value);
      for (std::uint32_t stage = 0; stage < options.shape.stages; ++stage)
        EXPECT_EQ(step.digests.at(stage),
                  fingerprint_of(expected[stage], step.record.scalars.fingerprint_key))
            << "step " << step.record.step().value << " stage " << stage;
    }
  EXPECT_EQ(next, options.steps + 1);
}

TEST(ReturnSim, TheOpenStepGoesOnWheneverTheCoordinatorDies) {
  std::uint64_t returns = 0;
  const auto all = seeds(600);
  for (const std::uint64_t seed : all) {
    const Options options = long_options(seed);
    SCOPED_TRACE(shape_name(options));
    Rng rng(seed, 42);
    Disks disks;
    VirtualRound world(options, disks);
    for (std::uint64_t times = 1 + rng.below(3); times > 0; --times) restart(world, rng, 0);
    world.run();
    expect_undisturbed_result(options, world);
    EXPECT_TRUE(world.rollbacks.empty());
    expect_epochs(options, world);
    returns += world.returns;
    if (HasFailure()) return;
  }
  std::printf("%llu returns\n", static_cast<unsigned long long>(returns));
  if (all.size() > 1) {
    EXPECT_GT(returns, all.size() / 2);
  }
}

/// Nodes die or freeze as well once all are at work, before, while or after the coordinator is
/// away.
TEST(ReturnSim, NodesMayDieMeanwhile) {
  std::uint64_t returns = 0, losses = 0;
  const auto all = seeds(600);
  for (const std::uint64_t seed : all) {
    Options options = long_options(seed);
    Rng rng(seed, 43);
    options.steps += 8;
    options.shape.replicas = 2 + static_cast<std::uint32_t>(rng.below(2));
    if (rng.below(3) == 0) options.control_loss = 0.05;
    SCOPED_TRACE(shape_name(options));
    Disks disks;
    VirtualRound world(options, disks);
    world.spare_the_last();
    for (std::uint64_t times = 1 + rng.below(2); times > 0; --times) restart(world, rng, 2500);
    for (std::uint64_t times = 1 + rng.below(3); times > 0; --times) {
      const auto node = static_cast<std::uint32_t>(
          rng.below(std::uint64_t{options.shape.stages} * options.shape.replicas));
      const Duration at = 2500ms + std::chrono::milliseconds(rng.below(8000));
      if (rng.below(2) == 0)
        world.kill_node(node, at);
      else
        world.freeze_node(node, at, std::chrono::milliseconds(4000 + rng.below(6000)));
    }
    world.run();
    ASSERT_TRUE(world.errors.empty()) << world.errors.front() << "\n" << world.describe();
    ASSERT_TRUE(world.finished.has_value()) << world.describe();
    if (world.finished->reason == EndReason::kFinished) {
      EXPECT_EQ(world.committed.size(), options.steps);
      const auto expected = reference(options, options.steps);
      for (std::uint32_t node = 0; node < options.shape.stages * options.shape.replicas; ++node)
        if (world.is_member(node)) {
          EXPECT_EQ(world.parameters_of(node), expected[world.stage_of(node).value()]);
        }
    } else if (options.control_loss == 0) {
      ADD_FAILURE() << world.finished->text;
    }
    returns += world.returns;
    losses += world.losses();
    if (HasFailure()) return;
  }
  std::printf("%llu returns, %llu losses\n", static_cast<unsigned long long>(returns),
              static_cast<unsigned long long>(losses));
  if (all.size() > 1) {
    EXPECT_GT(returns, all.size() / 2);
    EXPECT_GT(losses, all.size() / 2);
  }
}

/// While two coordinators live, each reached by some of the nodes, no step is gone on from by two
/// nodes with different commits of it; once everybody has come to the second, it finishes the
/// round, unless the first one had shut a node out or has committed what the second does not know.
TEST(ReturnSim, TwoCoordinatorsNeverBothCommitAStep) {
  std::uint64_t finished = 0, first_went_on = 0;
  const auto all = seeds(600);
  for (const std::uint64_t seed : all) {
    Options options = long_options(seed);
    options.steps += 8;
    options.duplicates = 0;
    SCOPED_TRACE(shape_name(options));
    Rng rng(seed, 44);
    Disks disks;
    VirtualRound world(options, disks);
    world.split_coordinator(2500ms + std::chrono::milliseconds(rng.below(1500)));
    world.stand_still_after(30s);
    world.run();
    ASSERT_TRUE(world.errors.empty()) << world.errors.front() << "\n" << world.describe();
    if (world.finished && world.finished->reason == EndReason::kFinished) {
      ++finished;
      EXPECT_EQ(world.committed.size(), options.steps);
    }
    if (world.commits_of_first > 0) ++first_went_on;
    if (HasFailure()) return;
  }
  std::printf("%llu finished, the first went on in %llu\n",
              static_cast<unsigned long long>(finished),
              static_cast<unsigned long long>(first_went_on));
  if (all.size() > 1) {
    EXPECT_GT(finished, all.size() / 20);
    EXPECT_GT(first_went_on, all.size() / 20);
  }
}

}  // namespace
}  // namespace coshard::simtest
