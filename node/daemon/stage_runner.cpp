// The stage's actions, one function each.
// SPDX-License-Identifier: Apache-2.0
#include "node/daemon/stage_runner.h"

#include "crypto/hash.h"
#include "node/round_setup.h"
#include "protocol/base/failpoint.h"
#include "protocol/base/log.h"

namespace coshard::node {

using round::Direction;
using round::TensorKey;
using round::WorkOp;

namespace {

/// The tensor that `work` consumes; only where it does not start from tokens.
TensorKey input_key(const round::Work& work) {
  Unit from = work.unit;
  const bool backward = work.op == WorkOp::kBackward;
  from.stage = StageIndex(backward ? from.stage.value + 1 : from.stage.value - 1);
  return {from, backward ? Direction::kBackward : Direction::kForward};
}

TensorBlob chunk_blob(SharedBytes bytes) {
  const auto count = static_cast<std::int64_t>(bytes->size() / sizeof(float));
  return {DType::kF32, BoundaryEncoding::kNone, {count}, std::move(bytes)};
}

/// What an error of the engine says of the unit; nothing where the engine itself has failed.
UnitFault fault_of(ErrorCode code) {
  switch (code) {
    case ErrorCode::kInvalidArgument:
      return UnitFault::kInput;
    case ErrorCode::kUnavailable:
      return UnitFault::kNotFinite;
    case ErrorCode::kCorruption:
      return UnitFault::kSpoilsSum;
    default:
      return UnitFault::kNone;
  }
}

/// An output as it is kept. The last stage's gradient comes from its targets: the chain of hashes
/// begins there, as it does where a first stage starts from tokens.
KeptTensor made_from(const round::Work& work, const std::optional<KeptTensor>& input,
                     TensorBlob output) {
  KeptTensor made{std::move(output), std::nullopt, {}, 0};
  if (input && work.op != WorkOp::kForwardLoss) made.in_hash = *input->hash;
  return made;
}

}  // namespace

StageRunner::StageRunner(EngineThread& engine, StageSite site, RunnerPorts ports)
    : engine_(engine),
      site_(std::move(site)),
      ports_(std::move(ports)),
      store_(limits::kKeptBytesMax, [this](const round::PayloadKey& key) { evicted(key); }) {}

void StageRunner::submit(EngineThread::Job job) {
  waiting_jobs_.push_back(std::move(job));
  while (!waiting_jobs_.empty() && engine_.outstanding() < limits::kEngineQueueMax) {
    if (!engine_.submit(std::move(waiting_jobs_.front()))) return;
    waiting_jobs_.pop_front();
  }
}

void StageRunner::turn() {
  COSHARD_ON(net_);
  engine_.collect();
  while (!waiting_jobs_.empty() && engine_.outstanding() < limits::kEngineQueueMax) {
    if (!engine_.submit(std::move(waiting_jobs_.front()))) break;
    waiting_jobs_.pop_front();
  }
  std::deque<Parcel> parcels = std::exchange(waiting_parcels_, {});
  for (Parcel& parcel : parcels) deliver(std::move(parcel));
}

void StageRunner::deliver(Parcel parcel) {
  const Result<void> sent = ports_.send(parcel.to, parcel.message, parcel.payloads);
  if (sent) return;
  // Full is for a moment, and a first connection may come later than work for it: the table of the
  // members does not reach everybody at once. A peer that is lost is lost with what goes there.
  const ErrorCode code = sent.error().code;
  if (code == ErrorCode::kResourceExhausted || code == ErrorCode::kUnavailable)
    waiting_parcels_.push_back(std::move(parcel));
  else
    log(LogLevel::kDebug, "runner", "to " + parcel.to.short_hex() + ": " + sent.error().message);
}

void StageRunner::fail_engine(const std::string& what) {
  log(LogLevel::kError, "runner", what);
  ports_.post(round::EngineFailed{what});
}

/// A replica sent what cannot be averaged: this step stops here, and the coordinator hears why.
void StageRunner::blame(const NodeId& peer, const std::string& reason) {
  log(LogLevel::kWarning, "runner", "from " + peer.short_hex() + ": " + reason);
  ports_.post(round::PeerLost{peer, reason});
}

Result<void> StageRunner::check_chunk(const NodeId& from, ChunkIndex chunk,
                                      const TensorBlob& blob) {
  const std::uint64_t expected = chunk_bytes_.at(chunk.value);
  if (blob.view().size() == expected) return {};
  const std::string reason = "chunk " + std::to_string(chunk.value) + ": expected " +
                             std::to_string(expected) + " bytes, found " +
                             std::to_string(blob.view().size());
  blame(from, reason);
  return fail(ErrorCode::kPermissionDenied, reason);
}

void StageRunner::keep(const round::PayloadKey& key, KeptTensor tensor) {
  const Result<void> kept = store_.put(key, std::move(tensor));
  if (!kept) fail_engine(kept.error().message);
}

/// The coordinator plans repairs with what is kept; of inputs that were used it knows nothing.
void StageRunner::evicted(const round::PayloadKey& key) {
  const auto* tensor = std::get_if<TensorKey>(&key);
  if (tensor != nullptr && tensor->unit.stage == stage_)
    ports_.post(round::OutputEvicted{*tensor, false});
}

void StageRunner::set_incoming(const NodeId& from, const Message* message,
                               const std::vector<wire::Payload>* payloads) {
  incoming_from_ = from;
  incoming_ = message;
  incoming_payloads_ = payloads;
}

void StageRunner::run(const round::Begin& action) {
  COSHARD_ON(net_);
  auto plan = plan_stage(action.welcome, package_, site_);
  if (!plan) {
    ports_.post(round::StageFailed{plan.error().message});
    return;
  }
  stage_ = action.welcome.stage;
  tokens_per_microbatch_ = round_shape(plan->round).tokens_per_microbatch;
  plan_ = std::move(*plan);
  log(LogLevel::kInfo, "node", plan_->held);
  submit([this, plan = *plan_](EngineHome& home) -> EngineThread::Reply {
    auto ready = raise_stage(home, plan);
    return [this, ready = std::move(ready)]() mutable {
      if (!ready) {
        ports_.post(round::StageFailed{ready.error().message});
        return;
      }
      chunk_bytes_ = std::move(ready->chunk_bytes);
      ports_.post(ready->event);
    };
  });
}

void StageRunner::run(const round::KeepPayload& action) {
  COSHARD_ON(net_);
  if (incoming_payloads_ == nullptr || incoming_payloads_->empty()) return;
  const wire::Payload& payload = incoming_payloads_->front();
  KeptTensor tensor{chunk_blob(payload.bytes), payload.hash, incoming_from_, 0};
  const auto describe = [&](const TensorHeader& header) {
    tensor.blob = {header.dtype, header.encoding, header.shape, payload.bytes};
  };
  if (const auto* forward = std::get_if<ForwardTensor>(incoming_)) describe(forward->tensor);
  if (const auto* backward = std::get_if<BackwardTensor>(incoming_)) describe(backward->tensor);
  if (const auto* average = std::get_if<AveragedChunk>(incoming_))
    tensor.squared_norm = average->squared_norm;
  keep(action.key, std::move(tensor));
}

std::optional<KeptTensor> StageRunner::compute_input(const round::Work& work) {
  const TensorKey key = input_key(work);
  KeptTensor* kept = store_.find(key);
  if (kept == nullptr) return std::nullopt;
  store_.mark_used(key);
  return *kept;  // shares the bytes
}

void StageRunner::run(const round::Compute& action) {
  COSHARD_ON(net_);
  const round::Work work = action.work;
  const bool from_tokens = work.op != WorkOp::kBackward && stage_.value == 0;
  std::optional<KeptTensor> input;
  if (!from_tokens) {
    input = compute_input(work);
    if (!input) {
      ports_.post(round::ComputeDone{work, 0, 0, "its input is not here any more"});
      return;
    }
  }
  submit([this, work, input = std::move(input)](EngineHome& home) -> EngineThread::Reply {
    auto outcome = compute(home, work, input ? std::optional(input->blob) : std::nullopt);
    return [this, work, input, outcome = std::move(outcome)]() mutable {
      computed(work, input, std::move(outcome));
    };
  });
}

void StageRunner::computed(const round::Work& work, const std::optional<KeptTensor>& input,
                           Result<ComputeOutcome> outcome) {
  round::ComputeDone done{work, tokens_per_microbatch_, 0, ""};
  if (!outcome) {
    done.fault = fault_of(outcome.error().code);
    if (done.fault == UnitFault::kNone) {
      fail_engine(outcome.error().message);
      return;
    }
    done.error = outcome.error().message;
    ports_.post(std::move(done));
    return;
  }
  if (input) ports_.used(input_key(work), *input);
  const bool forward = work.op == WorkOp::kForward || work.op == WorkOp::kForwardOnly;
  const Direction direction = forward ? Direction::kForward : Direction::kBackward;
  if (outcome->output.bytes != nullptr && !outcome->output.bytes->empty())
    keep(TensorKey{work.unit, direction}, made_from(work, input, std::move(outcome->output)));
  done.loss_sum = outcome->loss_sum;
  if (!forward && work.counts) counters_.tokens_done += tokens_per_microbatch_;
  if (work.op == WorkOp::kForwardLoss)
    counters_.loss_last = done.loss_sum / static_cast<double>(tokens_per_microbatch_);
  ports_.post(std::move(done));
}

void StageRunner::run(const round::SendTensor& action) {
  COSHARD_ON(net_);
  const TensorKey key{action.unit, action.direction};
  KeptTensor* kept = store_.find(key);
  if (kept == nullptr) {
    ports_.post(round::OutputEvicted{key, true});
    return;
  }
  // The bytes lie under the unit that made them; the message names the one that they are for.
  Unit unit = action.unit;
  unit.attempt = action.to_attempt;
  const TensorHeader header{kept->blob.dtype, kept->blob.encoding, kept->blob.shape};
  Message message = ForwardTensor{unit, header, action.ordered};
  if (action.direction == Direction::kBackward)
    message = BackwardTensor{unit, header, action.slots_total};
  const wire::Payload payload = kept->payload();
  counters_.boundary_bytes_sent += payload.bytes->size();
  if (action.direction == Direction::kForward) counters_.boundary_tokens += tokens_per_microbatch_;
  ports_.sent(action.to, {unit, action.direction}, *kept);
  store_.mark_used(key);
  COSHARD_FAILPOINT("tensor.send");
  deliver({action.to, std::move(message), {payload}});
}

void StageRunner::run(const round::SendChunk& action) {
  COSHARD_ON(net_);
  submit([this, action](EngineHome& home) -> EngineThread::Reply {
    auto bytes = home.engine->gradient_chunk(action.chunk);
    return [this, action, bytes = std::move(bytes)] {
      if (!bytes) {
        fail_engine(bytes.error().message);
        return;
      }
      const GradientChunk message{action.step, stage_, action.attempt, action.chunk};
      deliver({action.to, message, {wire::hashed(*bytes)}});
    };
  });
}

Result<std::vector<SharedBytes>> StageRunner::contributions(const round::ReduceChunk& action) {
  const NodeId self = ports_.self;
  std::vector<SharedBytes> bytes;
  for (const NodeId& node : action.contributors) {
    if (node == self) {
      bytes.push_back(nullptr);  // filled on cs-engine
      continue;
    }
    const round::ChunkKey key{action.step, action.attempt, action.chunk, node, false};
    const KeptTensor* kept = store_.find(key);
    if (kept == nullptr)
      return fail(ErrorCode::kNotFound, "a contribution of " + node.short_hex() + " is not here");
    COSHARD_TRY(check_chunk(node, action.chunk, kept->blob));
    bytes.push_back(kept->blob.bytes);
    store_.erase(key);
  }
  return bytes;
}

void StageRunner::run(const round::ReduceChunk& action) {
  COSHARD_ON(net_);
  auto bytes = contributions(action);
  if (!bytes) {
    if (bytes.error().code != ErrorCode::kPermissionDenied) fail_engine(bytes.error().message);
    return;
  }
  // Alone on the stage nobody needs the average's bytes: the engine uses its sum as it is.
  if (plan_->round.admission.replicas_max == 1) bytes->clear();
  submit(
      [this, action, parts = std::move(*bytes)](EngineHome& home) mutable -> EngineThread::Reply {
        auto reduced = reduce(*home.engine, action, std::move(parts));
        return [this, action, reduced = std::move(reduced)] {
          if (!reduced) {
            fail_engine(reduced.error().message);
            return;
          }
          const bool dropped = std::pair(action.step, action.attempt) <= dropped_through_;
          if (reduced->bytes != nullptr && !dropped)
            keep(round::ChunkKey{action.step, action.attempt, action.chunk, ports_.self, true},
                 {chunk_blob(reduced->bytes), std::nullopt, {}, 0});
          ports_.post(round::ChunkReduced{action.step, action.attempt, action.chunk,
                                          reduced->squared_norm});
        };
      });
}

void StageRunner::run(const round::SendAverage& action) {
  COSHARD_ON(net_);
  const auto average = store_.find_average(action.step, action.attempt, action.chunk);
  if (!average) {
    fail_engine("an average to be sent is not kept any more");
    return;
  }
  const AveragedChunk message{action.step, stage_, action.attempt, action.chunk,
                              action.squared_norm};
  for (const NodeId& to : action.to) {
    deliver({to, message, {average->tensor->payload()}});
    COSHARD_FAILPOINT("average.half_sent");
  }
}

void StageRunner::run(const round::SetAverage& action) {
  COSHARD_ON(net_);
  std::vector<ForeignAverage> foreign;
  crypto::Sha256 hash;
  bool hashed = false;
  for (std::uint32_t chunk = 0; chunk < chunk_bytes_.size(); ++chunk) {
    const auto average = store_.find_average(action.step, action.attempt, ChunkIndex(chunk));
    if (!average && plan_->round.admission.replicas_max > 1) {
      fail_engine("the average of chunk " + std::to_string(chunk) + " is not here");
      return;
    }
    if (!average) continue;  // alone on the stage: the engine has it, and nobody compares
    if (!check_chunk(average->reducer, ChunkIndex(chunk), average->tensor->blob)) return;
    hash.update(average->tensor->payload().hash);
    hashed = true;
    if (average->reducer != ports_.self)
      foreign.push_back({ChunkIndex(chunk), average->tensor->blob.bytes,
                         average->tensor->squared_norm, average->reducer});
  }
  const round::AverageSet set{action.step, action.attempt, hashed ? hash.finish() : Hash{}};
  submit([this, set, foreign = std::move(foreign)](EngineHome& home) -> EngineThread::Reply {
    auto taken = take_averages(*home.engine, foreign);
    return [this, set, taken = std::move(taken)] {
      if (!taken)
        fail_engine(taken.error().message);
      else
        ports_.post(set);
    };
  });
}

void StageRunner::run(const round::DropUnit& action) {
  COSHARD_ON(net_);
  submit([microbatch = action.unit.microbatch](EngineHome& home) -> EngineThread::Reply {
    if (home.engine) home.engine->drop_stash(microbatch);
    return {};
  });
}

void StageRunner::run(const round::DropChunks& action) {
  COSHARD_ON(net_);
  store_.drop_chunks(action.step, action.attempt);
  dropped_through_ = std::max(dropped_through_, {action.step, action.attempt});
}

void StageRunner::run(const round::ApplyUpdate& action) {
  COSHARD_ON(net_);
  submit([this, scalars = action.scalars](EngineHome& home) -> EngineThread::Reply {
    auto report = home.engine->apply_update(scalars);
    return [this, step = scalars.step, report = std::move(report)] {
      if (!report)
        fail_engine(report.error().message);
      else
        applied(step, report->digest);
    };
  });
}

void StageRunner::applied(StepId step, const Fingerprint& digest) {
  ports_.updated(step, digest);
  ports_.post(round::UpdateApplied{step, digest});
}

/// cs-engine copies the state and goes on; the copy is written on a thread that may wait.
void StageRunner::run(const round::SaveCheckpoint& action) {
  COSHARD_ON(net_);
  const SavedStage where{site_.checkpoints, action.step, stage_};
  submit([this, where](EngineHome& home) -> EngineThread::Reply {
    auto copied = home.engine->snapshot(where.step);
    if (!copied)
      return [this, where, why = copied.error().message] {
        ports_.post(round::CheckpointSaved{where.step, {}, 0, why});
      };
    const auto copy = std::make_shared<const shard::StageSnapshot>(std::move(*copied));
    return [this, where, copy] {
      const bool taken = ports_.behind([this, where, copy]() -> BulkThread::Reply {
        const round::CheckpointSaved saved = save_checkpoint(*copy, where);
        return [this, saved] { ports_.post(saved); };
      });
      if (!taken) log(LogLevel::kWarning, "runner", "a checkpoint is not written any more");
    };
  });
}

void StageRunner::run(const round::DropStep& action) {
  COSHARD_ON(net_);
  store_.release(action.step);
  submit([](EngineHome& home) -> EngineThread::Reply {
    if (home.engine) home.engine->abort_step();
    return {};
  });
}

void StageRunner::run(const round::Release& action) {
  COSHARD_ON(net_);
  store_.release(action.step);
}

}  // namespace coshard::node
