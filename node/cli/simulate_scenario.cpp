// See simulate_scenario.h.
// SPDX-License-Identifier: Apache-2.0
#include "node/cli/simulate_scenario.h"

#include <algorithm>

#include "node/round_setup.h"
#include "shard/plan/gradient_layout.h"

namespace coshard::cli {
namespace {

constexpr std::uint64_t kItemBytes = 4;
/// Master weights and AdamW's moments, fp32.
constexpr std::uint64_t kStateBytesPerParameter = 12;
/// Chunks of an average that are simulated at least, where the stage has so many. Beyond that, one
/// for each replica: what takes time is the bytes, and they stay the same.
constexpr std::size_t kChunksMin = 64;
/// One durable commit of the coordinator's journal.
constexpr std::chrono::milliseconds kJournal{5};
/// So that every forecast has an end within a minute. What many boxes know does not fit into a
/// processor's cache: each of their events takes about four times as long.
constexpr std::uint64_t kEventsMax = 20'000'000, kEventsOfManyMax = 5'000'000;
constexpr std::uint32_t kManyBoxes = 100;
/// Another box comes in the place of one that went.
constexpr std::chrono::minutes kReplacedAfter{1};

std::vector<std::uint64_t> chunk_bytes(const shard::ModelSpec& spec, const shard::StageSlice& slice,
                                       std::uint32_t replicas) {
  const auto parameters = shard::parameters(spec, slice);
  std::vector<std::uint64_t> bytes;
  std::uint64_t sum = 0;
  for (const auto& chunk : shard::gradient_layout(parameters)) {
    bytes.push_back(chunk.count * kItemBytes);
    sum += bytes.back();
  }
  const std::size_t most = std::max<std::size_t>(kChunksMin, replicas);
  if (bytes.size() > most) bytes.assign(most, sum / most);
  return bytes;
}

sim::StageCost cost_of(const node::RoundFile& round, const shard::StageSlice& slice,
                       const round::RoundShape& shape) {
  const auto tokens = static_cast<double>(shape.tokens_per_microbatch);
  const auto forward =
      static_cast<double>(shard::forward_flops_per_token(round.model.spec, slice)) * tokens;
  sim::StageCost cost;
  cost.forward_flops = forward;
  cost.backward_flops = (round.training.recompute ? 3 : 2) * forward;
  if (!slice.has_head)
    cost.boundary_bytes = shape.tokens_per_microbatch *
                          static_cast<std::uint64_t>(round.model.spec.hidden) * kItemBytes;
  cost.chunk_bytes = chunk_bytes(round.model.spec, slice, shape.replicas);
  cost.state_bytes = shard::parameter_count(round.model.spec, slice) * kStateBytesPerParameter;
  return cost;
}

}  // namespace

Result<sim::Scenario> scenario_of(const node::RoundFile& round, const SimulateCommand& command) {
  sim::Scenario scenario;
  scenario.round = node::coordinator_config(round, /*fingerprint_secret=*/command.seed);
  scenario.round.allowed.clear();  // the boxes are nobody in particular
  round::RoundShape& shape = scenario.round.shape;
  if (command.peers) shape.replicas = *command.peers / shape.stages;
  if (shape.replicas < 1 || shape.replicas > limits::kReplicasMax)
    return fail(ErrorCode::kInvalidArgument,
                "--peers: expected " + std::to_string(shape.stages) + " to " +
                    std::to_string(std::uint64_t{shape.stages} * limits::kReplicasMax) +
                    " boxes for " + std::to_string(shape.stages) + " stages, found " +
                    std::to_string(*command.peers));
  scenario.round.replicas_max = shape.replicas;
  for (const shard::StageSlice& slice : round.model.slices)
    scenario.stages.push_back(cost_of(round, slice, shape));
  scenario.schedule = node::round_schedule(round);
  sim::Boxes& boxes = scenario.boxes;
  boxes.flops_per_second = command.tflops * 1e12;
  boxes.spread = command.spread;
  boxes.uplink_bytes_per_second = command.uplink;
  boxes.downlink_bytes_per_second = command.downlink;
  boxes.latency = Duration(static_cast<std::int64_t>(command.latency_seconds * 1e9));
  boxes.losses_per_hour = command.losses_per_hour;
  boxes.replaced_after = kReplacedAfter;
  scenario.journal = kJournal;
  scenario.seed = command.seed;
  scenario.duration = Duration(static_cast<std::int64_t>(command.hours * 3600 * 1e9));
  const bool many = shape.stages * shape.replicas > kManyBoxes;
  scenario.events_max = many ? kEventsOfManyMax : kEventsMax;
  return scenario;
}

}  // namespace coshard::cli
