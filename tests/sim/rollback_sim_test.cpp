// Rounds whose stages lose everybody, over many seeds: whoever lives goes back to the last complete
// checkpoint, the lost stage waits for one who holds its shard, and the same coordinator finishes
// the round. Every step commits over exactly its microbatches, all end where an undisturbed loop
// does, and what each owns is what its committed work earned, that of steps done twice included.
// A failing seed prints the command that replays it.
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <cstdio>

#include "tests/sim/credit_book.h"
#include "tests/sim/disturbance.h"

namespace coshard::simtest {
namespace {

using std::chrono::milliseconds;

Options fragile_options(std::uint64_t seed, Rng& rng) {
  Options options = crowded_options(seed);
  options.shape.replicas = 1 + static_cast<std::uint32_t>(rng.below(2));
  options.replicas_max = options.shape.replicas + static_cast<std::uint32_t>(rng.below(2));
  options.steps = 15 + rng.below(20);
  options.stage_patience = std::chrono::hours(1);
  options.control_loss = 0;  // who never hears that it was let in, and is given up, stays away
  if (rng.below(3) == 0) options.checkpoint_us = 500'000;
  return options;
}

/// Everybody of a node's stage may go with it, and all who go come back with what is on their
/// disks.
void lose_stages(VirtualRound& world, const Options& options, Rng& rng) {
  const std::uint32_t nodes = options.shape.stages * options.shape.replicas;
  for (std::uint64_t times = 1 + rng.below(4); times > 0; --times) {
    const auto first = static_cast<std::uint32_t>(rng.below(nodes));
    const auto together = 1 + static_cast<std::uint32_t>(rng.below(nodes));
    const Duration at = milliseconds(300 + rng.below(9000));
    for (std::uint32_t i = 0; i < together; ++i) {
      const std::uint32_t node = (first + i) % nodes;
      const Duration dies = at + milliseconds(rng.below(300));
      if (rng.below(4) == 0) {
        world.freeze_node(node, dies, milliseconds(4000 + rng.below(6000)));
      } else {
        world.kill_node(node, dies);
        world.start_node(node, dies + milliseconds(100 + rng.below(9000)));
      }
    }
  }
}

void run_fragile(std::uint64_t count, bool coordinator_too) {
  std::uint64_t rollbacks = 0, losses = 0;
  for (const std::uint64_t seed : seeds(count)) {
    Rng rng(seed, coordinator_too ? 52 : 51);
    Options options = fragile_options(seed, rng);
    SCOPED_TRACE(shape_name(options));
    Disks disks;
    CreditBook credits(options);
    VirtualRound world(options, disks);
    world.spare_nobody();
    world.witness = [&](const round::CoordinatorAction& action) { credits.see(action); };
    lose_stages(world, options, rng);
    if (coordinator_too)
      for (std::uint64_t times = 1 + rng.below(4); times > 0; --times)
        world.restart_coordinator(milliseconds(300 + rng.below(12'000)),
                                  milliseconds(rng.below(3000)));
    world.run(std::chrono::hours(1));
    ASSERT_EQ(difference(options, world), "") << world.describe();
    credits.recount(disks.journal);
    ASSERT_EQ(credits.audit(), "");
    rollbacks += world.rollbacks.size();
    losses += world.losses();
  }
  std::printf("%llu losses, %llu rollbacks\n", static_cast<unsigned long long>(losses),
              static_cast<unsigned long long>(rollbacks));
  if (std::getenv("COSHARD_SIM_SEED") != nullptr) return;
  EXPECT_GT(rollbacks, count / 2);
}

TEST(RollbackSim, TheRoundGoesBackAndEndsWhereALoopDoes) { run_fragile(600, false); }

TEST(RollbackSim, TheCoordinatorMayDieInTheMiddleOfIt) { run_fragile(600, true); }

/// One replica per stage, and what is lost is lost with its disk: its keeper gives it back.
TEST(RollbackSim, AKeeperGivesBackWhatWasLostWithItsDisk) {
  std::uint64_t rollbacks = 0, count = 0;
  for (const std::uint64_t seed : seeds(400)) {
    ++count;
    Rng rng(seed, 53);
    Options options = fragile_options(seed, rng);
    options.shape.stages = 2 + static_cast<std::uint32_t>(rng.below(2));
    options.shape.replicas = options.replicas_max = 1;
    options.stage_patience = std::chrono::minutes(5);
    options.disks_go_too = true;
    SCOPED_TRACE(shape_name(options));
    Disks disks;
    VirtualRound world(options, disks);
    world.spare_nobody();
    const auto node = static_cast<std::uint32_t>(rng.below(options.shape.stages));
    const Duration dies = milliseconds(1500 + rng.below(4000));
    world.kill_node(node, dies);
    world.start_node(node, dies + milliseconds(100 + rng.below(6000)));
    world.run(std::chrono::hours(1));
    ASSERT_TRUE(world.errors.empty()) << world.errors.front();
    ASSERT_TRUE(world.finished.has_value()) << world.describe();
    rollbacks += world.rollbacks.size();
    ASSERT_EQ(difference(options, world), "") << world.describe();
  }
  std::printf("%llu rollbacks\n", static_cast<unsigned long long>(rollbacks));
  if (std::getenv("COSHARD_SIM_SEED") != nullptr) return;
  EXPECT_GT(rollbacks, count / 3);
}

/// Everybody stops: by order of the coordinator, because somebody leaves, or for want of power.
enum class Stop : std::uint8_t { kOrdered, kLeaving, kPower };

void stop_everybody(VirtualRound& world, const Options& options, Stop how, Duration at) {
  if (how == Stop::kOrdered) return world.control(round::ControlVerb::kStop, at);
  if (how == Stop::kLeaving) return world.leave(0, at);
  world.kill_coordinator(at);
  for (std::uint32_t node = 0; node < options.shape.stages; ++node) world.kill_node(node, at);
}

/// One replica per stage; while all are stopped, one loses its disk, or is gone with it. What a
/// stop saved is not lost either: the round goes on where it stopped.
TEST(RollbackSim, AKeeperGivesBackWhatWasLostWhileEverybodyWasStopped) {
  std::uint64_t restored = 0, count = 0;
  for (const std::uint64_t seed : seeds(400)) {
    ++count;
    Rng rng(seed, 54);
    Options options = fragile_options(seed, rng);
    options.shape.stages = 2 + static_cast<std::uint32_t>(rng.below(2));
    options.shape.replicas = options.replicas_max = 1;
    SCOPED_TRACE(shape_name(options));
    Disks disks;
    const auto how = static_cast<Stop>(rng.below(3));
    VirtualRound stopped(options, disks);
    stop_everybody(stopped, options, how, milliseconds(1000 + rng.below(5000)));
    stopped.run();
    ASSERT_TRUE(stopped.errors.empty()) << stopped.errors.front();
    const round::JournalState journal = round::replay(disks.journal);
    if (!journal.checkpoint || journal.last_step.value == options.steps) continue;
    if (how != Stop::kPower) {
      ASSERT_EQ(journal.checkpoint->step, journal.last_step);
    }
    const auto lost = static_cast<std::uint32_t>(rng.below(options.shape.stages));
    disks.files[lost].clear();
    disks.sealed[lost].clear();
    options.extra_nodes = static_cast<std::uint32_t>(rng.below(2));
    VirtualRound resumed(options, disks);
    if (options.extra_nodes > 0) resumed.stay_away(lost);
    resumed.run(std::chrono::hours(1));
    ASSERT_TRUE(resumed.errors.empty()) << resumed.errors.front();
    ASSERT_TRUE(resumed.finished.has_value()) << resumed.describe();
    ASSERT_EQ(resumed.finished->reason, EndReason::kFinished) << resumed.finished->text;
    ASSERT_EQ(resumed.rollbacks.empty(), journal.checkpoint->step == journal.last_step);
    const auto expected = reference(options, options.steps);
    for (std::uint32_t node = 0; node < resumed.nodes(); ++node)
      if (const auto stage = resumed.stage_of(node)) {
        EXPECT_EQ(resumed.parameters_of(node), expected[*stage]) << "node " << node;
      }
    if (HasFailure()) return;
    ++restored;
  }
  std::printf("%llu stages given back\n", static_cast<unsigned long long>(restored));
  if (std::getenv("COSHARD_SIM_SEED") != nullptr) return;
  EXPECT_GT(restored, count / 2);
}

}  // namespace
}  // namespace coshard::simtest
