// cs-net of a node: the shell around round::Participant. Turns frames, timers and the engine's
// answers into events, and executes what the machine decides: what computes goes to cs-engine
// first, then messages leave; receipts follow when nothing waits. Home thread: cs-net.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <deque>
#include <filesystem>
#include <optional>
#include <set>
#include <string>

#include "node/awake_clock.h"
#include "node/courier.h"
#include "node/daemon/receipts.h"
#include "node/daemon/shard_keeper.h"
#include "node/daemon/stage_runner.h"
#include "node/daemon/state_client.h"
#include "node/daemon/state_server.h"
#include "node/daemon/status_file.h"
#include "node/startup.h"
#include "protocol/round/participant.h"
#include "protocol/transport/reactor.h"

namespace coshard::node {

/// What never changes while the program runs.
struct NodeSetup {
  Invitation invitation;
  std::filesystem::path directory;
  StageSite site;
  std::string endpoint;                              ///< where other nodes reach this one
  std::string device_name;                           ///< for people
  Duration patience = limits::kCoordinatorPatience;  ///< with a coordinator that is away
};

/// How it ended, for main.
struct NodeOutcome {
  std::optional<round::Ended> ended;
  std::string coordinator_trouble;  ///< last thing that went wrong on the way to the coordinator
};

class NodeNet {
 public:
  /// Everything referred to outlives this object.
  struct Surroundings {
    transport::Reactor& reactor;
    transport::Transport& transport;
    const crypto::Identity& identity;
    const Clock& clock;
    EngineThread& engine;
    BulkThread& writer;
  };
  NodeNet(NodeSetup setup, Surroundings surroundings);

  /// Starts timers and asks to be let in; on cs-net before the reactor runs.
  void start();
  /// SIGTERM: says so to the coordinator, then ends. cs-net.
  void leave(const std::string& reason);
  /// The engine has answered: called (posted) on cs-net.
  void engine_ready();

  const NodeOutcome& outcome() const { return outcome_; }

 private:
  void on_message(const NodeId& from, wire::Opened opened);
  void on_lost(const NodeId& peer, const std::string& reason);
  void on_link(const transport::PeerEvent& event);
  bool on_welcome(const wire::Opened& opened, const Welcome& welcome);
  bool for_receipts(const NodeId& from, const wire::Opened& opened);
  bool for_readers(const NodeId& from, const wire::Opened& opened);
  StateServerPorts state_ports();
  StateClientPorts copy_ports();
  void admit_coordinator();
  void follow_generation(Generation generation);
  void overhear(const Message& message);
  void handle(round::ParticipantEvent event);
  void drain();
  void execute(round::ParticipantActions actions);
  template <class Action>
  void run(const Action& action) {
    runner_.run(action);
  }
  void run(const round::SendMessage& action);
  void run(const round::FetchState& action) { copy_.fetch(action); }
  void run(const round::SealShard& action) { keeper_.run(action); }
  void run(const round::KeepShard& action) { keeper_.run(action); }
  void run(const round::RestoreShard& action) { keeper_.run(action); }
  void run(const round::UseTable& action);
  void run(const round::DropStep& action);
  void run(const round::SettleEpoch& action);
  void run(const round::PeerFault& action);
  void run(const round::Ended& action);
  void admit_member(const Member& member, std::uint32_t own_stage);
  void heartbeat();
  void tick();
  void write_status();
  void leave_when_quiet();

  const NodeSetup setup_;
  Surroundings at_;
  AwakeClock clock_;  ///< for everything here that has deadlines
  Courier courier_;
  StageRunner runner_;
  Receipts receipts_;
  StateServer states_;
  StateClient copy_;  ///< of the others' state, while this node joins
  ShardKeeper keeper_;
  round::Participant machine_;
  StatusFile status_;
  wire::Payload certificate_;
  PublicLog ledger_;
  std::set<NodeId> neighbours_;  ///< whom we exchange tensors with
  std::map<NodeId, StageIndex> stages_;
  std::deque<round::ParticipantEvent> events_;
  bool executing_ = false;
  Generation generation_;          ///< the newest that the coordinator has shown
  bool coordinator_gone_ = false;  ///< said so, and not heard since
  std::optional<TimePoint> leave_by_;
  NodeOutcome outcome_;
  ThreadRole net_;
};

}  // namespace coshard::node
