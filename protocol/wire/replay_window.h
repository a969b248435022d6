// Which sequence numbers of one sender's incarnation have been seen: a sliding window, so that
// messages may overtake each other and none counts twice. One thread; no allocation.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bitset>
#include <cstdint>

#include "protocol/base/limits.h"

namespace coshard::wire {

class ReplayWindow {
 public:
  enum class Verdict { kFresh, kRepeated, kTooOld };

  /// What accept() would say; changes nothing. Sequence numbers start at 1; 0 is never fresh.
  Verdict check(std::uint64_t sequence) const {
    if (sequence == 0) return Verdict::kTooOld;
    if (sequence > newest_) return Verdict::kFresh;
    if (newest_ - sequence >= limits::kReplayWindow) return Verdict::kTooOld;
    return seen_[sequence % limits::kReplayWindow] ? Verdict::kRepeated : Verdict::kFresh;
  }

  /// Remembers a fresh number; false when it is not fresh.
  bool accept(std::uint64_t sequence) {
    if (check(sequence) != Verdict::kFresh) return false;
    if (sequence > newest_) {
      forget_up_to(sequence);
      newest_ = sequence;
    }
    seen_[sequence % limits::kReplayWindow] = true;
    return true;
  }

  std::uint64_t newest() const { return newest_; }

 private:
  // The slots of newest_+1 .. sequence still hold what was seen one window earlier.
  void forget_up_to(std::uint64_t sequence) {
    if (sequence - newest_ >= limits::kReplayWindow) {
      seen_.reset();
      return;
    }
    for (std::uint64_t next = newest_ + 1; next <= sequence; ++next) {
      seen_[next % limits::kReplayWindow] = false;
    }
  }

  std::uint64_t newest_ = 0;
  std::bitset<limits::kReplayWindow> seen_;
};

}  // namespace coshard::wire
