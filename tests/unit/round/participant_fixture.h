// One node's machine, driven word by word.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "protocol/round/participant.h"
#include "tests/unit/round/round_nodes.h"

namespace coshard::round {

inline const Incarnation kLife(1);
inline const NodeId kCoordinator = node(100);

/// A node in a round of three stages of two replicas, nodes (stage, replica) = (n / 2, n % 2).
class ParticipantTest : public testing::Test {
 protected:
  void start(std::uint32_t self) {
    ParticipantConfig config;
    config.self = node(self);
    config.coordinator = kCoordinator;
    machine.emplace(config);
    take(machine->start(now));
  }
  void sit(std::uint32_t self) {
    start(self);
    obey(Welcome{StageIndex(self / 2), ReplicaIndex(self % 2), kLife, {}, StepId(0), {}});
    happen(StageReady{{3, 2, 4, 16}, Schedule::kOneForwardOneBackward, 2, {}});
    obey(table(6));
    obey(StepOpen{StepId(1), MembershipEpoch(6)});
  }
  /// Of so many members, in an epoch of that number: two to a stage, in the last all others.
  static MembershipTable table(std::uint32_t members) {
    MembershipTable made{MembershipEpoch(members), {}};
    for (std::uint32_t n = 0; n < members; ++n) {
      const std::uint32_t stage = std::min(n / 2, 2U);
      made.members.push_back(
          {node(n), StageIndex(stage), ReplicaIndex(n - 2 * stage), kLife, "", {}});
    }
    return made;
  }
  void take(ParticipantActions actions) {
    for (auto& action : actions) did.push_back(std::move(action));
  }
  void happen(const ParticipantEvent& event) { take(machine->on(event, now)); }
  void hear(std::uint32_t from, Message message) {
    happen(Received{node(from), std::move(message), {}});
  }
  void obey(Message message) { happen(Received{kCoordinator, std::move(message), {}}); }
  template <class A>
  std::vector<A> all() const {
    std::vector<A> found;
    for (const auto& action : did)
      if (const auto* what = std::get_if<A>(&action)) found.push_back(*what);
    return found;
  }
  template <class M>
  std::vector<M> told(const NodeId& to) const {
    std::vector<M> found;
    for (const auto& send : all<SendMessage>())
      if (const auto* message = std::get_if<M>(&send.message); message && send.to == to)
        found.push_back(*message);
    return found;
  }
  /// Node 5 hears that a step is committed to which it has contributed nothing.
  void commit(std::uint64_t step, bool checkpoint) {
    const StepId id(step);
    obey(StageClosed{id, StageIndex(2), Attempt(0), 64, {{node(4), {}}}, {node(4), node(5)}});
    hear(4, GradientChunk{id, StageIndex(2), Attempt(0), ChunkIndex(1)});
    hear(4, AveragedChunk{id, StageIndex(2), Attempt(0), ChunkIndex(0), 2.0});
    happen(ChunkReduced{id, Attempt(0), ChunkIndex(1), 3.0});
    happen(AverageSet{id, Attempt(0), Hash{1}});
    Commit message;
    message.scalars.step = id;
    message.checkpoint = checkpoint;
    obey(message);
  }
  void done(WorkOp op, const Unit& what) { happen(ComputeDone{{op, what}, 16, 1.5, ""}); }

  std::optional<Participant> machine;
  ParticipantActions did;
  TimePoint now{};
};

}  // namespace coshard::round
