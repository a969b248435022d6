// Choice of the next hop, and slots.
// SPDX-License-Identifier: Apache-2.0
#include "protocol/round/routing.h"

#include <gtest/gtest.h>

#include <array>
#include <deque>

#include "tests/unit/round/round_nodes.h"

namespace coshard::round {
namespace {

using std::chrono_literals::operator""ms;
using std::chrono_literals::operator""s;
constexpr TimePoint kStart{};

TEST(Router, ReplicaIPrefersPeerIAmongEquals) {
  for (std::uint32_t own = 0; own < 3; ++own) {
    Router router;
    router.set_peers({node(0), node(1), node(2)}, own);
    for (std::uint32_t peer = 0; peer < 3; ++peer) router.grant(node(peer), 1);
    EXPECT_EQ(router.choose(1, kStart), node(own));
  }
}

TEST(Router, NeverSendsMoreThanWasGranted) {
  Router router;
  router.set_peers({node(0), node(1)}, 0);
  EXPECT_FALSE(router.choose(1, kStart).has_value());
  router.grant(node(1), 2);
  router.grant(node(1), 1);  // old news
  router.grant(node(7), 5);  // no peer
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(router.choose(1, kStart), node(1));
    router.sent(node(1), kStart);
  }
  EXPECT_FALSE(router.choose(1, kStart).has_value());
  router.returned(node(1), kStart + 1s);
  EXPECT_FALSE(router.choose(1, kStart).has_value()) << "a gradient alone is no slot";
  router.grant(node(1), 3);
  EXPECT_EQ(router.choose(1, kStart), node(1));
}

TEST(Router, GrantsThatComeBeforeThePeersAreKnownAreKept) {
  Router router;
  router.grant(node(4), 2);
  router.set_peers({node(4)}, 0);
  EXPECT_EQ(router.choose(1, kStart), node(4));
}

TEST(Router, SharesFollowTheMeasuredRates) {
  // Three peers that take 10, 20 and 40 ms for a microbatch; slots never bind. One microbatch is
  // offered whenever fewer than 14 are out: shares approach 4 : 2 : 1.
  Router router;
  router.set_peers({node(0), node(1), node(2)}, 0);
  const std::array<Duration, 3> takes{10ms, 20ms, 40ms};
  std::array<std::deque<TimePoint>, 3> ends;
  std::array<int, 3> served{};
  for (std::uint32_t p = 0; p < 3; ++p) router.grant(node(p), 1'000'000);
  int out = 0;
  for (TimePoint now = kStart; now < kStart + 20s; now += 1ms) {
    for (std::uint32_t p = 0; p < 3; ++p)
      while (!ends[p].empty() && ends[p].front() <= now) {
        ends[p].pop_front();
        router.returned(node(p), now);
        ++served[p];
        --out;
      }
    for (; out < 14; ++out) {
      const NodeId to = *router.choose(1000, now);
      router.sent(to, now);
      for (std::uint32_t p = 0; p < 3; ++p)
        if (node(p) == to) ends[p].push_back((ends[p].empty() ? now : ends[p].back()) + takes[p]);
    }
  }
  EXPECT_NEAR(served[0] / static_cast<double>(served[1]), 2.0, 0.3);
  EXPECT_NEAR(served[0] / static_cast<double>(served[2]), 4.0, 0.8);
  EXPECT_GT(served[0] + served[1] + served[2], 3'200);  // of 3,500 that the three can do
  EXPECT_NEAR(*router.seconds_per_unit(node(2)), 0.040, 0.010);
}

TEST(SlotBook, SharesTheCapacityAndGivesEverybodyOne) {
  SlotBook slots;
  slots.open({node(0), node(1), node(2)}, 4);
  EXPECT_EQ(slots.total(node(0)), 2U);
  EXPECT_EQ(slots.total(node(1)), 1U);
  EXPECT_EQ(slots.total(node(2)), 1U);
  SlotBook crowded;
  crowded.open({node(0), node(1), node(2)}, 1);
  EXPECT_EQ(crowded.total(node(2)), 1U);
}

TEST(SlotBook, RefusesWhatHasNoSlotAndReturnsOnePerFinishedMicrobatch) {
  SlotBook slots;
  slots.open({node(0)}, 2);
  EXPECT_FALSE(slots.accept(node(5)));
  EXPECT_TRUE(slots.accept(node(0)));
  EXPECT_TRUE(slots.accept(node(0)));
  EXPECT_FALSE(slots.accept(node(0)));
  EXPECT_EQ(slots.held(node(0)), 2U);
  EXPECT_EQ(slots.finish(node(0)), 3U);
  EXPECT_TRUE(slots.accept(node(0)));
  EXPECT_FALSE(slots.accept(node(0)));
}

}  // namespace
}  // namespace coshard::round
