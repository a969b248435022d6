// A coordinator of the virtual round: the shell around one life of a Coordinator, with checks of
// what it decides. When it dies another one may be opened over its journal.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "tests/sim/virtual_round.h"

namespace coshard::simtest {

class VirtualRound::Desk {
 public:
  Desk(VirtualRound& world, round::CoordinatorConfig config,
       std::vector<round::JournalRecord>& journal, std::size_t index);

  void start();
  void coordinate(const round::CoordinatorEvent& event);
  /// Time, and the heartbeats that the shell sends.
  void tick();
  /// It dies at the next thing that it has to do, somewhere in the middle of it; then `dead`.
  void doom(std::function<void()> dead);
  /// It does and hears nothing for so long; then everything at once.
  void freeze(Duration how_long);
  /// Whether it lived to say what waited until `when` for the disk.
  bool has_spoken(TimePoint when) const { return !died_at_ || when <= *died_at_; }
  /// What the sender's node can prove with the coordinator's own signatures: there is a newer one,
  /// or a commit that this journal lacks. The program ends by name.
  bool is_outdated(const Node& sender, const Message& message) const;
  Generation generation() const { return machine->status().generation; }

  BoxClock box;
  bool alive = true;
  std::unique_ptr<round::Coordinator> machine;

 private:
  bool leads() const { return &world_.desk() == this; }
  bool vouch(const round::Received& heard);
  void die();
  TimePoint time_of(const round::CoordinatorEvent& event) const;
  void execute(round::CoordinatorActions actions);
  void execute(const round::Send& action);
  void execute(const round::Persist& action);
  void execute(const round::StepCommitted& action);
  void execute(const round::EpochFinished& action);
  void execute(const round::CheckpointComplete& action);
  void execute(const round::RolledBack& action);
  void execute(const round::RoundFinished& action);
  void execute(const round::MemberGone&) {}
  void execute(const round::MemberBack&) {}
  void execute(const round::Note& action);
  void execute(const round::PeerFault& action);

  VirtualRound& world_;
  const node::AwakeClock clock_;
  std::vector<round::JournalRecord>& journal_;
  const std::size_t index_;
  std::vector<round::StepRecord> committed_;
  std::optional<round::RoundFinished> finished_;
  std::function<void()> doomed_;
  std::vector<TimePoint> durable_at_;  ///< by record of this life
  std::optional<TimePoint> died_at_;
  TimePoint frozen_until_{};
  TimePoint heartbeat_at_{};
};

}  // namespace coshard::simtest
