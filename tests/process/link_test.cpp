// Links between real programs that go bad in the middle of a round: silent, one-way, slow, late,
// damaged, cut. Where nobody has to go nobody goes; where two cannot work with each other one of
// them goes; and the round comes to what an undisturbed one comes to, also when a node dies with
// half of a message on the wire.
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

constexpr LinkFaults kGood{};
constexpr LinkFaults kSilent{.silent = true};
constexpr LinkFaults kOneMegabit{.bytes_per_second = 125'000};
constexpr LinkFaults kLate{.late_share = 0.3, .late_by = seconds(2)};
constexpr LinkFaults kDamaged{.damaged_share = 1};
constexpr LinkFaults kCut{.cut_over = 3000};  // chunks of matrices are longer
constexpr LinkFaults kOcean = [] {
  LinkFaults faults = lossy(0.02);
  faults.delay = milliseconds(80);
  faults.jitter = milliseconds(40);
  return faults;
}();

/// Of the node whose links go bad, or of one of the two. To be two seconds late may be held against
/// it: to wait would cost everybody's time. Neighbours need not use each other: tensors take
/// another replica; replicas of a stage average with each other in every step.
enum class Fate { kStays, kMayGo, kGoes };

struct Case {
  const char* name;
  Links links;
  LinkFaults out, in;  ///< as node `links.node` sees them
  Fate fate = Fate::kGoes;
  std::uint64_t bad_steps = 0;  ///< then the links are good again; 0: never
};

class LinkRound : public testing::Test {
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
    std::map<std::size_t, Handicap> in_order{{0, {}}, {1, {}}};
    in_order[other] = links_->handicap();
    ASSERT_TRUE(round_.start_nodes(in_order)) << round_.outputs();
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

class LinkProcess : public LinkRound, public testing::WithParamInterface<Case> {};

TEST_P(LinkProcess, TheRoundGoesOnAsIfNothingHadBeen) {
  const Case& it = GetParam();
  ASSERT_NO_FATAL_FAILURE(start(it.links));
  spoil(it.links, it.out, it.in);
  if (it.bad_steps > 0) {
    const std::uint64_t healed = round_.metrics().back().step + it.bad_steps;
    ASSERT_TRUE(round_.wait_for_step(healed, kPatience)) << round_.outputs();
    spoil(it.links, kGood, kGood);
  }
  ASSERT_EQ(round_.coordinator().wait_exit(kPatience), 0) << round_.outputs();
  std::set<std::size_t> struck;
  for (const std::size_t node : std::set{it.links.node, it.links.only_with.value_or(it.links.node)})
    if (was_lost(node)) struck.insert(node);
  EXPECT_TRUE(it.fate != Fate::kGoes || !struck.empty()) << round_.outputs();
  EXPECT_TRUE(it.fate != Fate::kStays || struck.empty()) << round_.outputs();
  expect_survived(round_, struck);
  const FaultProxy::Counters after = links_->counters();
  EXPECT_EQ(after.late > before_.late, it.out.late_share > 0);
  EXPECT_EQ(after.damaged > before_.damaged, it.out.damaged_share > 0);
  EXPECT_EQ(after.cut > before_.cut, it.out.cut_over + it.in.cut_over > 0);
}

INSTANTIATE_TEST_SUITE_P(
    Faults, LinkProcess,
    testing::Values(Case{"BlackHoleOfAFirst", kOfAFirst, kSilent, kSilent},
                    Case{"BlackHoleOfALast", kOfALast, kSilent, kSilent},
                    Case{"AFirstIsNotHeard", kOfAFirst, kSilent, kGood},
                    Case{"ALastHearsNobody", kOfALast, kGood, kSilent},
                    Case{"TheCoordinatorDoesNotHear", kWithTheCoordinator, kSilent, kGood},
                    Case{"TheCoordinatorIsNotHeard", kWithTheCoordinator, kGood, kSilent},
                    Case{"BlackHoleBetweenNeighbours", kOfNeighbours, kSilent, kSilent,
                         Fate::kMayGo},
                    Case{"OneWayToTheNext", kOfNeighbours, kSilent, kGood, Fate::kMayGo},
                    Case{"OneWayFromTheNext", kOfNeighbours, kGood, kSilent, Fate::kMayGo},
                    Case{"OneWayBetweenReplicas", kOfReplicas, kSilent, kGood},
                    Case{"DamagedBytes", kOfALast, kDamaged, kGood},
                    Case{"CutWithinAChunkToAReplica", kOfReplicas, kCut, kGood},
                    Case{"CutWithinAChunkFromAReplica", kOfReplicas, kGood, kCut},
                    Case{"OneMegabit", kOfAFirst, kOneMegabit, kOneMegabit, Fate::kStays, 10},
                    Case{"ThirtyPercentLate", kOfALast, kLate, kGood, Fate::kMayGo, 3},
                    Case{"OverAnOcean", kOfAFirst, kOcean, kOcean, Fate::kStays, 10}),
    [](const auto& param) { return std::string(param.param.name); });

/// Whose message is torn, on the way to whom.
struct Torn {
  const char* name;
  std::size_t from, to;
};

class TornSendProcess : public LinkRound, public testing::WithParamInterface<Torn> {};

/// Half of what it wrote is with the other when it dies. Activations, gradients and chunks of
/// matrices are longer than 3000 bytes.
TEST_P(TornSendProcess, WhoDiesInTheMiddleOfASendIsRepaired) {
  const Links links{.node = GetParam().from, .only_with = GetParam().to, .home = false};
  ASSERT_NO_FATAL_FAILURE(start(links));
  spoil(links, {.torn_over = 3000}, kGood);
  ASSERT_TRUE(links_->wait_for_torn(kPatience)) << round_.outputs();
  round_.node(links.node).signal(SIGKILL);
  ASSERT_EQ(round_.node(links.node).wait_exit(kPatience), 128 + SIGKILL);
  links_->reset_peers();
  expect_survived(round_, {links.node});
}

/// Node 0 and 2 hold the first stage, node 1 the last.
INSTANTIATE_TEST_SUITE_P(Sends, TornSendProcess,
                         testing::Values(Torn{"OfAnActivation", 0, 1}, Torn{"OfAGradient", 1, 0},
                                         Torn{"OfAChunk", 0, 2}),
                         [](const auto& param) { return std::string(param.param.name); });

}  // namespace
}  // namespace coshard::test
