// One node of the virtual round: the shell around a Participant, with a fake engine that works
// through its jobs one after the other in virtual time, a store of payloads, and checks of what the
// machine asks for.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "protocol/round/participant.h"
#include "tests/sim/virtual_round.h"

namespace coshard::simtest {

class VirtualRound::Node {
 public:
  Node(VirtualRound& world, std::uint32_t index);

  void start();
  void handle(const round::ParticipantEvent& event);
  /// Time, and the heartbeats that the shell sends.
  void tick();
  /// A message with its payload came in.
  void receive(const NodeId& from, const Message& message, std::uint64_t payload);

  /// A new process with the same identity and disk asks to be let in.
  void restart();

  /// How often it was started anew.
  std::uint32_t life() const { return life_; }

  /// As its process reads it.
  TimePoint now() const { return clock_->now(); }

  BoxClock box;
  bool alive = true;
  bool started = false;
  bool ended = false;
  TimePoint frozen_until{};
  double slowness = 1;  ///< factor on the times of its engine
  bool refused = false;
  std::uint32_t index;
  NodeId id;
  std::size_t desk = 0;   ///< the coordinator that its connection leads to
  Generation generation;  ///< the newest that it has heard
  Parameters parameters;
  std::unique_ptr<round::Participant> machine;
  std::string last_words;

 private:
  void execute(round::ParticipantActions actions);
  void execute(const round::SendMessage& action);
  void execute(const round::Begin& action);
  void execute(const round::FetchState& action);
  void execute(const round::UseTable&) {}
  void execute(const round::KeepPayload& action);
  void execute(const round::Compute& action);
  void execute(const round::SendTensor& action);
  void execute(const round::SendChunk& action);
  void execute(const round::ReduceChunk& action);
  void execute(const round::SendAverage& action);
  void execute(const round::SetAverage& action);
  void execute(const round::DropUnit& action);
  void execute(const round::DropChunks& action);
  void execute(const round::ApplyUpdate& action);
  void execute(const round::SaveCheckpoint& action);
  void execute(const round::SealShard& action);
  void execute(const round::KeepShard& action);
  void execute(const round::RestoreShard& action);
  void execute(const round::DropStep& action);
  void execute(const round::Release& action);
  void execute(const round::SettleEpoch& action);
  void execute(const round::PeerFault& action);
  void execute(const round::Ended& action);

  void make_machine();
  /// What comes of this process, while it is the same.
  void later(Duration delay, std::function<void()> what);
  void job(std::uint64_t up_to_us, std::function<void()> work);
  void next_job();
  void compute(const round::Work& work);
  bool is_poisoned(const round::Work& work) const;
  void backward(const round::Work& work, std::uint64_t gradient);
  void accumulate(const round::Work& work, std::uint64_t gradient);
  std::uint64_t take(const round::PayloadKey& key);
  void put(const round::PayloadKey& key, std::uint64_t payload);
  void check_in_flight();
  std::string key_name(const round::PayloadKey& key) const;
  void error(const std::string& text);

  VirtualRound& world_;
  std::optional<node::AwakeClock> clock_;
  std::uint32_t life_ = 0;
  std::uint32_t stage_ = 0;
  std::uint64_t payload_in_hand_ = 0;
  std::map<round::PayloadKey, std::uint64_t> store_;
  TimePoint heartbeat_at_{};
  std::deque<std::pair<Duration, std::function<void()>>> jobs_;
  bool busy_ = false;
  bool saving_ = false;  ///< a copy of the state is being written
  std::size_t computes_unanswered_ = 0;
  std::map<Unit, std::uint64_t> stash_;  ///< inputs of forwards whose backward has not run
  std::map<StepId, std::vector<std::uint64_t>> sums_;
  std::map<StepId, std::vector<MicrobatchIndex>> accumulated_;
  std::map<std::pair<StepId, ChunkIndex>, std::uint64_t> fenced_;  ///< where a bug is planted
  using OwnAverage = std::tuple<StepId, Attempt, ChunkIndex>;
  std::map<OwnAverage, std::uint64_t> averaged_;  ///< reduced here
  std::optional<std::pair<StepId, std::vector<std::uint64_t>>> average_;
  std::set<StepId> dropped_;
  StepId released_;
};

}  // namespace coshard::simtest
