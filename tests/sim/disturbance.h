// Crowded rounds, and what may befall them while every stage keeps somebody.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "tests/sim/seeds.h"
#include "tests/sim/virtual_round.h"

namespace coshard::simtest {

inline Options crowded_options(std::uint64_t seed) {
  Options options = random_options(seed);
  Rng rng(seed, 31);
  options.shape.replicas = 2 + static_cast<std::uint32_t>(rng.below(2));
  options.steps = 4 + rng.below(5);
  if (rng.below(3) == 0) options.duplicates = 0.1;
  if (rng.below(3) == 0) options.control_loss = 0.05;
  if (rng.below(3) == 0) options.evictions = 0.3;
  options.own_clocks = rng.below(2) == 0;
  return options;
}

/// Rounds in which a replica that dies while its stage averages leaves two others.
inline Options averaging_options(std::uint64_t seed) {
  Options options = crowded_options(seed);
  options.shape.replicas = 3;
  options.shape.microbatches += 2;
  options.chunks += 3;
  return options;
}

/// Every replica of a stage but one may go, in any order, at any time. Which node holds which stage
/// is only known as the round runs: a node is spared when its stage has nobody else.
inline void disturb(VirtualRound& world, const Options& options, Rng& rng, bool freeze) {
  using std::chrono::milliseconds;
  const std::uint32_t nodes = options.shape.stages * options.shape.replicas;
  const std::uint32_t times = 1 + static_cast<std::uint32_t>(rng.below(4));
  for (std::uint32_t i = 0; i < times; ++i) {
    const auto node = static_cast<std::uint32_t>(rng.below(nodes));
    const Duration at = milliseconds(200 + rng.below(6000));
    if (freeze && rng.below(2) == 0)
      world.freeze_node(node, at, milliseconds(4000 + rng.below(6000)));
    else
      world.kill_node(node, at);
  }
}

/// Clocks leap, by moments that a busy process would not notice or by minutes.
inline void leap_clocks(VirtualRound& world, const Options& options, Rng& rng) {
  using std::chrono::milliseconds;
  const std::uint32_t nodes = options.shape.stages * options.shape.replicas;
  for (std::uint64_t times = rng.below(6); times > 0; --times) {
    const auto node = static_cast<std::uint32_t>(rng.below(nodes + 1));
    world.leap_clock(node == nodes ? VirtualRound::kCoordinator : node,
                     milliseconds(200 + rng.below(8000)),
                     milliseconds(rng.below(rng.below(2) == 0 ? 1000 : 600'000)));
  }
}

/// Some engines become slow for a while, once all are at work, as a box does that has something
/// else to do.
inline void slow_down(VirtualRound& world, const Options& options, Rng& rng, std::uint32_t times,
                      std::uint64_t longest_ms) {
  using std::chrono::milliseconds;
  const std::uint32_t nodes = options.shape.stages * options.shape.replicas;
  for (; times > 0; --times)
    world.slow_node(static_cast<std::uint32_t>(rng.below(nodes)),
                    milliseconds(2500 + rng.below(6000)), milliseconds(100 + rng.below(longest_ms)),
                    10 + static_cast<double>(rng.below(90)));
}

/// Rounds in which that happens often enough, and to nodes that hold enough, for units to be given
/// back.
inline Options slow_options(std::uint64_t seed) {
  Options options = crowded_options(seed);
  options.shape.replicas = 3;
  options.shape.microbatches = 12;
  options.steps += 30;
  options.slow_node = 1;
  return options;
}

/// What differs from the same round without disturbances, in a sentence; empty where nothing does.
inline std::string difference(const Options& options, const VirtualRound& world) {
  if (!world.errors.empty()) return world.errors.front();
  if (!world.finished) return "the round has not ended";
  // A report of the last checkpoint that is lost is not said again: its sender has left.
  if (options.control_loss == 0 && world.finished->reason != EndReason::kFinished)
    return "it ends: " + world.finished->text;
  if (world.committed.size() != options.steps)
    return "not all steps are committed: " + world.finished->text;
  std::set<std::uint64_t> skipped;  // each of them judged where it is caused
  for (const auto& record : world.committed)
    if (record.scalars.skip) skipped.insert(record.step().value);
  if (options.poisons.empty() && !skipped.empty()) return "an update is skipped";
  const auto expected = reference(options, options.steps, skipped);
  const std::uint32_t nodes = options.shape.stages * options.shape.replicas + options.extra_nodes;
  for (std::uint32_t node = 0; node < nodes; ++node) {
    const auto stage = world.stage_of(node);
    if (stage && world.is_member(node) && world.parameters_of(node) != expected[*stage])
      return "node " + std::to_string(node) + " ends with other parameters";
  }
  return "";
}

}  // namespace coshard::simtest
