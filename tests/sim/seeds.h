// Which seeds a simulation runs, and the rounds that seeds stand for.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "tests/sim/virtual_round.h"

namespace coshard::simtest {

/// Seeds [1, count], or the one that COSHARD_SIM_SEED names. COSHARD_SIM_TIMES multiplies.
inline std::vector<std::uint64_t> seeds(std::uint64_t count) {
  if (const char* one = std::getenv("COSHARD_SIM_SEED")) return {std::strtoull(one, nullptr, 10)};
  if (const char* times = std::getenv("COSHARD_SIM_TIMES"))
    count *= std::strtoull(times, nullptr, 10);
  std::vector<std::uint64_t> all;
  for (std::uint64_t seed = 1; seed <= count; ++seed) all.push_back(seed);
  return all;
}

inline Options random_options(std::uint64_t seed) {
  Rng rng(seed, 99);
  Options options;
  options.seed = seed;
  options.shape.stages = 1 + static_cast<std::uint32_t>(rng.below(4));
  options.shape.replicas = 1 + static_cast<std::uint32_t>(rng.below(3));
  options.shape.microbatches = 1 + static_cast<std::uint32_t>(rng.below(8));
  options.shape.tokens_per_microbatch = 16;
  options.schedule =
      rng.below(2) == 0 ? round::Schedule::kGpipe : round::Schedule::kOneForwardOneBackward;
  options.steps = 1 + rng.below(5);
  options.ledger_epoch_steps = 1 + rng.below(3);
  options.chunks = 1 + static_cast<std::uint32_t>(rng.below(6));
  options.engine_depth = 1 + static_cast<std::uint32_t>(rng.below(2));
  options.in_flight_extra = static_cast<std::uint32_t>(rng.below(2));
  options.slow_node = rng.below(4) == 0 ? 10 : 1;
  return options;
}

/// The command that runs the seed of a failing test again.
inline std::string replay_of(std::uint64_t seed) {
  const auto* test = testing::UnitTest::GetInstance()->current_test_info();
  const std::string name = std::string(test->test_suite_name()) + "." + test->name();
  return "COSHARD_SIM_SEED=" + std::to_string(seed) + " " + testing::internal::GetArgvs().front() +
         " --gtest_filter=" + name;
}

inline std::string shape_name(const Options& options) {
  return replay_of(options.seed) + "\nseed " + std::to_string(options.seed) + ": " +
         std::to_string(options.shape.stages) + " stages, " +
         std::to_string(options.shape.replicas) + " replicas, " +
         std::to_string(options.shape.microbatches) + " microbatches, " +
         (options.schedule == round::Schedule::kGpipe ? "gpipe, " : "1f1b, ") +
         std::to_string(options.steps) + " steps";
}

}  // namespace coshard::simtest
