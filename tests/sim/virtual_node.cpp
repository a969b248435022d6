// One node of the virtual round: see virtual_node.h.
// SPDX-License-Identifier: Apache-2.0
#include "tests/sim/virtual_node.h"

#include <algorithm>
#include <limits>

#include "protocol/base/check.h"
#include "protocol/round/order.h"

namespace coshard::simtest {

using namespace round;  // NOLINT: a test's shell speaks the machine's language throughout

VirtualRound::Node::Node(VirtualRound& world, std::uint32_t index_in_round)
    : box(world.new_clock()),
      index(index_in_round),
      id(world.node_id(index_in_round)),
      world_(world) {
  make_machine();
}

void VirtualRound::Node::make_machine() {
  ParticipantConfig config;
  config.self = id;
  config.coordinator = world_.coordinator_id();
  config.join.endpoint = "virtual:" + std::to_string(index);
  config.engine_depth = world_.options_.engine_depth;
  config.in_flight_extra = world_.options_.in_flight_extra;
  config.coordinator_patience = world_.options_.coordinator_patience;
  for (const auto& file : world_.disks_.files[index]) config.join.checkpoints.push_back(file.held);
  machine = std::make_unique<Participant>(std::move(config));
  clock_.emplace(world_.process_clock(box));
}

void VirtualRound::Node::start() {
  started = true;
  execute(machine->start(now()));
}

void VirtualRound::Node::restart() {
  ++life_;
  alive = true;
  ended = refused = busy_ = false;
  frozen_until = {};
  slowness = 1;
  saving_ = false;
  computes_unanswered_ = 0;
  store_.clear();
  jobs_.clear();
  stash_.clear();
  sums_.clear();
  accumulated_.clear();
  averaged_.clear();
  average_.reset();
  dropped_.clear();
  released_ = {};
  make_machine();
  start();
}

void VirtualRound::Node::later(Duration delay, std::function<void()> what) {
  world_.after(delay, [this, life = life_, what = std::move(what)] {
    if (life == life_) what();
  });
}

void VirtualRound::Node::handle(const ParticipantEvent& event) {
  if (!alive || !started || ended) return;
  if (frozen_until > world_.now_)  // what comes meanwhile waits, in order; ticks are not missed
    return std::holds_alternative<Tick>(event)
               ? void()
               : later(frozen_until - world_.now_, [this, event] { handle(event); });
  execute(machine->on(event, now()));
}

void VirtualRound::Node::tick() {
  handle(Tick{});
  const bool silent = !alive || !started || ended || frozen_until > world_.now_;
  if (silent || !machine->seat() || world_.now_ - heartbeat_at_ < limits::kHeartbeatInterval)
    return;
  heartbeat_at_ = world_.now_;
  world_.transmit(id, world_.coordinator_id(), machine->heartbeat(), 0);
}

void VirtualRound::Node::receive(const NodeId& from, const Message& message,
                                 std::uint64_t payload) {
  if (frozen_until > world_.now_)
    return later(frozen_until - world_.now_,
                 [this, from, message, payload] { receive(from, message, payload); });
  payload_in_hand_ = payload;
  handle(Received{from, message, {}});
}

// ---- actions ------------------------------------------------------------------------------------

void VirtualRound::Node::execute(ParticipantActions actions) {
  for (const auto& action : actions)
    std::visit([this](const auto& what) { execute(what); }, action);
}

void VirtualRound::Node::execute(const SendMessage& action) {
  world_.transmit(id, action.to, action.message, 0);
}

void VirtualRound::Node::execute(const Begin& action) {
  stage_ = action.welcome.stage.value;
  const StepId resume = action.welcome.resume_step;
  parameters = initial(world_.options_.seed, stage_, world_.options_.chunks);
  bool found = resume.value == 0;
  for (const auto& file : world_.disks_.files[index])
    if (file.held.step == resume && file.held.stage.value == stage_ &&
        file.held.file_hash == action.welcome.resume_file_hash) {
      parameters = file.parameters;
      found = true;
    }
  job(200'000, [this, found] {
    if (!found) return handle(StageFailed{"no such checkpoint"});
    handle(StageReady{world_.options_.shape, world_.options_.schedule, world_.options_.chunks,
                      fingerprint_of(parameters, {})});
  });
}

void VirtualRound::Node::execute(const FetchState& action) {
  later(world_.delay(300'000), [this, action] {
    for (const auto& holder : action.holders)
      for (const auto& file : world_.disks_.files[world_.find(holder)->index])
        if (file.held.file_hash == action.file.file_hash && world_.find(holder)->alive) {
          world_.disks_.files[index].push_back(file);
          return handle(StateFetched{action.file.step, ""});
        }
    handle(StateFetched{action.file.step, "nobody has this state any more"});
  });
}

void VirtualRound::Node::execute(const KeepPayload& action) { put(action.key, payload_in_hand_); }

void VirtualRound::Node::execute(const Compute& action) {
  if (++computes_unanswered_ > world_.options_.engine_depth) error("more work than engine_depth");
  const WorkOp op = action.work.op;
  const std::uint64_t forward = op == WorkOp::kBackward ? 0 : 10'000;
  const std::uint64_t backward = op == WorkOp::kBackward || op == WorkOp::kForwardLoss ? 20'000 : 0;
  job(forward + backward, [this, work = action.work] { compute(work); });
  check_in_flight();
}

void VirtualRound::Node::execute(const SendTensor& action) {
  const TensorKey key{action.unit, action.direction};
  const auto kept = store_.find(key);
  if (kept == store_.end()) {
    // Nor is there one of a unit that came to nothing while it was ordered.
    const bool may_be = world_.options_.evictions > 0 || !world_.options_.poisons.empty();
    if (!may_be) error("sends a tensor that is gone: " + key_name(key));
    return later(Duration{0}, [this, key] { handle(OutputEvicted{key, true}); });
  }
  Unit unit = action.unit;
  unit.attempt = action.to_attempt;
  const std::uint64_t bytes = kept->second + (world_.planted_.strikes(Bug::kWrongTensor) ? 1 : 0);
  if (action.direction == Direction::kForward)
    world_.transmit(id, action.to, ForwardTensor{unit, {}, action.ordered}, bytes);
  else
    world_.transmit(id, action.to, BackwardTensor{unit, {}, action.slots_total}, bytes);
  if (world_.rng_.unit() >= world_.options_.evictions) return;
  store_.erase(kept);
  later(Duration{0}, [this, key] { handle(OutputEvicted{key, false}); });
}

void VirtualRound::Node::execute(const SendChunk& action) {
  job(500, [this, action] {
    if (dropped_.contains(action.step)) return;
    const auto sums = sums_.find(action.step);
    if (sums == sums_.end()) return error("sends a chunk of a sum that it does not have");
    world_.transmit(id, action.to,
                    GradientChunk{action.step, StageIndex(stage_), action.attempt, action.chunk},
                    sums->second.at(action.chunk.value));
  });
}

void VirtualRound::Node::execute(const ReduceChunk& action) {
  std::uint64_t others = fenced_[{action.step, action.chunk}];
  for (const auto& node : action.contributors)
    if (node != id) {
      const auto part = take(ChunkKey{action.step, action.attempt, action.chunk, node, false});
      if (!world_.planted_.strikes(Bug::kMissingContribution)) others += part;
    }
  job(1'000, [this, action, others] {
    if (dropped_.contains(action.step)) return;
    std::uint64_t sum = others;
    for (const auto& node : action.contributors) {
      if (node != id) continue;
      if (const auto own = sums_.find(action.step); own != sums_.end())
        sum += own->second.at(action.chunk.value);
      else
        error("counts as a contributor without a sum");
    }
    const RoundShape& shape = world_.options_.shape;
    if (action.tokens != shape.microbatches * shape.tokens_per_microbatch)
      error("averages over " + std::to_string(action.tokens) + " tokens");
    averaged_[{action.step, action.attempt, action.chunk}] = sum;
    const Options& options = world_.options_;
    const bool broken =
        action.step.value >= options.not_finite_from && action.step.value <= options.not_finite_to;
    const double value = static_cast<double>(sum) / static_cast<double>(action.tokens);
    handle(ChunkReduced{action.step, action.attempt, action.chunk,
                        broken ? std::numeric_limits<double>::quiet_NaN() : value * value});
  });
}

void VirtualRound::Node::execute(const SendAverage& action) {
  const auto own = averaged_.find({action.step, action.attempt, action.chunk});
  std::optional<std::uint64_t> average;
  if (own != averaged_.end()) average = own->second;
  for (const auto& [key, value] : store_)
    if (const auto* chunk = std::get_if<ChunkKey>(&key);
        chunk != nullptr && chunk->averaged && chunk->step == action.step &&
        chunk->attempt == action.attempt && chunk->chunk == action.chunk) {
      average = value + (world_.planted_.is(Bug::kWrongHolder) ? 1 : 0);
      ++world_.averages_fetched;
    }
  if (!average) return error("sends an average that it does not have");
  for (const auto& to : action.to)
    world_.transmit(id, to,
                    AveragedChunk{action.step, StageIndex(stage_), action.attempt, action.chunk,
                                  action.squared_norm},
                    *average);
}

void VirtualRound::Node::execute(const SetAverage& action) {
  job(1'000, [this, action] {
    if (dropped_.contains(action.step)) return;
    std::vector<std::uint64_t> sums(world_.options_.chunks);
    for (std::uint32_t c = 0; c < sums.size(); ++c)
      if (const auto own = averaged_.find({action.step, action.attempt, ChunkIndex(c)});
          own != averaged_.end())
        sums[c] = own->second;
    for (const auto& [key, value] : store_)
      if (const auto* chunk = std::get_if<ChunkKey>(&key); chunk != nullptr && chunk->averaged &&
                                                           chunk->step == action.step &&
                                                           chunk->attempt == action.attempt)
        sums[chunk->chunk.value] = value;
    average_ = {action.step, sums};
    handle(AverageSet{action.step, action.attempt, file_hash_of(sums, action.step)});
  });
}

void VirtualRound::Node::execute(const DropUnit& action) {
  ++world_.units_given_back;
  job(0, [this, unit = action.unit] { stash_.erase(unit); });
}

void VirtualRound::Node::execute(const DropChunks& action) {
  for (const auto& [key, value] : store_)
    if (const auto* chunk = std::get_if<ChunkKey>(&key); chunk != nullptr && !chunk->averaged &&
                                                         chunk->step == action.step &&
                                                         world_.planted_.is(Bug::kFencedGradient))
      fenced_[{chunk->step, chunk->chunk}] += value;
  std::erase_if(store_, [&](const auto& entry) {
    const auto* chunk = std::get_if<ChunkKey>(&entry.first);
    return chunk != nullptr && chunk->step == action.step && chunk->attempt == action.attempt;
  });
}

void VirtualRound::Node::execute(const ApplyUpdate& action) {
  job(30'000, [this, scalars = action.scalars] {
    if (!average_ || average_->first != scalars.step)
      return error("applies an update without its average");
    world_.applied(*this, scalars);
    const bool applies = !scalars.skip && !world_.planted_.strikes(Bug::kSkipUpdate);
    if (applies) update(parameters, average_->second, scalars.step);
    if (world_.planted_.strikes(Bug::kApplyTwice))
      update(parameters, average_->second, scalars.step);
    average_.reset();
    sums_.erase(scalars.step);
    accumulated_.erase(scalars.step);
    handle(UpdateApplied{scalars.step, fingerprint_of(parameters, scalars.fingerprint_key)});
  });
}

void VirtualRound::Node::execute(const SaveCheckpoint& action) {
  if (std::exchange(saving_, true)) error("holds two copies of its state");
  job(1'000, [this, step = action.step] {
    Disks::File file{parameters, {StageIndex(stage_), step, file_hash_of(parameters, step)}};
    later(world_.delay(world_.options_.checkpoint_us), [this, file = std::move(file)] {
      if (!alive) return;
      saving_ = false;
      world_.disks_.files[index].push_back(file);
      handle(CheckpointSaved{file.held.step, file.held.file_hash, file.parameters.size() * 8, ""});
    });
  });
}

void VirtualRound::Node::execute(const DropStep& action) {
  dropped_.insert(action.step);
  sums_.erase(action.step);
  accumulated_.erase(action.step);
  std::erase_if(stash_, [&](const auto& entry) { return entry.first.step == action.step; });
  execute(Release{action.step});
}

void VirtualRound::Node::execute(const Release& action) {
  released_ = std::max(released_, action.step);
  std::erase_if(store_, [&](const auto& entry) {
    if (const auto* tensor = std::get_if<TensorKey>(&entry.first))
      return tensor->unit.step == action.step;
    return std::get<ChunkKey>(entry.first).step == action.step;
  });
  std::erase_if(averaged_,
                [&](const auto& entry) { return std::get<0>(entry.first) == action.step; });
}

void VirtualRound::Node::execute(const SettleEpoch& action) {
  later(world_.delay(20'000), [this, action] { handle(EpochSettled{action.epoch}); });
}

void VirtualRound::Node::execute(const PeerFault& action) {
  // Slots that a neighbour granted under one of two coordinators may be void under the other.
  if (world_.standstill_) return;
  error("blames " + action.peer.short_hex() + ": " + action.reason);
}

void VirtualRound::Node::execute(const Ended& action) {
  const bool at_ease = !action.refused && !action.again && !store_.empty();
  if (at_ease) error("ends with a payload in hand: " + key_name(store_.begin()->first));
  const auto& lost = world_.lost_;
  const bool disturbed = std::find(lost.begin(), lost.end(), id) != lost.end();
  if (action.reason == EndReason::kInternal && !disturbed && !world_.end_is_internal())
    error("leaves although nobody has disturbed it: " + action.text);
  ended = true;
  refused = action.refused;
  last_words = action.text;
  if (refused) ++world_.refused;
  if (action.again) later(std::chrono::milliseconds(200), [this] { world_.revive(*this); });
}

// ---- engine -------------------------------------------------------------------------------------

void VirtualRound::Node::job(std::uint64_t up_to_us, std::function<void()> work) {
  Duration takes = world_.delay(up_to_us);
  const double factor = index == 0 ? slowness * world_.options_.slow_node : slowness;
  takes = Duration(static_cast<std::int64_t>(static_cast<double>(takes.count()) * factor));
  jobs_.emplace_back(takes, std::move(work));
  if (!busy_) next_job();
}

void VirtualRound::Node::next_job() {
  busy_ = !jobs_.empty();
  if (!busy_) return;
  const auto [takes, work] = std::move(jobs_.front());
  jobs_.pop_front();
  later(takes, [this, work = work] {
    if (!alive) return;
    work();
    next_job();
  });
}

void VirtualRound::Node::compute(const Work& work) {
  --computes_unanswered_;
  const Unit& unit = work.unit;
  if (dropped_.contains(unit.step) || unit.step <= released_)
    return handle(ComputeDone{work, 0, 0, ""});
  ComputeDone done{work, world_.options_.shape.tokens_per_microbatch, 0, ""};
  const Unit before{unit.step, unit.microbatch, StageIndex(unit.stage.value - 1), unit.attempt};
  const Unit behind{unit.step, unit.microbatch, StageIndex(unit.stage.value + 1), unit.attempt};
  if (work.blank) done.loss_sum = std::numeric_limits<double>::quiet_NaN();
  if (is_poisoned(work)) {  // its input stays, as it does in the programs
    const bool in_sum = work.op == WorkOp::kBackward;
    if (in_sum) accumulate(work, mix({unit.microbatch.value, 0xBAD}));
    done.error = "unit is not finite";
    done.fault = in_sum ? UnitFault::kSpoilsSum : UnitFault::kNotFinite;
    return handle(done);
  }
  if (work.op == WorkOp::kBackward) {
    const std::uint64_t gradient = take(TensorKey{behind, Direction::kBackward});
    backward(work, work.blank ? 0 : backward_of(stash_.at(unit), parameters, gradient));
    stash_.erase(unit);
    return handle(done);
  }
  const std::uint64_t input = stage_ == 0
                                  ? tokens_in(world_.options_.seed, unit.step, unit.microbatch)
                                  : take(TensorKey{before, Direction::kForward});
  if (work.op == WorkOp::kForwardLoss) {
    if (!work.blank) done.loss_sum = loss_of(input);
    backward(work, work.blank ? 0 : backward_of(input, parameters, 0));
  } else {
    if (work.op == WorkOp::kForward) stash_[unit] = input;
    put(TensorKey{unit, Direction::kForward}, work.blank ? 0 : forward_of(input, parameters));
  }
  handle(done);
}

bool VirtualRound::Node::is_poisoned(const Work& work) const {
  const auto& poisons = world_.options_.poisons;
  return !work.blank && std::any_of(poisons.begin(), poisons.end(), [&](const Poison& poison) {
    const bool backward = work.op == WorkOp::kBackward;
    return poison.step == work.unit.step.value && poison.stage == stage_ &&
           poison.microbatch == work.unit.microbatch.value && poison.backward == backward &&
           poison.node.value_or(index) == index && (work.counts || !backward);
  });
}

void VirtualRound::Node::backward(const Work& work, std::uint64_t gradient) {
  if (work.counts) accumulate(work, gradient);
  if (stage_ > 0) put(TensorKey{work.unit, Direction::kBackward}, gradient);
}

void VirtualRound::Node::accumulate(const Work& work, std::uint64_t gradient) {
  const Unit& unit = work.unit;
  auto& order = accumulated_[unit.step];
  const bool known = std::find(order.begin(), order.end(), unit.microbatch) != order.end();
  if (known && work.blank) return;  // in a sum that is of no use
  if (known) error("accumulates microbatch " + std::to_string(unit.microbatch.value) + " twice");
  const bool alone = world_.options_.shape.replicas == 1 && world_.options_.poisons.empty();
  if (alone && !order.empty() && unit.microbatch < order.back()) error("accumulates out of order");
  order.push_back(unit.microbatch);
  auto& sums = sums_[unit.step];
  sums.resize(world_.options_.chunks);
  if (work.blank || world_.planted_.strikes(Bug::kForgetUnit)) return;
  const std::uint64_t times = world_.planted_.strikes(Bug::kCountTwice) ? 2 : 1;
  for (std::uint32_t chunk = 0; chunk < sums.size(); ++chunk)
    sums[chunk] += times * chunk_gradient(gradient, chunk);
}

// ---- store and checks ---------------------------------------------------------------------------

std::uint64_t VirtualRound::Node::take(const PayloadKey& key) {
  const auto kept = store_.find(key);
  if (kept == store_.end()) {
    error("has no payload " + key_name(key));
    return 0;
  }
  const std::uint64_t payload = kept->second;
  store_.erase(kept);
  return payload;
}

void VirtualRound::Node::put(const PayloadKey& key, std::uint64_t payload) {
  const auto [kept, fresh] = store_.emplace(key, payload);
  if (fresh) return;
  const bool resent = !world_.lost_.empty() || !world_.options_.poisons.empty();
  if (!resent) error("keeps a payload twice: " + key_name(key));
  if (kept->second != payload) error("keeps two payloads that differ: " + key_name(key));
}

/// What this node has taken and not finished stays within what it granted.
void VirtualRound::Node::check_in_flight() {
  const RoundShape& shape = world_.options_.shape;
  const std::uint32_t limit = in_flight_limit(world_.options_.schedule, shape.stages, stage_,
                                              shape.microbatches, world_.options_.in_flight_extra);
  // What only passes through for a repair, or was ordered, comes on top, and who joins gets slots
  // beside the others'.
  const bool undisturbed = world_.lost_.empty() && world_.joined == 0 &&
                           world_.units_given_back == 0 && world_.options_.poisons.empty();
  if (undisturbed && stash_.size() > limit) error("holds more forwards than its limit");
  std::size_t inputs = 0;
  for (const auto& [key, value] : store_)
    if (const auto* tensor = std::get_if<TensorKey>(&key))
      inputs += tensor->unit.stage.value + 1 == stage_ ? 1 : 0;
  if (undisturbed && inputs + stash_.size() > std::max(limit, shape.replicas))
    error("holds more than it granted");
}

std::string VirtualRound::Node::key_name(const PayloadKey& key) const {
  if (const auto* tensor = std::get_if<TensorKey>(&key))
    return "tensor of step " + std::to_string(tensor->unit.step.value) + " microbatch " +
           std::to_string(tensor->unit.microbatch.value) + " stage " +
           std::to_string(tensor->unit.stage.value);
  const auto& chunk = std::get<ChunkKey>(key);
  return "chunk " + std::to_string(chunk.chunk.value) + " of step " +
         std::to_string(chunk.step.value);
}

void VirtualRound::Node::error(const std::string& text) {
  world_.error("node " + std::to_string(index) + " (stage " + std::to_string(stage_) + ") " + text);
}

}  // namespace coshard::simtest
