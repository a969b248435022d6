// Everything at once: nodes are killed, frozen, started again and come anew, links are silent one
// way and then speak, engines become slow, messages come twice, late or never, kept tensors are
// gone, disks are slow, boxes have clocks of their own, which leap. Every step commits over exactly
// its microbatches, and all end with the parameters of a loop that nothing disturbed. The same with
// a coordinator that dies at any instant, with a torn tail of its journal, or freezes; and with
// stages that are lost, whose rounds go on from a checkpoint. A failing seed prints the command
// that replays it.
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <cstdio>

#include "tests/sim/disturbance.h"

namespace coshard::simtest {
namespace {

using std::chrono::milliseconds;

Options chaotic_options(std::uint64_t seed, Rng& rng) {
  Options options = crowded_options(seed);
  options.replicas_max = options.shape.replicas + static_cast<std::uint32_t>(rng.below(2));
  options.extra_nodes = static_cast<std::uint32_t>(rng.below(3));
  options.steps = 20 + rng.below(30);
  if (rng.below(3) == 0) options.shape.microbatches += 6;  // what a slow node could give back
  if (rng.below(3) == 0) options.checkpoint_us = 500'000;  // ten times that on a slow node
  if (rng.below(3) == 0) options.journal_us = 300'000;
  options.may_move = rng.below(2) == 0;
  return options;
}

/// Links go silent, one way, between any two.
void block_links(VirtualRound& world, const Options& options, Rng& rng) {
  const std::uint32_t nodes = options.shape.stages * options.shape.replicas;
  const auto times = static_cast<std::uint32_t>(rng.below(3));
  for (std::uint32_t i = 0; i < times; ++i) {
    const auto from = static_cast<std::uint32_t>(rng.below(nodes));
    const auto to = rng.below(3) == 0 ? VirtualRound::kCoordinator
                                      : static_cast<std::uint32_t>(rng.below(nodes));
    world.block(from, to, milliseconds(500 + rng.below(8000)), milliseconds(100 + rng.below(8000)));
  }
}

void start_again(VirtualRound& world, const Options& options, Rng& rng) {
  const std::uint32_t nodes = options.shape.stages * options.shape.replicas;
  for (std::uint32_t node = 0; node < nodes + options.extra_nodes; ++node)
    if (node >= nodes || rng.below(2) == 0)
      world.start_node(node, milliseconds(1500 + rng.below(10'000)));
}

TEST(ChaosSim, EveryStepCommitsAndEverybodyEndsWhereALoopDoes) {
  std::uint64_t losses = 0, joined = 0, repaired = 0, steps = 0, given_back = 0;
  for (const std::uint64_t seed : seeds(1000)) {
    Rng rng(seed, 37);
    const Options options = chaotic_options(seed, rng);
    SCOPED_TRACE(shape_name(options));
    Disks disks;
    VirtualRound world(options, disks);
    world.spare_the_last();
    disturb(world, options, rng, true);
    block_links(world, options, rng);
    start_again(world, options, rng);
    slow_down(world, options, rng, 6, 3000);
    leap_clocks(world, options, rng);
    world.run(std::chrono::hours(1));
    ASSERT_EQ(difference(options, world), "") << world.describe();
    losses += world.losses();
    joined += world.joined;
    repaired += world.microbatches_repaired;
    steps += world.committed.size();
    given_back += world.units_given_back;
  }
  std::printf(
      "%llu steps, %llu disturbances, %llu nodes joined, %llu microbatches repaired, "
      "%llu units given back\n",
      static_cast<unsigned long long>(steps), static_cast<unsigned long long>(losses),
      static_cast<unsigned long long>(joined), static_cast<unsigned long long>(repaired),
      static_cast<unsigned long long>(given_back));
  if (std::getenv("COSHARD_SIM_SEED") != nullptr) return;
  EXPECT_GT(losses, 1000U);
  EXPECT_GT(joined, 1000U);
  EXPECT_GT(repaired, 1000U);
  EXPECT_GT(given_back, 20U);
}

/// Once all are at work, for a node that never was in is not waited for by the next coordinator.
void disturb_coordinator(VirtualRound& world, Rng& rng) {
  for (std::uint64_t times = 1 + rng.below(3); times > 0; --times) {
    const Duration at = milliseconds(3500 + rng.below(10'000));
    if (rng.below(4) == 0)
      world.freeze_coordinator(at, milliseconds(500 + rng.below(8000)));
    else
      world.restart_coordinator(at,
                                milliseconds(rng.below(2) == 0 ? rng.below(500) : rng.below(9000)));
  }
}

/// A node that dies while nobody is there to notice is known to be gone only when it is back: with
/// its stage's last other replica away as well, its round goes back to a checkpoint.
TEST(ChaosSim, TheSameWhileCoordinatorsDieAndFreeze) {
  std::uint64_t losses = 0, joined = 0, returns = 0, lives = 0;
  const auto all = seeds(1000);
  for (const std::uint64_t seed : all) {
    Rng rng(seed, 61);
    Options options = chaotic_options(seed, rng);
    options.coordinator_patience = std::chrono::minutes(5);
    SCOPED_TRACE(shape_name(options));
    Disks disks;
    for (int life = 0;; ++life) {
      ASSERT_LT(life, 6) << "resumed five times and not finished";
      ++lives;
      VirtualRound world(options, disks);
      if (life == 0) {
        world.spare_the_last();
        disturb(world, options, rng, true);
        block_links(world, options, rng);
        disturb_coordinator(world, rng);
        slow_down(world, options, rng, 6, 3000);
        leap_clocks(world, options, rng);
        for (std::uint32_t node = 0; node < world.nodes(); ++node)  // the first start needs all
          world.start_node(node, milliseconds(1500 + rng.below(10'000)));
      }
      world.run(std::chrono::hours(1));
      ASSERT_TRUE(world.errors.empty()) << world.errors.front() << "\n" << world.describe();
      ASSERT_TRUE(world.finished) << world.describe();
      losses += world.losses();
      joined += world.joined;
      returns += world.returns;
      if (world.finished->reason != EndReason::kFinished) {
        ASSERT_NE(world.finished->reason, EndReason::kInternal) << world.finished->text;
        continue;
      }
      const auto expected = reference(options, options.steps);
      for (std::uint32_t node = 0; node < world.nodes(); ++node)
        if (world.is_member(node)) {
          ASSERT_EQ(world.parameters_of(node), expected[*world.stage_of(node)])
              << "node " << node << "\n"
              << world.describe();
        }
      ASSERT_EQ(world.finished->last_step.value, options.steps);
      break;
    }
  }
  std::printf("%llu disturbances, %llu nodes joined, %llu returns, %llu lives\n",
              static_cast<unsigned long long>(losses), static_cast<unsigned long long>(joined),
              static_cast<unsigned long long>(returns), static_cast<unsigned long long>(lives));
  if (all.size() == 1) return;
  EXPECT_GT(losses, all.size());
  EXPECT_GT(returns, all.size() / 2);
}

}  // namespace
}  // namespace coshard::simtest
