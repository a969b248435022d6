// Units that are not finite, over many seeds: at one replica, and another does them as if nothing
// had been; at all of them, and the step commits every unit and no update. A failing seed prints
// the command that replays it.
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>

#include "tests/sim/disturbance.h"

namespace coshard::simtest {
namespace {

using std::chrono::milliseconds;

/// Never three steps in a row: that would pause the round.
Poison any_poison(const Options& options, Rng& rng) {
  Poison poison;
  poison.step = 1 + rng.below(options.steps);
  if (poison.step % 3 == 0) --poison.step;
  poison.stage = static_cast<std::uint32_t>(rng.below(options.shape.stages));
  poison.microbatch = static_cast<std::uint32_t>(rng.below(options.shape.microbatches));
  return poison;
}

/// What was not finite at one replica is not at the next, so that no two may share a unit.
std::vector<Poison> poisons_of_some(const Options& options, Rng& rng) {
  std::vector<Poison> poisons;
  const std::uint32_t nodes = options.shape.stages * options.shape.replicas;
  for (std::uint64_t times = 4 + rng.below(20); times > 0; --times) {
    Poison poison = any_poison(options, rng);
    poison.node = static_cast<std::uint32_t>(rng.below(nodes));
    const bool alone = std::ranges::none_of(poisons, [&](const Poison& other) {
      return other.step == poison.step && other.stage == poison.stage &&
             other.microbatch == poison.microbatch;
    });
    if (alone) poisons.push_back(poison);
  }
  return poisons;
}

struct Told {
  std::uint64_t refused = 0, repaired = 0;
  void count(VirtualRound& world) {
    world.witness = [this](const round::CoordinatorAction& action) {
      const auto* note = std::get_if<round::Note>(&action);
      if (note != nullptr && note->text.find(" refused microbatch ") != std::string::npos)
        ++refused;
    };
  }
};

TEST(PoisonSim, WhatIsNotFiniteAtOneReplicaIsDoneByAnother) {
  Told told;
  const auto all = seeds(400);
  for (const std::uint64_t seed : all) {
    Options options = crowded_options(seed);
    Rng rng(seed, 51);
    options.poisons = poisons_of_some(options, rng);
    SCOPED_TRACE(shape_name(options));
    Disks disks;
    VirtualRound world(options, disks);
    world.spare_the_last();
    told.count(world);
    world.run();
    ASSERT_EQ(difference(options, world), "") << world.describe();
    for (const auto& record : world.committed)
      EXPECT_FALSE(record.scalars.skip) << "step " << record.step().value;
    EXPECT_EQ(world.losses(), 0U);
    told.repaired += world.microbatches_repaired;
    if (HasFailure()) return;
  }
  std::printf("%llu refusals noted, %llu microbatches done again\n",
              static_cast<unsigned long long>(told.refused),
              static_cast<unsigned long long>(told.repaired));
  if (all.size() == 1) return;
  EXPECT_GT(told.refused, all.size());
  EXPECT_GT(told.repaired, all.size());
}

bool is_poisoned_everywhere(const Options& options, std::uint64_t step) {
  return std::ranges::any_of(options.poisons, [&](const Poison& poison) {
    return poison.step == step && !poison.node && !poison.backward;
  });
}
bool is_poisoned(const Options& options, std::uint64_t step) {
  return std::ranges::any_of(options.poisons,
                             [&](const Poison& poison) { return poison.step == step; });
}

/// Everywhere or at one; before or after the sum has it; with one replica or more; while nodes die,
/// freeze and come back and the coordinator is replaced.
TEST(PoisonSim, WhatIsNotFiniteAnywhereIsCommittedAsASkippedUpdate) {
  std::uint64_t skipped = 0, losses = 0;
  const auto all = seeds(400);
  for (const std::uint64_t seed : all) {
    Options options = crowded_options(seed);
    Rng rng(seed, 52);
    if (rng.below(4) == 0) options.shape.replicas = 1;
    options.replicas_max = options.shape.replicas;
    options.steps += 4;
    options.poisons = poisons_of_some(options, rng);
    for (std::uint64_t times = 1 + rng.below(4); times > 0; --times)
      options.poisons.push_back(any_poison(options, rng));
    // Whose sum is spoilt is fenced: the one that is left may not be disturbed as well.
    const bool disturbed = rng.below(2) == 0;
    for (Poison& poison : options.poisons)
      poison.backward = !disturbed && poison.stage + 1 < options.shape.stages && rng.below(4) == 0;
    SCOPED_TRACE(shape_name(options));
    Disks disks;
    VirtualRound world(options, disks);
    world.spare_the_last();
    if (disturbed) disturb(world, options, rng, true);
    for (std::uint32_t node = 0; node < options.shape.stages * options.shape.replicas; ++node)
      world.start_node(node, milliseconds(1500 + rng.below(10'000)));
    if (rng.below(3) == 0)
      world.restart_coordinator(milliseconds(2500 + rng.below(4000)), milliseconds(rng.below(500)));
    world.run(std::chrono::hours(1));
    ASSERT_EQ(difference(options, world), "") << world.describe();
    for (const auto& record : world.committed) {
      const std::uint64_t step = record.step().value;
      if (record.scalars.skip) {
        EXPECT_TRUE(is_poisoned(options, step)) << "step " << step;
      }
      if (is_poisoned_everywhere(options, step)) {
        EXPECT_TRUE(record.scalars.skip) << "step " << step;
      }
      skipped += record.scalars.skip ? 1 : 0;
    }
    losses += world.losses();
    if (HasFailure()) return;
  }
  std::printf("%llu updates skipped, %llu disturbances\n", static_cast<unsigned long long>(skipped),
              static_cast<unsigned long long>(losses));
  if (all.size() == 1) return;
  EXPECT_GT(skipped, all.size());
}

}  // namespace
}  // namespace coshard::simtest
