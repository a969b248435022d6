// Everything at once: nodes are killed, frozen, started again and come anew, links are silent one
// way and then speak, messages come twice, late or never, kept tensors are gone, disks are slow.
// Every step commits over exactly its microbatches, and all end with the parameters of a loop that
// nothing disturbed. Clocks need no jumps: machines are told the time, and only the monotonic one.
// A failing seed prints the command that replays it.
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
  if (rng.below(3) == 0) options.checkpoint_us = 500'000;  // ten times that on a slow node
  if (rng.below(3) == 0) options.journal_us = 300'000;
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
  std::uint64_t losses = 0, joined = 0, repaired = 0, steps = 0;
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
    world.run(std::chrono::hours(1));
    ASSERT_EQ(difference(options, world), "") << world.describe();
    losses += world.losses();
    joined += world.joined;
    repaired += world.microbatches_repaired;
    steps += world.committed.size();
  }
  std::printf("%llu steps, %llu disturbances, %llu nodes joined, %llu microbatches repaired\n",
              static_cast<unsigned long long>(steps), static_cast<unsigned long long>(losses),
              static_cast<unsigned long long>(joined), static_cast<unsigned long long>(repaired));
  if (std::getenv("COSHARD_SIM_SEED") != nullptr) return;
  EXPECT_GT(losses, 1000U);
  EXPECT_GT(joined, 1000U);
  EXPECT_GT(repaired, 1000U);
}

}  // namespace
}  // namespace coshard::simtest
