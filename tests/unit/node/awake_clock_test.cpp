// Time in which nobody reads the clock is no time.
// SPDX-License-Identifier: Apache-2.0
#include "node/awake_clock.h"

#include <gtest/gtest.h>

namespace coshard::node {
namespace {

TEST(AwakeClock, TimeThatNobodyReadIsNotCounted) {
  ManualClock outer;
  const AwakeClock clock(outer, std::chrono::seconds(1));
  const TimePoint start = clock.now();
  outer.advance(std::chrono::seconds(1));
  EXPECT_EQ(clock.now() - start, std::chrono::seconds(1));
  outer.advance(std::chrono::seconds(30));
  EXPECT_EQ(clock.now() - start, std::chrono::seconds(1));
  outer.advance(std::chrono::milliseconds(250));
  EXPECT_EQ(clock.now() - start, std::chrono::milliseconds(1250));
}

}  // namespace
}  // namespace coshard::node
