// The repair of whole steps: plans are followed by a model of the nodes, in whatever order things
// may happen, until nothing moves any more; then every unit must be in exactly one sum.
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <iostream>

#include "tests/unit/round/repair_model.h"

namespace coshard::round {
namespace {

TEST(PlanStep, EveryUnitIsInExactlyOneSumWhateverIsLostAndWhenever) {
  const std::uint64_t cases = wanted_cases(20'000);
  ModelCounts all;
  for (std::uint64_t seed = 0; seed < cases; ++seed) {
    RepairModel model(seed);
    const std::string fault = model.run();
    ASSERT_EQ(fault, "") << "seed " << seed << "\n" << model.story();
    all.add(model.counts());
  }
  std::cout << cases << " cases: " << all.losses << " losses, " << all.evictions << " evictions, "
            << all.plans << " plans, " << all.redone << " units redone, " << all.exact
            << " plans compared with the least\n";
  EXPECT_GT(all.plans, cases / 2);
  EXPECT_GT(all.exact, cases / 8);
}

}  // namespace
}  // namespace coshard::round
