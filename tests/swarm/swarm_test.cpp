// Whole nodes in one process: the loss falls as in one process, a loss is named and survived, and
// the ledger adds up. How it works: tests/swarm/swarm.h.
// SPDX-License-Identifier: Apache-2.0
#include "tests/swarm/swarm.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>

#include "tests/support/round_reference.h"

namespace coshard::test {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;

/// Other delays, keys and nonces for all tests: COSHARD_SWARM_SEED=17 build/dev/bin/swarm_test.
std::uint64_t seed_of(std::uint64_t test) {
  const char* const chosen = std::getenv("COSHARD_SWARM_SEED");
  return test + (chosen == nullptr ? 0 : 1000 * std::strtoull(chosen, nullptr, 10));
}

/// Virtual: what a round of these tests needs many times over.
constexpr minutes kPatience{10};

void expect_finished(Swarm& swarm) {
  ASSERT_TRUE(swarm.run_to_end(kPatience)) << "after step " << swarm.last_step().value;
  const node::CoordinatorOutcome& outcome = swarm.coordinator().net->outcome();
  ASSERT_TRUE(outcome.finished) << (outcome.error ? outcome.error->message : "");
  EXPECT_EQ(outcome.finished->reason, EndReason::kFinished) << outcome.finished->text;
  EXPECT_EQ(outcome.finished->last_step.value, swarm.folder().round().training.steps);
  for (std::size_t i = 0; i < swarm.folder().seats(); ++i) {
    const auto& ended = swarm.node(i)->net->outcome().ended;
    ASSERT_TRUE(ended) << "node " << i;
    EXPECT_EQ(ended->reason, EndReason::kFinished) << "node " << i << ": " << ended->text;
  }
}

/// Every unit that was issued belongs to somebody, and what was not is burnt.
void expect_units_add_up(const ledger::VerifiedLedger& log, const node::RoundFile& round) {
  const ledger::UnitTotals totals = log.accounts.totals();
  std::uint64_t owned = 0;
  for (const auto& [account, balance] : log.accounts.balances()) owned += balance.posted;
  std::map<LedgerEpoch, std::uint64_t> credited;  // the last word on each epoch
  std::uint64_t issued = 0;
  for (const ledger::VerifiedEntry& entry : log.entries) {
    if (const auto* credit = std::get_if<ledger::Credit>(&entry.body.leaf)) {
      credited[credit->epoch] = 0;
      for (const ledger::CreditLine& line : credit->lines) credited[credit->epoch] += line.units;
    }
    if (const auto* post = std::get_if<ledger::CreditPost>(&entry.body.leaf))
      issued += credited.at(post->epoch);
  }
  EXPECT_EQ(totals.cap, round.ownership.units);
  EXPECT_EQ(owned, issued);
  EXPECT_EQ(owned, totals.posted);
  EXPECT_EQ(totals.posted + totals.burnt, totals.cap);
  EXPECT_EQ(totals.pending, 0U);
}

/// Every claim is its node's own, over receipts that both ends signed.
void expect_receipts_of_both_ends(const ledger::VerifiedLedger& log) {
  std::size_t batches = 0;
  for (const ledger::VerifiedEntry& entry : log.entries) {
    const auto* batch = std::get_if<ledger::WorkBatch>(&entry.body.leaf);
    if (batch == nullptr) continue;
    ++batches;
    EXPECT_EQ(entry.body.author, batch->node);
    EXPECT_GT(batch->receipts, 0U);
    EXPECT_EQ(batch->countersigned, batch->receipts);
  }
  EXPECT_GT(batches, 0U);
}

struct Shape {
  TinyRound round;
  std::uint64_t seed = 1;
};

class WholeRound : public testing::TestWithParam<Shape> {};

TEST_P(WholeRound, TrainsLikeOneProcessAndItsUnitsAddUp) {
  Swarm swarm(GetParam().round, seed_of(GetParam().seed));
  swarm.start();
  expect_finished(swarm);
  const RoundFolder& folder = swarm.folder();
  const ReferenceRun reference = reference_run(folder.round(), folder.manifest());
  expect_same_losses(folder, reference);
  if (GetParam().round.replicas == 1) expect_same_bits(folder, reference);
  EXPECT_LT(folder.last_metrics().back().loss, folder.last_metrics().front().loss - 0.2);

  const ledger::VerifiedLedger log = expect_verified(folder);
  EXPECT_EQ(log.accounts.balances().size(), folder.seats());
  expect_units_add_up(log, folder.round());
  expect_receipts_of_both_ends(log);
}

INSTANTIATE_TEST_SUITE_P(
    Swarm, WholeRound,
    testing::Values(
        Shape{{.stages = 3, .replicas = 1, .steps = 20, .epoch_steps = 7, .layers = 3}, 1},
        Shape{{.stages = 2, .replicas = 2, .steps = 20, .microbatches = 8, .epoch_steps = 5}, 2},
        Shape{{.stages = 2, .replicas = 3, .steps = 12, .microbatches = 8, .order = "gpipe"}, 3},
        Shape{{.stages = 4, .replicas = 2, .steps = 12, .microbatches = 8, .layers = 4}, 4}),
    [](const testing::TestParamInfo<Shape>& shape) {
      const TinyRound& round = shape.param.round;
      return std::to_string(round.stages) + "Stages" + std::to_string(round.replicas) + "Replicas";
    });

struct Loss {
  std::size_t victim;
  void (Swarm::*strike)(std::size_t);
};

class NodeLost : public testing::TestWithParam<Loss> {};

TEST_P(NodeLost, IsNamedAndASecondSwarmGoesOnBitForBit) {
  const auto [victim, strike] = GetParam();
  Swarm swarm({.stages = 3, .replicas = 1, .steps = 16, .epoch_steps = 2, .layers = 3}, seed_of(5));
  swarm.start();
  ASSERT_TRUE(swarm.run_until(
      [&] {
        return swarm.last_step() >= StepId(7) &&
               swarm.coordinator().net->status().resumable_step >= StepId(4);
      },
      kPatience));
  const NodeId lost = swarm.node(victim)->identity->node();
  const TimePoint lost_at = swarm.now();
  (swarm.*strike)(victim);
  const auto& outcome = swarm.coordinator().net->outcome();
  ASSERT_TRUE(swarm.run_until([&] { return !outcome.lost.empty(); }, seconds(5)))
      << "a loss is named within 5 s";
  EXPECT_LT(swarm.now() - lost_at, seconds(5));
  EXPECT_EQ(outcome.lost.front().find("node " + lost.hex() + " (stage "), 0U)
      << outcome.lost.front();

  ASSERT_TRUE(swarm.run_to_end(kPatience));
  EXPECT_EQ(outcome.lost.size(), 1U) << "nobody else was lost";
  ASSERT_TRUE(outcome.finished);
  EXPECT_NE(outcome.finished->reason, EndReason::kFinished);
  EXPECT_GE(outcome.finished->last_step, StepId(7));
  EXPECT_GE(outcome.finished->resumable_step, StepId(4));
  EXPECT_LE(outcome.finished->resumable_step, outcome.finished->last_step);
  const std::uint64_t burnt_early = expect_verified(swarm.folder()).accounts.totals().burnt;
  EXPECT_EQ(burnt_early, 0U) << "a round that can be resumed burns nothing";

  swarm.start();
  expect_finished(swarm);
  const RoundFolder& folder = swarm.folder();
  expect_same_bits(folder, reference_run(folder.round(), folder.manifest()));
  expect_units_add_up(expect_verified(folder), folder.round());
}

INSTANTIATE_TEST_SUITE_P(Swarm, NodeLost,
                         testing::Values(Loss{0, &Swarm::kill}, Loss{1, &Swarm::kill},
                                         Loss{2, &Swarm::kill}, Loss{0, &Swarm::freeze},
                                         Loss{2, &Swarm::freeze}),
                         [](const testing::TestParamInfo<Loss>& loss) {
                           const bool killed = loss.param.strike == &Swarm::kill;
                           return (killed ? "Killed" : "Frozen") +
                                  std::to_string(loss.param.victim);
                         });

/// The members' table reaches one node before another, which then turns the first call away: work
/// for each other can be there before the connection is.
TEST(LateConnection, LosesNothingThatWasToGoOverIt) {
  Swarm swarm({.stages = 2, .replicas = 2, .steps = 6, .microbatches = 8}, seed_of(6));
  swarm.start();
  const auto nodes = [&] { return swarm.coordinator().net->status().nodes; };
  ASSERT_TRUE(swarm.run_until([&] { return nodes().size() == 4; }, kPatience));
  const auto cut_replicas = [&, members = nodes()](bool cut) {
    for (const auto& a : members)
      for (const auto& b : members)
        if (a.member.node < b.member.node && a.member.stage == b.member.stage)
          swarm.cut(a.member.node, b.member.node, cut);
  };
  cut_replicas(true);
  const auto averaging = [&] {
    return std::ranges::all_of(nodes(), [](const auto& node) {
      return node.heartbeat.activity == NodeActivity::kAveraging;
    });
  };
  ASSERT_TRUE(swarm.run_until(averaging, seconds(5))) << "all wait for their replica";
  cut_replicas(false);
  expect_finished(swarm);
  EXPECT_TRUE(swarm.coordinator().net->outcome().lost.empty());
  expect_same_losses(swarm.folder(),
                     reference_run(swarm.folder().round(), swarm.folder().manifest()));
}

/// Joins while the others train: after the round it holds what they hold (a digest that differs
/// ends the round), and is paid for what it did.
void expect_joined(Swarm& swarm, std::size_t newcomer) {
  const NodeId node = swarm.node(newcomer)->identity->node();
  const auto works = [&] {
    return std::ranges::any_of(swarm.coordinator().net->status().nodes, [&](const auto& seat) {
      return seat.member.node == node && !seat.member.joining && seat.units_this_step > 0;
    });
  };
  ASSERT_TRUE(swarm.run_until(works, minutes(2))) << "after step " << swarm.last_step().value;
  const std::string account = swarm.node(newcomer)->identity->account().hex();
  expect_finished(swarm);
  const auto& ended = swarm.node(newcomer)->net->outcome().ended;
  ASSERT_TRUE(ended);
  EXPECT_EQ(ended->reason, EndReason::kFinished) << ended->text;
  const RoundFolder& folder = swarm.folder();
  expect_same_losses(folder, reference_run(folder.round(), folder.manifest()));
  const ledger::VerifiedLedger log = expect_verified(folder);
  expect_units_add_up(log, folder.round());
  const auto balances = log.accounts.balances();
  const auto paid = std::ranges::find_if(
      balances, [&](const auto& entry) { return entry.first.hex() == account; });
  ASSERT_NE(paid, balances.end());
  EXPECT_GT(paid->second.posted, 0U);
}

TEST(Joiner, OfAnOpenRoundWorksAfterAFewStepsAndIsPaid) {
  Swarm swarm({.stages = 2,
               .replicas = 2,
               .steps = 60,
               .microbatches = 8,
               .epoch_steps = 20,
               .replicas_max = 3},
              seed_of(21));
  swarm.start();
  ASSERT_TRUE(swarm.run_until([&] { return swarm.last_step() >= StepId(3); }, kPatience));
  swarm.open(4);
  expect_joined(swarm, 4);
  EXPECT_TRUE(swarm.coordinator().net->outcome().lost.empty());
}

TEST(Joiner, OfAProtectedRoundReplacesANodeThatDied) {
  Swarm swarm({.stages = 2,
               .replicas = 2,
               .steps = 60,
               .microbatches = 8,
               .epoch_steps = 20,
               .weights = "protected"},
              seed_of(22));
  swarm.start();
  ASSERT_TRUE(swarm.run_until([&] { return swarm.last_step() >= StepId(3); }, kPatience));
  swarm.kill(1);
  ASSERT_TRUE(swarm.run_until([&] { return !swarm.coordinator().net->outcome().lost.empty(); },
                              seconds(5)));
  swarm.open(1);  // the same identity and disk
  expect_joined(swarm, 1);
  EXPECT_EQ(swarm.coordinator().net->outcome().lost.size(), 1U);
}

using Files = std::map<std::string, std::string>;

/// Everything that the round publishes.
Files published(std::uint64_t seed) {
  Swarm swarm({.stages = 2, .replicas = 2, .steps = 6, .microbatches = 8}, seed);
  swarm.start();
  expect_finished(swarm);
  const Path root = swarm.folder().coordinator_dir() / "ledger";
  Files files;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(root))
    if (entry.is_regular_file())
      files[std::filesystem::relative(entry.path(), root).string()] = read_text(entry.path());
  return files;
}

TEST(SwarmSeed, DecidesEveryByteOfTheLedger) {
  const Files first = published(seed_of(11));
  EXPECT_GE(first.size(), 4U);
  EXPECT_EQ(first, published(seed_of(11)));
  EXPECT_NE(first, published(seed_of(12)));
}

}  // namespace
}  // namespace coshard::test
