// The round's machines over thousands of seeds: every step commits, every unit counts once, all
// replicas end with the parameters of a sequential loop, whatever the network does; losses are
// named in time and what was lost is done again from the journal. A failing seed is printed: run it
// alone
// with COSHARD_SIM_SEED=<seed>.
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

#include "tests/sim/seeds.h"
#include "tests/sim/virtual_round.h"

namespace coshard::simtest {
namespace {

using std::chrono_literals::operator""ms;
using std::chrono_literals::operator""s;

std::string first_error(const VirtualRound& world) {
  return world.errors.empty() ? "" : world.errors.front();
}

/// Every node that held a stage to the end has the parameters of the sequential loop.
void expect_reference(const Options& options, const VirtualRound& world, std::uint64_t steps) {
  const auto expected = reference(options, steps);
  for (std::uint32_t node = 0; node < options.shape.stages * options.shape.replicas; ++node)
    if (const auto stage = world.stage_of(node)) {
      EXPECT_EQ(world.parameters_of(node), expected[*stage]) << "node " << node;
    }
}

void expect_whole(const Options& options, const VirtualRound& world) {
  ASSERT_EQ(first_error(world), "") << world.describe();
  ASSERT_TRUE(world.finished.has_value());
  EXPECT_EQ(world.finished->reason, EndReason::kFinished) << world.finished->text;
  EXPECT_EQ(world.finished->last_step.value, options.steps);
  EXPECT_EQ(world.finished->resumable_step.value, options.steps);
  EXPECT_EQ(world.committed.size(), options.steps);
  expect_reference(options, world, options.steps);
}

/// Each committed step stands in exactly one epoch, with the digest of every stage.
void expect_epochs(const Options& options, const VirtualRound& world) {
  std::uint64_t next = 1;
  for (const auto& epoch : world.epochs)
    for (const auto& step : epoch.steps) {
      EXPECT_EQ(step.record.step().value, next++);
      const auto expected = reference(options, step.record.step().value);
      for (std::uint32_t stage = 0; stage < options.shape.stages; ++stage)
        EXPECT_EQ(step.digests[stage],
                  fingerprint_of(expected[stage], step.record.scalars.fingerprint_key));
    }
  EXPECT_EQ(next, options.steps + 1);
}

TEST(RoundSim, EveryStepCommitsAndEveryReplicaHoldsTheReference) {
  for (const std::uint64_t seed : seeds(1500)) {
    const Options options = random_options(seed);
    SCOPED_TRACE(shape_name(options));
    Disks disks;
    VirtualRound world(options, disks);
    world.run();
    expect_whole(options, world);
    expect_epochs(options, world);
    if (HasFailure()) return;
  }
}

TEST(RoundSim, LateDuplicatesOfEveryMessageDoNoHarm) {
  for (const std::uint64_t seed : seeds(700)) {
    Options options = random_options(seed);
    options.duplicates = 0.3;
    SCOPED_TRACE(shape_name(options));
    Disks disks;
    VirtualRound world(options, disks);
    world.run();
    expect_whole(options, world);
    expect_epochs(options, world);
    if (HasFailure()) return;
  }
}

TEST(RoundSim, LostControlMessagesAreSaidAgain) {
  for (const std::uint64_t seed : seeds(300)) {
    Options options = random_options(seed);
    options.control_loss = 0.1;
    options.duplicates = 0.1;
    SCOPED_TRACE(shape_name(options));
    Disks disks;
    VirtualRound world(options, disks);
    world.run();
    ASSERT_EQ(first_error(world), "") << world.describe();
    EXPECT_EQ(world.committed.size(), options.steps);
    expect_reference(options, world, options.steps);
    if (HasFailure()) return;
  }
}

TEST(RoundSim, JunkFromAnybodyNeverCrashesAMachine) {
  std::uint64_t events = 0;
  for (const std::uint64_t seed : seeds(1000)) {
    Options options = random_options(seed);
    options.junk = seed % 2 == 0 ? 0.02 : 0.3;
    SCOPED_TRACE(shape_name(options));
    Disks disks;
    VirtualRound world(options, disks);
    world.run(60s);  // it may end early, or stand still; the machines' own checks must hold
    events += world.events;
  }
  if (std::getenv("COSHARD_SIM_SEED") == nullptr) {
    EXPECT_GT(events, 100'000U) << "most rounds do not end at once";
  }
}

/// Runs further lives of the round until it is finished.
void resume_until_finished(const Options& options, Disks& disks) {
  for (int life = 0; life < 5; ++life) {
    VirtualRound world(options, disks);
    world.run();
    ASSERT_EQ(first_error(world), "") << world.describe();
    ASSERT_TRUE(world.finished.has_value());
    if (world.finished->reason != EndReason::kFinished) continue;
    EXPECT_EQ(world.finished->last_step.value, options.steps);
    const auto expected = reference(options, options.steps);
    for (const auto& [node, files] : disks.files)
      for (const auto& file : files)
        if (file.held.step.value == options.steps) {
          EXPECT_EQ(file.parameters, expected[file.held.stage.value]);
        }
    const auto checkpoint = round::replay(disks.journal).checkpoint;
    ASSERT_TRUE(checkpoint.has_value());
    EXPECT_EQ(checkpoint->step.value, options.steps);
    return;
  }
  FAIL() << "the round was resumed five times and is not finished";
}

/// The last executions of the steps in the journal, each counted in exactly one closed epoch.
void expect_journal_settled(const Options& options, const Disks& disks) {
  const round::JournalState state = round::replay(disks.journal);
  EXPECT_TRUE(state.unclosed.empty());
  EXPECT_EQ(state.last_step.value, options.steps);
}

TEST(RoundSim, TheOnlyNodeOfAStageIsNamedWithinFiveSecondsAndTheRoundGoesOnFromTheJournal) {
  int losses = 0;
  for (const std::uint64_t seed : seeds(400)) {
    Options options = random_options(seed);
    options.steps += 3;
    options.shape.replicas = 1;
    SCOPED_TRACE(shape_name(options));
    Rng rng(seed, 5);
    Disks disks;
    VirtualRound world(options, disks);
    const auto nodes = options.shape.stages;
    world.kill_node(static_cast<std::uint32_t>(rng.below(nodes)),
                    300ms + std::chrono::milliseconds(rng.below(1500)));
    world.run();
    ASSERT_EQ(first_error(world), "") << world.describe();
    ASSERT_TRUE(world.finished.has_value());
    const bool ended_by_loss = world.finished->reason == EndReason::kNodeLost;
    if (ended_by_loss && world.killed_at) {
      ++losses;
      ASSERT_TRUE(world.named_at.has_value()) << world.finished->text;
      EXPECT_LT(*world.named_at - *world.killed_at, 5s);
      EXPECT_NE(world.finished->text.find(world.killed_name()), std::string::npos);
    }
    if (world.finished->reason != EndReason::kFinished) {
      resume_until_finished(options, disks);
      expect_journal_settled(options, disks);
    }
    if (HasFailure()) return;
  }
  if (std::getenv("COSHARD_SIM_SEED") == nullptr) {
    EXPECT_GT(losses, 200);
  }
}

TEST(RoundSim, ADeadCoordinatorIsContinuedFromItsJournal) {
  for (const std::uint64_t seed : seeds(300)) {
    Options options = random_options(seed);
    options.steps += 3;
    SCOPED_TRACE(shape_name(options));
    Rng rng(seed, 6);
    Disks disks;
    VirtualRound world(options, disks);
    world.kill_coordinator(300ms + std::chrono::milliseconds(rng.below(2500)));
    world.run();
    ASSERT_EQ(first_error(world), "") << world.describe();
    if (world.finished && world.finished->reason == EndReason::kFinished) continue;
    resume_until_finished(options, disks);
    expect_journal_settled(options, disks);
    if (HasFailure()) return;
  }
}

TEST(RoundSim, AStoppedRoundGoesOnWhereItStopped) {
  for (const std::uint64_t seed : seeds(200)) {
    Options options = random_options(seed);
    options.steps += 3;
    SCOPED_TRACE(shape_name(options));
    Rng rng(seed, 7);
    Disks disks;
    const auto at = 300ms + std::chrono::milliseconds(rng.below(1500));
    const bool leave = rng.below(2) == 0;
    if (leave) options.shape.replicas = 1;  // its stage cannot do without it
    VirtualRound world(options, disks);
    if (leave)
      world.leave(0, at);
    else
      world.control(round::ControlVerb::kStop, at);
    world.run();
    ASSERT_EQ(first_error(world), "") << world.describe();
    ASSERT_TRUE(world.finished.has_value());
    EXPECT_EQ(world.finished->resumable_step, world.finished->last_step);
    expect_reference(options, world, world.finished->last_step.value);
    if (world.finished->reason != EndReason::kFinished) resume_until_finished(options, disks);
    if (HasFailure()) return;
  }
}

TEST(RoundSim, PauseHoldsStepsBackAndFinishEndsForGood) {
  Options options = random_options(3);
  options.shape = {2, 2, 4, 16};
  options.steps = 50;
  Disks disks;
  VirtualRound world(options, disks);
  world.control(round::ControlVerb::kPause, 1s);
  world.control(round::ControlVerb::kResume, 20s);
  world.control(round::ControlVerb::kFinish, 21s);
  world.run();
  ASSERT_EQ(first_error(world), "") << world.describe();
  EXPECT_EQ(world.finished->reason, EndReason::kFinished);
  EXPECT_LT(world.committed.size(), 50U);
  expect_reference(options, world, world.committed.size());
  VirtualRound again(options, disks);  // finished is finished
  again.run(5s);
  ASSERT_TRUE(again.finished.has_value());
  EXPECT_EQ(again.finished->last_step.value, world.committed.size());
  EXPECT_TRUE(again.committed.empty());
}

TEST(RoundSim, SkippedUpdatesLeaveParametersAloneAndThreeInARowPauseTheRound) {
  Options options = random_options(4);
  options.shape = {2, 2, 4, 16};
  options.steps = 9;
  options.not_finite_from = 2;
  options.not_finite_to = 3;
  {
    Disks disks;
    VirtualRound world(options, disks);
    world.run();
    expect_whole(options, world);
    EXPECT_TRUE(world.committed[1].scalars.skip);
    EXPECT_FALSE(world.committed[3].scalars.skip);
  }
  options.not_finite_to = 9;
  Disks disks;
  VirtualRound world(options, disks);
  std::vector<std::uint64_t> paused_after;
  world.witness = [&](const round::CoordinatorAction& action) {
    const auto* note = std::get_if<round::Note>(&action);
    if (note != nullptr && note->text.find("the round pauses: 3 updates in a row") == 0)
      paused_after.push_back(world.committed.back().step().value);
  };
  world.control(round::ControlVerb::kResume, 60s);
  world.control(round::ControlVerb::kStop, 120s);
  world.run();
  ASSERT_EQ(first_error(world), "") << world.describe();
  EXPECT_EQ(paused_after, (std::vector<std::uint64_t>{4, 7}));
  EXPECT_EQ(world.finished->reason, EndReason::kStopped);
  EXPECT_EQ(world.finished->resumable_step.value, 7U);
}

TEST(RoundSim, NodesBeyondTheShapeAreRefusedPolitely) {
  Options options = random_options(5);
  options.shape = {2, 2, 4, 16};
  options.extra_nodes = 3;
  Disks disks;
  VirtualRound world(options, disks);
  world.run();
  ASSERT_EQ(first_error(world), "") << world.describe();
  EXPECT_EQ(world.finished->reason, EndReason::kFinished);
  EXPECT_EQ(world.refused, 3U);
}

}  // namespace
}  // namespace coshard::simtest
