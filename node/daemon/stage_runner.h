// Executes what the node's machine asks of the stage: computes on cs-engine, keeps bytes until the
// commit, sends tensors and chunks. Knows nothing of membership or of when: the machine decides,
// the runner does. Home thread: cs-net.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <deque>
#include <filesystem>
#include <functional>

#include "node/daemon/bulk_thread.h"
#include "node/daemon/engine_jobs.h"
#include "node/daemon/engine_thread.h"
#include "node/daemon/stage_host.h"
#include "node/daemon/tensor_store.h"
#include "protocol/round/participant.h"

namespace coshard::node {

/// What the runner reaches of its surroundings; all called on cs-net.
struct RunnerPorts {
  NodeId self;
  /// An event for the machine; never handled inside the call.
  std::function<void(round::ParticipantEvent)> post;
  std::function<Result<void>(const NodeId&, const Message&, std::span<const wire::Payload>)> send;
  /// A boundary tensor left for `to`, under the attempt that the message says: the receipts'
  /// business.
  std::function<void(const NodeId& to, const round::TensorKey&, const KeptTensor&)> sent;
  /// A tensor that came from a neighbour was checked and computed with.
  std::function<void(const round::TensorKey&, const KeptTensor&)> used;
  /// The stage's parameters after `step`.
  std::function<void(StepId step, const Fingerprint&)> updated;
  /// Does the job where a slow disk holds up nobody, and then its reply on cs-net; false when that
  /// thread is closed.
  std::function<bool(BulkThread::Job)> behind;
};

/// Since the start of this process.
struct RunnerCounters {
  std::uint64_t boundary_bytes_sent = 0;  ///< payloads, both directions
  std::uint64_t boundary_tokens = 0;      ///< that went forward
  std::uint64_t tokens_done = 0;          ///< through this stage, forward and backward, counted
  double loss_last = 0;                   ///< per token, of the last microbatch; last stage only
};

class StageRunner {
 public:
  StageRunner(EngineThread& engine, StageSite site, RunnerPorts ports);

  /// What came with the Welcome that is being handled.
  void set_package(RoundPackage package) { package_ = std::move(package); }
  /// The message that the machine is about to hear: KeepPayload refers to it.
  void set_incoming(const NodeId& from, const Message* message,
                    const std::vector<wire::Payload>* payloads);

  void run(const round::Begin& action);
  void run(const round::KeepPayload& action);
  void run(const round::Compute& action);
  void run(const round::SendTensor& action);
  void run(const round::SendChunk& action);
  void run(const round::ReduceChunk& action);
  void run(const round::SendAverage& action);
  void run(const round::SetAverage& action);
  void run(const round::DropUnit& action);
  void run(const round::DropChunks& action);
  void run(const round::ApplyUpdate& action);
  void run(const round::SaveCheckpoint& action);
  void run(const round::DropStep& action);
  void run(const round::Release& action);

  /// Takes in what cs-engine has finished and sends again what found no room or no
  /// connection yet.
  void turn();
  const RunnerCounters& counters() const { return counters_; }
  const TensorStore& store() const { return store_; }
  /// Once Begin has been answered well.
  const std::optional<StagePlan>& plan() const { return plan_; }

 private:
  struct Parcel {
    NodeId to;
    Message message;
    std::vector<wire::Payload> payloads;
  };
  void submit(EngineThread::Job job);
  void deliver(Parcel parcel);
  void keep(const round::PayloadKey& key, KeptTensor tensor);
  void evicted(const round::PayloadKey& key);
  void fail_engine(const std::string& what);
  void blame(const NodeId& peer, const std::string& reason);
  /// kPermissionDenied, and blamed, unless the chunk has the size that this stage's has.
  Result<void> check_chunk(const NodeId& from, ChunkIndex chunk, const TensorBlob& blob);
  void computed(const round::Work& work, const std::optional<KeptTensor>& input,
                Result<ComputeOutcome> outcome);
  void applied(StepId step, const Fingerprint& digest);
  Result<std::vector<SharedBytes>> contributions(const round::ReduceChunk& action);
  std::optional<KeptTensor> compute_input(const round::Work& work);

  EngineThread& engine_;
  const StageSite site_;
  const RunnerPorts ports_;
  RoundPackage package_;
  std::optional<StagePlan> plan_;
  StageIndex stage_;
  std::vector<std::uint64_t> chunk_bytes_;  ///< by chunk of this stage's gradient
  std::uint64_t tokens_per_microbatch_ = 0;
  TensorStore store_;
  std::pair<StepId, Attempt> dropped_through_;  ///< averaging attempts that came to nothing
  NodeId incoming_from_;
  const Message* incoming_ = nullptr;
  const std::vector<wire::Payload>* incoming_payloads_ = nullptr;
  std::deque<EngineThread::Job> waiting_jobs_;
  std::deque<Parcel> waiting_parcels_;
  RunnerCounters counters_;
  ThreadRole net_;
};

}  // namespace coshard::node
