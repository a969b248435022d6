// Random messages with small random fields, so that many of them are almost right.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "protocol/base/messages.h"
#include "protocol/base/rng.h"

namespace coshard::simtest {

/// The messages of a repair.
template <class Somebody>
Message repair_junk(Rng& rng, const Somebody& somebody) {
  const auto small = [&rng] { return static_cast<std::uint32_t>(rng.below(5)); };
  const StepId step(small());
  const StageIndex stage(small());
  const Attempt attempt(rng.below(8) == 0 ? 1 : 0);
  if (rng.below(3) == 0) {
    Holdings holdings{step, MembershipEpoch(small()), stage, small() == 0, {}, Attempt(small())};
    for (std::uint32_t i = small(); i > 0; --i)
      holdings.units.push_back({MicrobatchIndex(small()), attempt,
                                static_cast<UnitProgress>(rng.below(8)), small() != 0, small() == 0,
                                small() == 0, small() == 0, Hop{somebody(), attempt},
                                Hop{somebody(), attempt}});
    return holdings;
  }
  if (rng.below(2) == 0) {
    RepairOrders orders{step, MembershipEpoch(small()), {}};
    for (std::uint32_t i = small(); i > 0; --i)
      orders.tasks.push_back({MicrobatchIndex(small()), Attempt(small()),
                              static_cast<Redo>(rng.below(4)), Hop{somebody(), attempt},
                              Hop{somebody(), attempt}, small() == 0, small() == 0});
    return orders;
  }
  return RepairTaken{step, MembershipEpoch(small())};
}

/// Any message of the protocol but a Welcome (which the shell checks against the round file before
/// the machine hears of it). `somebody` draws node ids.
template <class Somebody>
Message junk(Rng& rng, const Somebody& somebody) {
  const auto small = [&rng] { return static_cast<std::uint32_t>(rng.below(5)); };
  const StepId step(small());
  const StageIndex stage(small());
  const Attempt attempt(rng.below(8) == 0 ? 1 : 0);
  const MicrobatchIndex microbatch(small());
  const Unit unit{step, microbatch, stage, attempt};
  switch (rng.below(21)) {
    case 0:
      return JoinRequest{"", "", "", 0, 0, {}, {Incarnation(small()), step, small() == 0}};
    case 1:
      return MicrobatchPull{step, small(), small()};
    case 2:
      return UnitReport{step, stage, {{microbatch, attempt, 16, 1.0}}};
    case 3:
      return UnitRefused{unit, somebody(), "junk"};
    case 4:
      return AverageReport{step, stage, attempt, Hash{1}, std::vector<double>(small(), 1.0)};
    case 5:
      return UpdateReport{step, stage, {}};
    case 6:
      return CheckpointReport{step, stage, Hash{1}, 1, small() == 0 ? "junk" : ""};
    case 7:
      return PeerComplaint{somebody(), step, "junk"};
    case 8:
      return Refused{ErrorCode::kInternal, "junk"};
    case 9: {
      MembershipTable table{MembershipEpoch(small() * 3), {}};
      for (std::uint32_t i = small(); i > 0; --i)
        table.members.push_back({somebody(), StageIndex(small()), {}, {}, "", {}});
      return table;
    }
    case 10:
      return StepOpen{step, MembershipEpoch(small())};
    case 11:
      return MicrobatchGrant{step, small(), {{microbatch, attempt}}};
    case 12:
      return UnitAck{step, stage, {microbatch}};
    case 13: {
      StageClosed closed{step, stage, attempt, small(), {}, {}};
      for (std::uint32_t i = small(); i > 0; --i) closed.reducers.push_back(somebody());
      for (std::uint32_t i = small(); i > 0; --i)
        closed.contributions.push_back({somebody(), {microbatch}});
      return closed;
    }
    case 14: {
      Commit commit;
      commit.scalars.step = step;
      return commit;
    }
    case 15:
      return RoundEnd{EndReason::kStopped, step, small() == 0, "junk", small() == 0};
    case 16:
      return SlotGrant{small(), small(), Incarnation(small())};
    case 17:
      return ForwardTensor{unit, {}, small() == 0};
    case 18:
      return BackwardTensor{unit, {}, small()};
    case 19:
      return repair_junk(rng, somebody);
    default:
      return rng.below(2) == 0
                 ? Message(GradientChunk{step, stage, attempt, ChunkIndex(small())})
                 : Message(AveragedChunk{step, stage, attempt, ChunkIndex(small()), 1});
  }
}

}  // namespace coshard::simtest
