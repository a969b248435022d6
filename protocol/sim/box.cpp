// See box.h.
// SPDX-License-Identifier: Apache-2.0
#include "protocol/sim/box.h"

#include <algorithm>
#include <utility>

namespace coshard::sim {

using namespace round;  // NOLINT: a shell speaks its machine's language throughout

namespace {

/// Every replica of a stage says the same of what was never computed.
constexpr Hash kSameHash{1};
constexpr double kSquaredNorm = 1;

Duration from_seconds(double seconds) { return Duration(static_cast<std::int64_t>(seconds * 1e9)); }

ParticipantConfig config_of(const NodeId& id, const NodeId& coordinator, const Scenario& scenario) {
  ParticipantConfig config;
  config.self = id;
  config.coordinator = coordinator;
  config.engine_depth = scenario.boxes.engine_depth;
  return config;
}

}  // namespace

Box::Box(std::uint32_t box, std::uint64_t life, const NodeId& box_id, const NodeId& coordinator,
         double flops, const Scenario& scenario, BoxWorld& world)
    : index(box),
      birth(life),
      id(box_id),
      flops_per_second(flops),
      uplink(scenario.boxes.uplink_bytes_per_second),
      downlink(scenario.boxes.downlink_bytes_per_second),
      scenario_(scenario),
      world_(world),
      machine_(config_of(box_id, coordinator, scenario)) {}

void Box::start() {
  if (alive()) execute(machine_.start(world_.now()));
}

/// Answers that take no time come after the actions that ask for them, never inside of them.
void Box::handle(const ParticipantEvent& event) {
  if (!alive()) return;
  execute(machine_.on(event, world_.now()));
  while (!at_once_.empty() && alive()) {
    const ParticipantEvent next = std::move(at_once_.front());
    at_once_.pop_front();
    execute(machine_.on(next, world_.now()));
  }
}

Heartbeat Box::heartbeat() const {
  Heartbeat beat = machine_.heartbeat();
  const double unit_seconds = cost().flops() / flops_per_second;
  const auto tokens = static_cast<double>(scenario_.round.shape.tokens_per_microbatch);
  beat.tokens_per_second = static_cast<std::uint64_t>(tokens / std::max(unit_seconds, 1e-9));
  return beat;
}

// ---- actions ------------------------------------------------------------------------------------

void Box::execute(const ParticipantActions& actions) {
  for (const auto& action : actions)
    std::visit([this](const auto& what) { execute(what); }, action);
}

void Box::execute(const SendMessage& action) { world_.send(index, action.to, action.message, 0); }

void Box::execute(const Begin& action) {
  stage_ = action.welcome.stage.value;
  const auto chunks = static_cast<std::uint32_t>(cost().chunk_bytes.size());
  at_once_.push_back(StageReady{scenario_.round.shape, scenario_.schedule, chunks, {}});
}

void Box::execute(const Compute& action) {
  const Work& work = action.work;
  const double takes = seconds_of(work);
  const bool again = work.unit.attempt.value > 0 || !work.counts;
  if (again || work.op == WorkOp::kForwardOnly) flops_redone_ += takes * flops_per_second;
  engine(takes, ComputeDone{work, scenario_.round.shape.tokens_per_microbatch, 0, ""});
}

void Box::execute(const SendTensor& action) {
  Unit unit = action.unit;
  unit.attempt = action.to_attempt;
  if (action.direction == Direction::kForward)
    return world_.send(index, action.to, ForwardTensor{unit, {}, action.ordered},
                       cost().boundary_bytes);
  // The gradient is as large as the output that it belongs to: that of the stage before.
  const std::uint64_t bytes = scenario_.stages.at(stage_ - 1).boundary_bytes;
  world_.send(index, action.to, BackwardTensor{unit, {}, action.slots_total}, bytes);
}

void Box::execute(const SendChunk& action) {
  const StageIndex stage(stage_);
  world_.send(index, action.to, GradientChunk{action.step, stage, action.attempt, action.chunk},
              chunk_bytes(action.chunk));
}

void Box::execute(const ReduceChunk& action) {
  at_once_.push_back(ChunkReduced{action.step, action.attempt, action.chunk, kSquaredNorm});
}

void Box::execute(const SendAverage& action) {
  const AveragedChunk chunk{action.step, StageIndex(stage_), action.attempt, action.chunk,
                            action.squared_norm};
  for (const NodeId& to : action.to) world_.send(index, to, chunk, chunk_bytes(action.chunk));
}

void Box::execute(const SetAverage& action) {
  at_once_.push_back(AverageSet{action.step, action.attempt, kSameHash});
}

void Box::execute(const ApplyUpdate& action) { engine(0, UpdateApplied{action.scalars.step, {}}); }

void Box::execute(const SaveCheckpoint& action) {
  // The engine goes on while the copy is written.
  world_.post(index, std::max(engine_free_at_, world_.now()) + disk_time(),
              CheckpointSaved{action.step, kSameHash, cost().state_bytes, ""});
}

void Box::execute(const FetchState& action) {
  world_.copy(index, action, [step = action.file.step](std::string error) {
    return StateFetched{step, std::move(error)};
  });
}

/// Once through the disk. The engine goes on.
void Box::execute(const SealShard& action) {
  const auto& [step, stage, key] = action.order;
  const ShardFile sealed{step, stage, kSameHash, cost().state_bytes};
  world_.post(index, world_.now() + disk_time(), ShardHandled{{sealed, ""}});
}

void Box::execute(const KeepShard& action) {
  const auto& [sealed, holder] = action.order;
  world_.copy(index, {sealed, {holder}}, [sealed = sealed](std::string error) {
    return ShardHandled{{sealed, std::move(error)}};
  });
}

Duration Box::disk_time() const {
  return from_seconds(static_cast<double>(cost().state_bytes) /
                      scenario_.boxes.disk_bytes_per_second);
}

void Box::execute(const SettleEpoch& action) {
  world_.post(index, world_.now() + 2 * scenario_.boxes.latency, EpochSettled{action.epoch});
}

void Box::execute(const PeerFault&) { ++faults_; }

// ---- engine -------------------------------------------------------------------------------------

void Box::engine(double takes, ParticipantEvent done) {
  engine_free_at_ = std::max(engine_free_at_, world_.now()) + from_seconds(takes);
  world_.post(index, engine_free_at_, std::move(done));
}

double Box::seconds_of(const Work& work) const {
  switch (work.op) {
    case WorkOp::kForward:
    case WorkOp::kForwardOnly:
      return cost().forward_flops / flops_per_second;
    case WorkOp::kBackward:
      return cost().backward_flops / flops_per_second;
    case WorkOp::kForwardLoss:
      return cost().flops() / flops_per_second;
  }
  return 0;
}

}  // namespace coshard::sim
