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

#include "node/awake_clock.h"
#include "protocol/base/rng.h"
#include "protocol/round/coordinator.h"
#include "protocol/round/participant.h"
#include "tests/sim/box_clock.h"
#include "tests/sim/planted_bug.h"
#include "tests/sim/virtual_arithmetic.h"

namespace coshard::simtest {

/// A unit that comes out as something that is not finite.
struct Poison {
  std::uint64_t step = 0;
  std::uint32_t stage = 0, microbatch = 0;
  std::optional<std::uint32_t> node = {};  ///< where; everywhere if nobody is named
  bool backward = false;                   ///< only once its gradient is in the sum
};

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
  bool may_move = false;                 ///< replicas, between stages
  /// Each box has a clock of its own (box_clock.h), and machines are told what node/awake_clock.h
  /// makes of it, as in the programs; else all have the same.
  bool own_clocks = false;
  Bug bug = Bug::kNone;  ///< committed on purpose
  /// How long nodes keep their stages without a coordinator.
  Duration coordinator_patience = std::chrono::seconds(20);
  /// How long the round waits for a stage that has lost everybody; zero: it ends.
  Duration stage_patience{0};
  bool disks_go_too = false;                             ///< of those who are killed
  std::uint64_t not_finite_from = 0, not_finite_to = 0;  ///< steps whose gradient is NaN
  std::vector<Poison> poisons;
};

/// The same training done by one loop: parameters by stage after `steps` steps, of which the
/// updates of `skipped` are left out.
std::vector<Parameters> reference(const Options& options, std::uint64_t steps,
                                  const std::set<std::uint64_t>& skipped = {});

/// What outlives processes: the coordinator's journal and the nodes' disks.
struct Disks {
  std::vector<round::JournalRecord> journal;
  struct File {
    Parameters parameters;
    HeldCheckpoint held;
  };
  std::map<std::uint32_t, std::vector<File>> files;   ///< by node
  std::map<std::uint32_t, std::vector<File>> sealed;  ///< likewise, under the hash of what is in it
};

/// One life of a round: from the start of its processes to the coordinator's RoundFinished.
class VirtualRound {
 public:
  VirtualRound(Options options, Disks& disks);
  ~VirtualRound();

  /// Node `node` dies at `at`; the others' transports notice each at its own time, within
  /// limits::kSilenceMax.
  void kill_node(std::uint32_t node, Duration at);
  /// So many times a node dies when another replica of its stage has just told the coordinator that
  /// it has the whole average.
  void kill_averaging(std::uint32_t times) { kills_averaging_ = times; }
  /// Node `node` does and hears nothing for `how_long`, and then goes on as if nothing had been.
  void freeze_node(std::uint32_t node, Duration at, Duration how_long);
  /// The clock of the box of node `node` (or of kCoordinator) is ahead by `how_far` at once. Where
  /// boxes have clocks of their own.
  void leap_clock(std::uint32_t node, Duration at, Duration how_far);
  /// The engine of node `node` takes `factor` times as long for what it is given for `how_long`.
  void slow_node(std::uint32_t node, Duration at, Duration how_long, double factor);
  /// What node `from` says to node `to` (or to kCoordinator) does not come through for `how_long`,
  /// and then all of it does, as after a silence of TCP; the other way is open.
  void block(std::uint32_t from, std::uint32_t to, Duration at, Duration how_long);
  static constexpr std::uint32_t kCoordinator = 1'000'000;
  /// Node `node`, dead or not started yet, starts (again) and asks to be let in.
  void start_node(std::uint32_t node, Duration at);
  /// Node `node` never starts.
  void stay_away(std::uint32_t node);
  /// Kills and freezes pass over a node while its stage has nobody else.
  void spare_the_last() { sparing_ = watching_ = true; }
  /// Whole stages may go; only the end of the round is not disturbed.
  void spare_nobody() { watching_ = true; }
  /// The coordinator dies at `at`, with nothing but its journal left.
  void kill_coordinator(Duration at);
  /// The coordinator dies at the first thing that it has to do after `at`, with any part of that
  /// done: written down and not spoken, spoken to some. Another takes over its journal `later`.
  void restart_coordinator(Duration at, Duration later);
  /// The coordinator does and hears nothing for `how_long`.
  void freeze_coordinator(Duration at, Duration how_long);
  /// At `at` a second coordinator starts from a copy of the first one's journal. The first lives
  /// on; each node changes between them, up to `between` after it did before, and reaches the
  /// second in the end.
  void split_coordinator(Duration at, Duration between = std::chrono::seconds(3));
  /// A round that does not get on is left at `time`, without an error.
  void stand_still_after(Duration time) { standstill_ = time; }
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
  std::uint64_t moved = 0;   ///< sent to another stage
  std::uint64_t joined = 0;  ///< became members while the round ran
  std::uint64_t events = 0;
  std::uint64_t refused = 0;
  std::uint64_t averages_fetched = 0;  ///< chunks that came from others than their reducers
  std::uint64_t commits_of_first = 0;  ///< of a coordinator after a second one had begun
  std::uint64_t units_given_back = 0;  ///< by nodes that were slow
  std::uint64_t returns = 0;           ///< coordinators that went on in the step that was open

  NodeId node_id(std::uint32_t node) const;
  NodeId coordinator_id() const;
  std::string killed_name() const { return lost_.empty() ? "nobody" : lost_.front().short_hex(); }
  std::uint64_t losses() const { return lost_.size(); }
  /// Whether the coordinator counted on this node when the round ended.
  bool is_member(std::uint32_t node) const { return members_.contains(node_id(node)); }
  std::uint32_t nodes() const { return static_cast<std::uint32_t>(nodes_.size()); }
  std::optional<std::uint32_t> stage_of(std::uint32_t node) const;
  const Parameters& parameters_of(std::uint32_t node) const;
  std::string describe() const;  ///< states of all machines, for a failed run

 private:
  class Node;
  class Desk;
  BoxClock new_clock();
  node::AwakeClock process_clock(const BoxClock& box);
  void after(Duration delay, std::function<void()> what);
  void transmit(const NodeId& from, const NodeId& to, Message message, std::uint64_t payload);
  void deliver(const NodeId& from, const NodeId& to, const Message& message, std::uint64_t payload);
  void claim_relieved(Holdings& holdings);
  void open_desk(std::vector<round::JournalRecord>& journal, bool is_copy);
  void dial(Node& node, std::size_t desk);
  void applied(const Node& node, const CommitScalars& scalars);
  Desk& desk() { return *desks_.back(); }
  const Desk& desk() const { return *desks_.back(); }
  void lose(const NodeId& node);
  void averaged(const NodeId& first);
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
  Rng clock_rng_;
  PlantedBug planted_;
  TimePoint now_{};
  std::uint64_t order_ = 0;
  std::map<std::pair<TimePoint, std::uint64_t>, std::function<void()>> queue_;  ///< by time, order
  std::map<std::pair<NodeId, NodeId>, TimePoint> links_;
  /// Of whom the coordinator has heard: what it says goes to that process, or to nobody.
  std::map<NodeId, std::uint32_t> heard_lives_;
  std::map<std::pair<NodeId, NodeId>, TimePoint> blocked_;  ///< until when
  TimePoint written_at_{};  ///< the coordinator speaks when its journal is durable
  round::CoordinatorConfig config_;
  std::vector<std::unique_ptr<Desk>> desks_;  ///< one coordinator after the other; the last leads
  std::vector<round::JournalRecord> copy_;    ///< journal of a second coordinator
  std::map<StepId, CommitScalars> applied_;   ///< by anybody, not rolled back since
  std::optional<Duration> standstill_;
  std::uint32_t opening_ = 0;  ///< coordinators that are about to take over
  bool sparing_ = false;
  bool watching_ = false;  ///< whom the coordinator counts on
  std::uint32_t kills_averaging_ = 0;
  std::set<NodeId> members_;      ///< as the coordinator last saw them
  std::vector<NodeId> lost_;      ///< killed or frozen, in this order
  std::set<NodeId> away_;         ///< of those, who does not work again
  std::set<std::uint32_t> late_;  ///< started by start_node() only
  std::vector<std::unique_ptr<Node>> nodes_;
};

}  // namespace coshard::simtest
