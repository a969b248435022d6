// A whole round in one thread and virtual time: the real machines of protocol/round, a seeded
// network (order kept per link, as TCP does; late duplicates; loss of control messages on request)
// and a fake engine whose arithmetic is exact in integers, so that every average, digest and
// checkpoint is checked against a sequential reference.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "protocol/base/rng.h"
#include "protocol/round/coordinator.h"
#include "protocol/round/participant.h"
#include "tests/sim/planted_bug.h"
#include "tests/sim/virtual_arithmetic.h"

namespace coshard::simtest {

struct Options {
  std::uint64_t seed = 1;
  round::RoundShape shape;
  round::Schedule schedule = round::Schedule::kOneForwardOneBackward;
  std::uint64_t steps = 3;
  std::uint64_t ledger_epoch_steps = 2;
  std::uint32_t chunks = 3;
  std::uint32_t engine_depth = 2;
  std::uint32_t in_flight_extra = 1;
  double duplicates = 0;          ///< probability that a message comes a second time, later
  double control_loss = 0;        ///< probability that a message from or to the coordinator is lost
  double junk = 0;                ///< random messages of random senders, per message sent
  double slow_node = 1;           ///< factor on the compute times of node 0
  double evictions = 0;           ///< probability that a tensor that was sent makes room at once
  std::uint32_t extra_nodes = 0;  ///< that ask to be let in, beyond stages * replicas
  std::uint32_t replicas_max = 0;  ///< seats of each stage; 0: as many as the round starts with
  std::uint64_t checkpoint_us = 50'000;  ///< that a checkpoint takes at most
  std::uint64_t journal_us = 0;          ///< that a record of the journal takes at most
  Bug bug = Bug::kNone;                  ///< committed on purpose
  std::uint64_t not_finite_from = 0, not_finite_to = 0;  ///< steps whose gradient is NaN
};

/// The same training done by one loop: parameters by stage after `steps` steps.
std::vector<Parameters> reference(const Options& options, std::uint64_t steps);

/// What outlives processes: the coordinator's journal and the nodes' disks.
struct Disks {
  std::vector<round::JournalRecord> journal;
  struct File {
    Parameters parameters;
    HeldCheckpoint held;
  };
  std::map<std::uint32_t, std::vector<File>> files;  ///< by node
};

/// One life of a round: from the start of its processes to the coordinator's RoundFinished.
class VirtualRound {
 public:
  VirtualRound(Options options, Disks& disks);
  ~VirtualRound();

  /// Node `node` dies at `at`; the others' transports notice each at its own time, within
  /// limits::kSilenceMax.
  void kill_node(std::uint32_t node, Duration at);
  /// Node `node` does and hears nothing for `how_long`, and then goes on as if nothing had been.
  void freeze_node(std::uint32_t node, Duration at, Duration how_long);
  /// What node `from` says to node `to` (or to kCoordinator) does not come through for `how_long`,
  /// and then all of it does, as after a silence of TCP; the other way is open.
  void block(std::uint32_t from, std::uint32_t to, Duration at, Duration how_long);
  static constexpr std::uint32_t kCoordinator = 1'000'000;
  /// Node `node`, dead or not started yet, starts (again) and asks to be let in.
  void start_node(std::uint32_t node, Duration at);
  /// Kills and freezes pass over a node while its stage has nobody else.
  void spare_the_last() { sparing_ = true; }
  /// The coordinator dies at `at`, with nothing but its journal left.
  void kill_coordinator(Duration at);
  /// At `at`, do something to the coordinator.
  void control(round::ControlVerb verb, Duration at);
  /// Node `node` is asked to stop at `at`.
  void leave(std::uint32_t node, Duration at);

  /// Runs until everybody has ended or `limit` of virtual time is over.
  void run(Duration limit = std::chrono::seconds(600));

  /// Told of everything that the coordinator does.
  std::function<void(const round::CoordinatorAction&)> witness;

  bool over() const;                ///< everybody alive has ended
  std::vector<std::string> errors;  ///< what the checkers found
  std::optional<round::RoundFinished> finished;
  std::vector<round::StepRecord> committed;
  std::vector<round::EpochFinished> epochs;
  std::vector<round::CheckpointComplete> checkpoints;
  std::vector<round::RolledBack> rollbacks;
  std::optional<Duration> killed_at, named_at;  ///< the first loss
  std::uint64_t microbatches_repaired = 0;
  std::uint64_t joined = 0;  ///< became members while the round ran
  std::uint64_t events = 0;
  std::uint64_t refused = 0;

  NodeId node_id(std::uint32_t node) const;
  NodeId coordinator_id() const;
  std::string killed_name() const { return lost_.empty() ? "nobody" : lost_.front().short_hex(); }
  std::uint64_t losses() const { return lost_.size(); }
  /// Whether the coordinator counted on this node when the round ended.
  bool is_member(std::uint32_t node) const;
  std::optional<std::uint32_t> stage_of(std::uint32_t node) const;
  const Parameters& parameters_of(std::uint32_t node) const;
  std::string describe() const;  ///< states of all machines, for a failed run

 private:
  class Node;
  void after(Duration delay, std::function<void()> what);
  void transmit(const NodeId& from, const NodeId& to, Message message, std::uint64_t payload);
  void deliver(const NodeId& from, const NodeId& to, const Message& message, std::uint64_t payload);
  void coordinate(const round::CoordinatorEvent& event);
  bool vouch(const round::Received& heard);
  void execute(round::CoordinatorActions actions);
  void execute(const round::Send& action);
  void execute(const round::Persist& action);
  void execute(const round::StepCommitted& action);
  void execute(const round::EpochFinished& action);
  void execute(const round::CheckpointComplete& action);
  void execute(const round::RolledBack& action);
  void execute(const round::RoundFinished& action);
  void execute(const round::MemberGone&) {}
  void execute(const round::Note& action);
  void execute(const round::PeerFault& action);
  void lose(const NodeId& node);
  void revive(Node& node);
  bool may_lose(const Node& victim) const;
  bool may_be_cut_off(const NodeId& node) const;
  Duration silence();
  /// The coordinator itself ends the round because something does not fit together.
  bool end_is_internal() const { return finished && finished->reason == EndReason::kInternal; }
  void tick();
  void send_junk();
  void error(std::string text);
  Duration delay(std::uint64_t up_to_us);
  Node* find(const NodeId& id);

  Options options_;
  Disks& disks_;
  Rng rng_;
  PlantedBug planted_;
  TimePoint now_{};
  std::uint64_t order_ = 0;
  std::map<std::pair<TimePoint, std::uint64_t>, std::function<void()>> queue_;  ///< by time, order
  std::map<std::pair<NodeId, NodeId>, TimePoint> links_;
  std::map<std::pair<NodeId, NodeId>, TimePoint> blocked_;  ///< until when
  TimePoint written_at_{};  ///< the coordinator speaks when its journal is durable
  std::unique_ptr<round::Coordinator> coordinator_;
  bool coordinator_alive_ = true;
  bool sparing_ = false;
  std::set<NodeId> members_;      ///< as the coordinator last saw them
  std::vector<NodeId> lost_;      ///< killed or frozen, in this order
  std::set<NodeId> away_;         ///< of those, who does not work again
  std::set<std::uint32_t> late_;  ///< started by start_node() only
  std::vector<std::unique_ptr<Node>> nodes_;
};

}  // namespace coshard::simtest
