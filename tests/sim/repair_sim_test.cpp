// Rounds that lose nodes on the way, over thousands of seeds: as long as every stage keeps a
// replica the round goes on without a restart, every step commits over exactly its microbatches,
// and all that live end with the parameters of a loop that nothing disturbed. A failing seed is
// printed: run it alone with COSHARD_SIM_SEED=<seed>.
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "tests/sim/disturbance.h"

namespace coshard::simtest {
namespace {

using std::chrono_literals::operator""ms;

void expect_undisturbed_result(const Options& options, const VirtualRound& world) {
  EXPECT_EQ(difference(options, world), "") << world.describe();
}

void run_disturbed(std::uint64_t count, bool freeze) {
  std::uint64_t losses = 0, repaired = 0;
  for (const std::uint64_t seed : seeds(count)) {
    const Options options = crowded_options(seed);
    SCOPED_TRACE(shape_name(options));
    Rng rng(seed, 32);
    Disks disks;
    VirtualRound world(options, disks);
    world.spare_the_last();
    disturb(world, options, rng, freeze);
    world.run();
    expect_undisturbed_result(options, world);
    losses += world.losses();
    repaired += world.microbatches_repaired;
    if (testing::Test::HasFailure()) return;
  }
  std::printf("%llu losses, %llu microbatches repaired\n", static_cast<unsigned long long>(losses),
              static_cast<unsigned long long>(repaired));
  if (std::getenv("COSHARD_SIM_SEED") != nullptr) return;
  EXPECT_GT(losses, count);
  EXPECT_GT(repaired, count);
}

TEST(RepairSim, KilledNodesCostNothingButTime) { run_disturbed(400, false); }

TEST(RepairSim, FrozenAndThawedNodesDoNoHarm) { run_disturbed(400, true); }

/// Whoever misses some of an average that another replica has in full gets it there, and no unit is
/// done again for it.
TEST(RepairSim, AnAverageThatALiveReplicaHoldsIsFetched) {
  std::uint64_t losses = 0, fetched = 0;
  const auto all = seeds(400);
  for (const std::uint64_t seed : all) {
    const Options options = averaging_options(seed);
    SCOPED_TRACE(shape_name(options));
    Disks disks;
    VirtualRound world(options, disks);
    world.spare_the_last();
    world.kill_averaging(options.shape.stages);
    world.run();
    expect_undisturbed_result(options, world);
    losses += world.losses();
    fetched += world.averages_fetched;
    if (HasFailure()) return;
  }
  std::printf("%llu losses, %llu chunks from holders of an average\n",
              static_cast<unsigned long long>(losses), static_cast<unsigned long long>(fetched));
  if (all.size() == 1) return;
  EXPECT_GT(losses, all.size());
  EXPECT_GT(fetched, all.size() / 10);
}

/// New nodes come at any time, killed ones come back with their disks, thawed ones as soon as they
/// learn that they were given up; all the while others go.
TEST(RepairSim, NodesThatComeWhileTheRoundRunsEndWhereAllAre) {
  std::uint64_t joined = 0, losses = 0;
  for (const std::uint64_t seed : seeds(400)) {
    Options options = crowded_options(seed);
    Rng rng(seed, 34);
    options.replicas_max = options.shape.replicas + static_cast<std::uint32_t>(rng.below(2));
    options.extra_nodes = static_cast<std::uint32_t>(rng.below(4));
    options.steps = 30 + rng.below(30);
    SCOPED_TRACE(shape_name(options));
    Disks disks;
    VirtualRound world(options, disks);
    world.spare_the_last();
    disturb(world, options, rng, true);
    const std::uint32_t nodes = options.shape.stages * options.shape.replicas;
    for (std::uint32_t node = 0; node < nodes + options.extra_nodes; ++node)
      if (node >= nodes || rng.below(2) == 0)
        world.start_node(node, 1500ms + std::chrono::milliseconds(rng.below(10'000)));
    world.run();
    expect_undisturbed_result(options, world);
    joined += world.joined;
    losses += world.losses();
    if (HasFailure()) return;
  }
  std::printf("%llu losses, %llu nodes joined\n", static_cast<unsigned long long>(losses),
              static_cast<unsigned long long>(joined));
  if (std::getenv("COSHARD_SIM_SEED") == nullptr) {
    EXPECT_GT(joined, 400U);
  }
}

TEST(RepairSim, SlowNodesGiveBackWhatOthersDoSooner) {
  std::uint64_t given_back = 0;
  for (const std::uint64_t seed : seeds(200)) {
    const Options options = slow_options(seed);
    SCOPED_TRACE(shape_name(options));
    Rng rng(seed, 41);
    Disks disks;
    VirtualRound world(options, disks);
    slow_down(world, options, rng, 20, 400);
    world.run();
    expect_undisturbed_result(options, world);
    EXPECT_EQ(world.losses(), 0U) << "nobody is given up for being slow";
    given_back += world.units_given_back;
    if (HasFailure()) return;
  }
  std::printf("%llu units given back\n", static_cast<unsigned long long>(given_back));
  if (std::getenv("COSHARD_SIM_SEED") == nullptr) {
    EXPECT_GT(given_back, 100U);
  }
}

/// Two of six go; where they were of one stage, one of the other's three takes a place there.
TEST(RepairSim, AReplicaMovesWhereTwoWereLost) {
  std::uint64_t moved = 0;
  for (const std::uint64_t seed : seeds(60)) {
    Options options = crowded_options(seed);
    options.shape.stages = 2;
    options.shape.replicas = 3;
    options.slow_node = 1;
    options.steps = 100;
    options.may_move = true;
    SCOPED_TRACE(shape_name(options));
    Rng rng(seed, 42);
    Disks disks;
    VirtualRound world(options, disks);
    world.spare_the_last();
    world.kill_node(0, 1500ms);
    world.kill_node(1 + static_cast<std::uint32_t>(rng.below(5)), 1500ms);
    world.run();
    expect_undisturbed_result(options, world);
    std::vector<int> replicas(2);
    for (std::uint32_t node = 0; node < 6; ++node)
      if (world.is_member(node)) ++replicas.at(*world.stage_of(node));
    EXPECT_EQ(replicas, (std::vector<int>{2, 2})) << world.describe();
    moved += world.moved;
    if (HasFailure()) return;
  }
  std::printf("%llu replicas moved\n", static_cast<unsigned long long>(moved));
  if (std::getenv("COSHARD_SIM_SEED") == nullptr) {
    EXPECT_GT(moved, 10U);
  }
}

TEST(RepairSim, ANodeThatLeavesIsLetGoBetweenSteps) {
  for (const std::uint64_t seed : seeds(100)) {
    Options options = crowded_options(seed);
    SCOPED_TRACE(shape_name(options));
    Rng rng(seed, 33);
    Disks disks;
    VirtualRound world(options, disks);
    world.leave(0, 1500ms + std::chrono::milliseconds(rng.below(2000)));  // all are in
    world.run();
    expect_undisturbed_result(options, world);
    if (HasFailure()) return;
  }
}

}  // namespace
}  // namespace coshard::simtest
