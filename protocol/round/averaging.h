// One replica's part in averaging its stage's gradient: reduce-scatter, then all-gather, in chunks.
// Chunk c is reduced by reducers[c % n], over the contributors in replica order; every replica ends
// with the same bytes. The object of one attempt holds only what belongs to that attempt: another
// attempt starts afresh, from sums that were left untouched. A replica without a microbatch
// contributes nothing and receives the average; the only replica reduces alone, with no network.
// Owner: the participant.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "protocol/base/messages.h"
#include "protocol/round/participant_events.h"
#include "protocol/round/pipeline.h"

namespace coshard::round {

/// Who reduces chunk `chunk`.
const NodeId& reducer_of(const StageClosed& closed, ChunkIndex chunk);

enum class AveragingPhase : std::uint8_t {
  kCollecting = 0,  ///< the book is not closed here yet; early chunks of neighbours are noted
  kExchanging = 1,  ///< chunks are sent, reduced, received
  kComplete = 2,    ///< every averaged chunk is here
};

class Averaging {
 public:
  Averaging(StepId step, StageIndex stage, Attempt attempt, NodeId self, std::uint32_t chunks);

  /// The book is closed: begin. `closed` names self as a reducer, and every reducer and contributor
  /// is a replica of the stage (checked by the caller). Early chunks that do not fit are dropped.
  ParticipantActions close(const StageClosed& closed);
  /// `closed` names holders: what is missing comes from them, and nothing is exchanged any more.
  /// Before or after close(); again, the last holders count.
  void fetch(const StageClosed& closed);
  /// Chunks whose average is not here, ascending, at most `count`.
  std::vector<ChunkIndex> missing(std::size_t count) const;
  /// A contribution of `from` to a chunk came in. kAccepted: keep its payload.
  Arrival contribution_arrived(const NodeId& from, ChunkIndex chunk);
  /// An averaged chunk came in from `from`. kAccepted: keep its payload.
  Arrival average_arrived(const NodeId& from, ChunkIndex chunk, double squared_norm);
  /// The own engine reduced a chunk.
  ParticipantActions reduced(ChunkIndex chunk, double squared_norm);
  /// What can be done now: sends and reductions within limits::kAveragingWindow. Call after each of
  /// the above.
  ParticipantActions advance();

  Attempt attempt() const { return attempt_; }
  AveragingPhase phase() const;
  bool is_complete() const { return phase() == AveragingPhase::kComplete; }
  /// By chunk; meaningful when complete.
  const std::vector<double>& squared_norms() const { return squared_norms_; }
  std::uint32_t chunks() const { return static_cast<std::uint32_t>(squared_norms_.size()); }

 private:
  enum class ChunkState : std::uint8_t {
    kMissing,   ///< no average yet
    kReducing,  ///< ReduceChunk is issued (own chunks only)
    kHave,
  };
  struct Lane {                 ///< chunks of one reducer, taken in ascending order
    std::uint32_t next = 0;     ///< the next chunk to send to it (or, own lane, to reduce)
    std::uint32_t pending = 0;  ///< sent or issued, average not here
  };
  void know(const StageClosed& closed);
  bool contributes(const NodeId& node) const;
  bool contributions_complete(ChunkIndex chunk) const;
  std::uint32_t lane_of(ChunkIndex chunk) const {
    return chunk.value % static_cast<std::uint32_t>(lanes_.size());
  }
  void advance_lane(std::uint32_t reducer, ParticipantActions& actions);
  ReduceChunk reduction(ChunkIndex chunk);
  void have(ChunkIndex chunk, double squared_norm);

  StepId step_;
  StageIndex stage_;
  Attempt attempt_;
  NodeId self_;
  bool closed_known_ = false;
  StageClosed closed_;
  bool contributes_self_ = false;
  std::vector<ChunkState> states_;
  std::vector<double> squared_norms_;
  std::uint32_t have_count_ = 0;
  std::vector<Lane> lanes_;                                  ///< by reducer
  std::vector<std::uint32_t> moved_;                         ///< lanes to look at again
  std::map<ChunkIndex, std::vector<NodeId>> contributions_;  ///< arrived, not reduced yet
  std::map<ChunkIndex, NodeId> averages_from_;  ///< early averages, judged when the book closes
};

}  // namespace coshard::round
