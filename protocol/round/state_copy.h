// Copying a file from those who have it until it is whole, or they have had every chance: all of
// them at once; should what they sent together be false, each alone, so that one liar cannot spoil
// the honest ones' copy. What was there before may be another file's beginning: then all of them
// once more. What to ask of whom within a try: state_fetch.h. Pure: the bytes and their hash stay
// with the shell. One thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <deque>
#include <optional>
#include <set>
#include <vector>

#include "protocol/round/state_fetch.h"

namespace coshard::round {

class StateCopy {
 public:
  /// `file.bytes`: no such file is larger.
  StateCopy(const ShardFile& file, const std::vector<NodeId>& holders);

  /// The next try begins; `have` bytes from the start are there.
  void begin(std::uint64_t have, TimePoint now);
  /// Who is asked in this try.
  const std::vector<NodeId>& holders() const { return tries_.front(); }
  /// Only who is connected can answer. Others than this try's holders do not matter.
  void set_connected(const NodeId& holder, bool connected);
  /// What to ask now.
  std::vector<StateFetch::Ask> asks(TimePoint now) { return fetch_->asks(now); }
  /// As StateFetch.
  Result<bool> on_piece(const NodeId& from, const StatePiece& piece, std::uint64_t bytes,
                        TimePoint now);
  void on_refused(const NodeId& from, const StateRefused& refusal, TimePoint now) {
    fetch_->on_refused(from, refusal, now);
  }

  /// All bytes are there; whether they are the right ones the shell says.
  bool complete() const { return fetch_->complete(); }
  std::uint64_t bytes_done() const { return fetch_->bytes_done(); }
  /// Bytes of this try, and since when.
  std::uint64_t bytes_come() const { return bytes_done() - had_; }
  TimePoint since() const { return since_; }
  /// Why this try comes to nothing, once it does: all have refused (the last one's reason);
  /// kCorruption: what was there before is no beginning; kDeadlineExceeded: nothing came for long.
  std::optional<Error> failure(TimePoint now) const;
  /// After a failure, or where the whole is false (kCorruption): true when there is another try, to
  /// begin without what was there.
  bool try_again(const Error& why);

 private:
  using Holders = std::vector<NodeId>;
  const ShardFile file_;
  std::deque<Holders> tries_;  ///< the first is under way
  std::optional<StateFetch> fetch_;
  std::set<NodeId> asked_;  ///< known to fetch_
  std::uint64_t had_ = 0;
  bool began_ = false;
  TimePoint since_{}, news_at_{};
};

/// Longer than a holder's patience, so that another one has been asked meanwhile.
inline constexpr std::chrono::seconds kCopyPatience{30};
static_assert(kCopyPatience > kStatePatience);

}  // namespace coshard::round
