// cs-net of the coordinator: the shell around round::Coordinator. Turns frames, timers and commands
// into events, and executes what the machine decides: journal first, then messages; the ledger's
// work goes to cs-ledger and never holds a step up. Home thread: cs-net; control() and finished
// callbacks as stated.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <deque>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <tuple>

#include "node/awake_clock.h"
#include "node/coordinator/http.h"
#include "node/coordinator/journal.h"
#include "node/coordinator/ledger_thread.h"
#include "node/coordinator/progress_log.h"
#include "node/courier.h"
#include "node/round_file.h"
#include "protocol/round/coordinator.h"
#include "protocol/round/rebalance.h"
#include "protocol/round/state_transfer.h"
#include "protocol/transport/reactor.h"

namespace coshard::node {

/// What never changes while the program runs.
struct CoordinatorSetup {
  RoundFile round;
  std::string round_text;
  std::string manifest_text;
  Bytes genesis_entry;
  NetworkId network;
  std::uint64_t fingerprint_secret = 0;  ///< keys of the parameter digests are drawn from it
  Hash seal_secret{};                    ///< and keys of sealed shards from this
  bool journal_is_copy = false;          ///< the coordinator that wrote it may live on elsewhere
  bool roll_back = false;                ///< to the last complete checkpoint, whoever lives
  Duration stage_patience{};             ///< with a stage that has lost all its nodes
  Duration move_patience = round::kMovePatience;  ///< with a weak stage, where seats do not stick
  Duration admission_patience{};  ///< with nodes of a resumed round that do not come
  std::filesystem::path directory;
  std::string resume_command;  ///< what a person types to go on after an early end
  std::string ledger_url;      ///< where the public log is served, as nodes reach it
};

/// How the round ended, for main.
struct CoordinatorOutcome {
  std::optional<round::RoundFinished> finished;
  std::vector<std::string> lost;  ///< "node <id> (stage 0, replica 1) at tcp://…: silent for …"
  std::optional<Error> error;     ///< what of our own broke: journal, ledger
};

class CoordinatorNet {
 public:
  /// Everything referred to outlives this object. `history` is what `journal` holds.
  struct Surroundings {
    transport::Reactor& reactor;
    transport::Transport& transport;
    const crypto::Identity& identity;
    const Clock& clock;
    Journal& journal;
    LedgerThread& ledger;
    ProgressLog& progress;
    HttpServer* http = nullptr;  ///< none in tests without one
  };
  CoordinatorNet(CoordinatorSetup setup, Surroundings surroundings,
                 const std::vector<round::JournalRecord>& history);

  /// Starts timers and the machine; call on cs-net before the reactor runs.
  void start();
  /// A command of the operator. cs-net.
  void control(round::ControlVerb verb);
  /// Somebody may copy the state of every stage for a while, unless too many do. cs-net.
  void name_reader(const crypto::NodeCertificate& certificate);
  /// Has the reactor been stopped because everything is over?
  bool is_over() const { return over_; }
  const CoordinatorOutcome& outcome() const { return outcome_; }
  round::CoordinatorStatus status() const { return machine_.status(); }

 private:
  void on_message(const NodeId& from, wire::Opened opened);
  void on_lost(const NodeId& peer, const std::string& reason);
  void on_link(const transport::PeerEvent& event);
  void join(const NodeId& from, wire::Opened opened);
  void handle(const round::CoordinatorEvent& event);
  void execute(round::CoordinatorActions actions);
  bool persist_from(round::CoordinatorActions& actions, std::size_t& at);
  void run(const round::Send& action);
  void run(const round::Persist&) {}  // persist_from took it
  void run(const round::StepCommitted& action);
  void run(const round::EpochFinished& action);
  void run(const round::CheckpointComplete& action);
  void run(const round::RolledBack& action);
  void run(const round::RoundFinished& action);
  void run(const round::MemberGone& action);
  void run(const round::MemberBack& action);
  bool let_speak(const NodeId& node, Incarnation incarnation);
  bool is_outdated(const NodeId& from, const wire::Opened& opened);
  void run(const round::Note& action);
  void run(const round::PeerFault& action);
  void welcome(const NodeId& to, const Welcome& message);
  void note_holders(StepId step);
  void on_ledger(const LedgerReply& reply);
  void heartbeat();
  void announce_readers();
  void publish();
  void tick();
  void stop_on(const Error& error);
  void leave_when_quiet();

  const CoordinatorSetup setup_;
  Surroundings at_;
  AwakeClock clock_;  ///< for everything here that has deadlines
  Courier courier_;
  round::Coordinator machine_;
  std::vector<wire::Payload> welcome_payloads_;
  std::map<NodeId, crypto::CurveKey> channels_;             // of strangers and members
  std::map<NodeId, crypto::NodeCertificate> certificates_;  // of those who asked to join
  /// Who held what, by step, until its ledger epoch is closed.
  std::map<StepId, std::set<std::tuple<StageIndex, NodeId, Incarnation>>> holders_;
  round::ReaderBook readers_;
  std::deque<round::CoordinatorEvent> events_;
  bool executing_ = false;
  std::optional<TimePoint> leave_by_;
  bool over_ = false;
  CoordinatorOutcome outcome_;
  ThreadRole net_;
};

}  // namespace coshard::node
