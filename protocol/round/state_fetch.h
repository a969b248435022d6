// Getting a stage's saved state from those who hold it, in pieces: what to ask of whom next.
// Several holders are asked at once; what one does not deliver is asked of another. Pieces are
// asked in ascending order within a window, so that whoever writes them down holds few and can go
// on later where the file ends. Pure: knows offsets, not bytes. One thread.
//
//   holder:  waiting ──asks()──> owes pieces ──on_piece()──> waiting
//                                     │ on_refused(kResourceExhausted), silence: asked again, of
//                                     │ whoever has room
//                                     └ any other refusal: this holder is not asked any more
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "protocol/base/clock.h"
#include "protocol/base/error.h"
#include "protocol/base/limits.h"
#include "protocol/base/messages.h"

namespace coshard::round {

struct StateWanted {
  StepId step;
  StageIndex stage;
  std::uint64_t bytes_max = 0;  ///< no such state can be larger
  std::uint64_t have = 0;       ///< bytes from the start that are there already
};

class StateFetch {
 public:
  explicit StateFetch(const StateWanted& wanted) : wanted_(wanted), done_(wanted.have) {}

  struct Ask {
    NodeId holder;
    StateAsk ask;
  };

  /// Can be asked from now on / cannot (any more): what it owes is asked of others.
  void add(const NodeId& holder);
  void remove(const NodeId& holder);

  /// What to ask now.
  std::vector<Ask> asks(TimePoint now);

  /// True: take the bytes (`bytes` of them) down, once. False: a repeated or late piece. An error:
  /// what no honest holder sends; it is not asked any more.
  Result<bool> on_piece(const NodeId& from, const StatePiece& piece, std::uint64_t bytes,
                        TimePoint now);
  void on_refused(const NodeId& from, const StateRefused& refusal, TimePoint now);

  bool complete() const { return total_ && done_ == *total_; }
  /// Bytes from the start that have come without a gap.
  std::uint64_t bytes_done() const { return done_; }
  std::optional<std::uint64_t> bytes_total() const { return total_; }
  /// Somebody may still answer.
  bool has_holders() const { return !holders_.empty(); }
  /// Why holders were given up, the newest last; kNotFound when one does not have this step (any
  /// more).
  const std::vector<Error>& refusals() const { return refusals_; }

 private:
  struct Holder {
    std::map<std::uint64_t, TimePoint> owes;  ///< by offset, since when
    TimePoint heard;
    TimePoint not_before;  ///< it has asked for patience
  };
  bool wanted(std::uint64_t offset) const;
  std::optional<std::uint64_t> next_piece() const;
  void take(std::uint64_t offset, std::uint64_t bytes);
  void give_up(const NodeId& holder, Error why);

  const StateWanted wanted_;
  std::uint64_t done_;
  std::optional<std::uint64_t> total_;
  std::map<std::uint64_t, std::uint64_t> early_;  ///< pieces behind a gap: offset, bytes
  std::map<NodeId, Holder> holders_;
  std::vector<Error> refusals_;
};

/// A holder that owes a piece and has sent none for this long is asked in vain.
inline constexpr std::chrono::seconds kStatePatience{10};
/// Pieces behind the first missing one that may be on their way.
inline constexpr std::uint64_t kStateWindow = 16;

}  // namespace coshard::round
