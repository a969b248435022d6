// Links between real programs that go bad in the middle of a round: silent, one-way, slow, late,
// damaged, cut. Where nobody has to go nobody goes; where two cannot work with each other one of
// them goes; and the round comes to what an undisturbed one comes to.
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "tests/support/bad_links.h"
#include "tests/support/round_reference.h"

namespace coshard::test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr auto kPatience = seconds(120);
constexpr std::uint64_t kBadFrom = 5;  ///< step

/// Which links go bad: of node 0 (first stage) or 1 (last stage), to other nodes (or one of them
/// only), to the coordinator, or both.
struct Links {
  std::size_t node;
  std::optional<std::size_t> only_with = {};
  bool peers = true, home = true;
};
constexpr Links kOfAFirst{.node = 0};
constexpr Links kOfALast{.node = 1};
constexpr Links kWithTheCoordinator{.node = 0, .peers = false};
constexpr Links kOfNeighbours{.node = 0, .only_with = 1, .home = false};
constexpr Links kOfReplicas{.node = 0, .only_with = 2, .home = false};

struct Case {
  const char* name;
  Links links;
  LinkFaults out, in;             ///< as node `links.node` sees them
  std::uint64_t good_again_from;  ///< step; 0: never, and one node has to go
};

LinkFaults silent() {
  LinkFaults faults;
  faults.silent = true;
  return faults;
}
LinkFaults slow(std::uint64_t bits_per_second) {
  LinkFaults faults;
  faults.bytes_per_second = bits_per_second / 8;
  return faults;
}
LinkFaults late(double share, milliseconds by) {
  LinkFaults faults;
  faults.late_share = share;
  faults.late_by = by;
  return faults;
}
LinkFaults far(milliseconds delay, milliseconds jitter, double loss) {
  LinkFaults faults = lossy(loss);
  faults.delay = delay;
  faults.jitter = jitter;
  return faults;
}
LinkFaults damaged(double share) {
  LinkFaults faults;
  faults.damaged_share = share;
  return faults;
}
LinkFaults cut() {
  LinkFaults faults;
  faults.cut_over = 3000;  // a tensor or a chunk of gradients, in the middle
  return faults;
}

class LinkProcess : public testing::TestWithParam<Case> {
 protected:
  /// Makes the links of the case bad once step kBadFrom is committed.
  void start(const Links& links) {
    ASSERT_TRUE(round_.start_coordinator());
    const std::size_t other = links.only_with.value_or(links.node);
    std::vector<std::size_t> smallest;
    if (links.only_with)
      smallest = {links.node, other};
    else
      for (std::size_t i = 0; i < round_.seats(); ++i)
        if (i != links.node) smallest.push_back(i);
    write_keys(round_, smallest);
    links_.emplace(round_);
    ASSERT_TRUE(round_.start_nodes({{other, links_->handicap()}})) << round_.outputs();
    ASSERT_TRUE(round_.wait_for_step(kBadFrom, kPatience)) << round_.outputs();
    before_ = links_->counters();
  }

  /// `out` and `in` are as `links.node` sees them; the proxies of a pair are the other's.
  void spoil(const Links& links, const LinkFaults& out, const LinkFaults& in) {
    if (links.only_with) return links_->set_peers(in, out);
    if (links.peers) links_->set_peers(out, in);
    if (links.home) links_->set_home(out, in);
  }

  /// Once the coordinator has ended. Who was lost asks again, in vain where the link stays bad.
  bool was_lost(std::size_t node) {
    return round_.node(node).output().find("asks to be let in again") != std::string::npos ||
           round_.node(node).wait_exit(seconds(30)) != 0;
  }

  RoundFixture round_{
      {.stages = 2, .replicas = 3, .steps = 50, .microbatches = 8, .epoch_steps = 10}};
  std::optional<BadLinks> links_;
  FaultProxy::Counters before_;
};

TEST_P(LinkProcess, TheRoundGoesOnAsIfNothingHadBeen) {
  const Case& it = GetParam();
  ASSERT_NO_FATAL_FAILURE(start(it.links));
  spoil(it.links, it.out, it.in);
  std::set<std::size_t> struck;
  if (it.good_again_from > 0) {
    ASSERT_TRUE(round_.wait_for_step(it.good_again_from, kPatience)) << round_.outputs();
    spoil(it.links, {}, {});
  } else {
    ASSERT_EQ(round_.coordinator().wait_exit(kPatience), 0) << round_.outputs();
    for (const std::size_t node : {it.links.node, it.links.only_with.value_or(it.links.node)})
      if (was_lost(node)) struck.insert(node);
    EXPECT_EQ(struck.size(), 1U) << round_.outputs();
  }
  expect_survived(round_, struck);
  const FaultProxy::Counters after = links_->counters();
  EXPECT_EQ(after.late > before_.late, it.out.late_share > 0);
  EXPECT_EQ(after.damaged > before_.damaged, it.out.damaged_share > 0);
  EXPECT_EQ(after.cut > before_.cut, it.out.cut_over > 0);
}

INSTANTIATE_TEST_SUITE_P(
    Faults, LinkProcess,
    testing::Values(Case{"BlackHoleOfAFirst", kOfAFirst, silent(), silent(), 0},
                    Case{"BlackHoleOfALast", kOfALast, silent(), silent(), 0},
                    Case{"AFirstIsNotHeard", kOfAFirst, silent(), {}, 0},
                    Case{"ALastHearsNobody", kOfALast, {}, silent(), 0},
                    Case{"TheCoordinatorDoesNotHear", kWithTheCoordinator, silent(), {}, 0},
                    Case{"TheCoordinatorIsNotHeard", kWithTheCoordinator, {}, silent(), 0},
                    Case{"BlackHoleBetweenNeighbours", kOfNeighbours, silent(), silent(), 0},
                    Case{"OneWayToTheNext", kOfNeighbours, silent(), {}, 0},
                    Case{"OneWayFromTheNext", kOfNeighbours, {}, silent(), 0},
                    Case{"OneWayBetweenReplicas", kOfReplicas, silent(), {}, 0},
                    Case{"DamagedBytes", kOfALast, damaged(0.2), {}, 0},
                    Case{"CutWithinAMessageOfAFirst", kOfAFirst, cut(), {}, 0},
                    Case{"CutWithinAMessageOfALast", kOfALast, cut(), {}, 0},
                    Case{"OneMegabit", kOfAFirst, slow(1'000'000), slow(1'000'000), 15},
                    Case{"ThirtyPercentLate", kOfALast, late(0.3, seconds(2)), {}, 9},
                    Case{"OverAnOcean", kOfAFirst, far(milliseconds(80), milliseconds(40), 0.02),
                         far(milliseconds(80), milliseconds(40), 0.02), 15}),
    [](const auto& param) { return std::string(param.param.name); });

}  // namespace
}  // namespace coshard::test
