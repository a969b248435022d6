// coshard simulate before it simulates: quantities as people write them, and what a round file
// comes to.
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <numeric>

#include "node/cli/quantities.h"
#include "node/cli/simulate_scenario.h"
#include "node/cli/simulate_wire.h"

namespace coshard::cli {
namespace {

TEST(Quantities, AreReadAsPeopleWriteThem) {
  EXPECT_DOUBLE_EQ(*parse_bit_rate("50mbit"), 6.25e6);
  EXPECT_DOUBLE_EQ(*parse_bit_rate("2.5gbit"), 312.5e6);
  EXPECT_DOUBLE_EQ(*parse_bit_rate("800kbit"), 1e5);
  EXPECT_DOUBLE_EQ(*parse_churn("5%/h"), 0.05);
  EXPECT_DOUBLE_EQ(*parse_churn("0%/h"), 0);
  EXPECT_DOUBLE_EQ(*parse_latency("30ms"), 0.03);
  EXPECT_DOUBLE_EQ(*parse_latency("0.1s"), 0.1);
  EXPECT_DOUBLE_EQ(*parse_positive("12.5"), 12.5);
  EXPECT_DOUBLE_EQ(*parse_spread("0"), 0);
}

TEST(Quantities, SayWhatWasExpectedAndFound) {
  for (const char* text : {"", "50", "50mb", "mbit", "-1mbit", "0mbit", "nanmbit", "infmbit",
                           "50mbit ", "5e300gbit"}) {
    const auto rate = parse_bit_rate(text);
    ASSERT_FALSE(rate) << text;
    EXPECT_EQ(rate.error().message, std::string("expected a rate like 800kbit, 50mbit or 1gbit, ") +
                                        "found \"" + text + "\"");
  }
  for (const char* text : {"5%", "5/h", "-5%/h", "%/h", "5 %/h"}) EXPECT_FALSE(parse_churn(text));
  for (const char* text : {"30", "-1ms", "1m", ""}) EXPECT_FALSE(parse_latency(text));
  for (const char* text : {"0", "-3", "x", "1e9", "nan"}) EXPECT_FALSE(parse_positive(text));
  for (const char* text : {"-0.1", "4", ""}) EXPECT_FALSE(parse_spread(text));
}

constexpr const char* kRound = R"(
[model]
name = "m"
preset = "tiny"
stages = 2
[data]
manifest = "data/manifest.json"
[training]
steps = 10
microbatches = 8
microbatch_sequences = 4
[admission]
replicas = 3
)";

node::RoundFile tiny(const std::string& more = "") {
  return node::parse_round(kRound + more, "round.toml").value();
}

TEST(SimulatedRound, CostsWhatItsLayersCost) {
  const node::RoundFile round = tiny();
  const auto scenario = scenario_of(round, {});
  ASSERT_TRUE(scenario);
  EXPECT_EQ(scenario->round.shape, (round::RoundShape{2, 3, 8, 512}));
  std::uint64_t gradient = 0, state = 0;
  double flops = 0;
  for (const auto& stage : scenario->stages) {
    gradient +=
        std::accumulate(stage.chunk_bytes.begin(), stage.chunk_bytes.end(), std::uint64_t{0});
    state += stage.state_bytes;
    flops += stage.flops();
  }
  // By hand. A layer: four attention matrices of 128 x 128, three of the feed-forward of 128 x 344,
  // two norms; embedding and head of 256 x 128, and one more norm.
  const std::uint64_t layer = 4 * 128 * 128 + 3 * 128 * 344 + 2 * 128;
  const std::uint64_t parameters = 4 * layer + 2 * 256 * 128 + 128;
  EXPECT_EQ(gradient, 4 * parameters);
  EXPECT_EQ(state, 12 * parameters);
  const double multiplied = static_cast<double>(parameters - 256 * 128);
  const double attention = 4.0 * 4 * 128 * 128;  // 4 L H q T, with heads * width = 128
  EXPECT_NEAR(flops, 3 * 512 * (2 * multiplied + attention), 1e-3 * flops);
  EXPECT_EQ(scenario->stages[0].boundary_bytes, 512U * 128 * 4);
  EXPECT_EQ(scenario->stages[1].boundary_bytes, 0U);
}

TEST(SimulatedRound, PeersAreDividedAmongStages) {
  SimulateCommand command;
  command.peers = 21;
  EXPECT_EQ(scenario_of(tiny(), command)->round.shape.replicas, 10U);
  command.peers = 1;
  const auto few = scenario_of(tiny(), command);
  ASSERT_FALSE(few);
  EXPECT_EQ(few.error().message, "--peers: expected 2 to 2048 boxes for 2 stages, found 1");
  command.peers = 4000;
  EXPECT_FALSE(scenario_of(tiny(), command));
}

TEST(SimulatedRound, MoreChunksThanReplicasAreSimulatedAsFewerOfTheSameBytes) {
  const auto bytes = [](const sim::StageCost& cost) {
    return std::accumulate(cost.chunk_bytes.begin(), cost.chunk_bytes.end(), std::uint64_t{0});
  };
  const std::string text = std::string(kRound).replace(std::string(kRound).find("tiny"), 4, "160m");
  const node::RoundFile large = node::parse_round(text, "round.toml").value();
  const auto few = scenario_of(large, {});
  ASSERT_TRUE(few);
  SimulateCommand command;
  command.peers = 200;
  const auto many = scenario_of(large, command);
  ASSERT_TRUE(many);
  EXPECT_EQ(few->stages[0].chunk_bytes.size(), 64U);
  EXPECT_EQ(many->stages[0].chunk_bytes.size(), 100U);
  EXPECT_NEAR(static_cast<double>(bytes(few->stages[0])),
              static_cast<double>(bytes(many->stages[0])), 100);
  // A small stage has fewer, one for each parameter at least, and keeps them.
  EXPECT_EQ(scenario_of(tiny(), command)->stages[0].chunk_bytes,
            scenario_of(tiny(), {})->stages[0].chunk_bytes);
}

TEST(SealedWire, CostsWhatAnEnvelopeAndItsBodyCost) {
  const ThreadCpuClock cpu;
  SealedWire wire(cpu);
  const auto beat = wire.sent(Heartbeat{StepId(1), NodeActivity::kIdle, 1, 1000, 0, 0});
  EXPECT_GT(beat.bytes, 32U * 3 + 64);  // network, sender, receiver, signature
  EXPECT_LT(beat.bytes, 300U);
  EXPECT_GT(beat.cpu_seconds, 0);
  EXPECT_GT(wire.received(Heartbeat{}).cpu_seconds, 0);
  MembershipTable table;
  for (std::uint8_t i = 0; i < 100; ++i)
    table.members.push_back(
        {NodeId{{1, i}}, StageIndex(0), ReplicaIndex(i), Incarnation(1), "", {}});
  const auto members = wire.sent(table);
  EXPECT_NEAR(static_cast<double>(members.bytes),
              100.0 * static_cast<double>(table_bytes_per_member()) + 200, 400);
}

}  // namespace
}  // namespace coshard::cli
