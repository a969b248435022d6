// What happens next in virtual time: a heap of events by time and, at one time, in the order in
// which they were pushed, so that a seed always tells the same story. One thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "protocol/base/clock.h"

namespace coshard::sim {

template <class Event>
class EventQueue {
 public:
  void push(TimePoint at, Event event) {
    std::uint32_t slot = 0;
    if (free_.empty()) {
      slot = static_cast<std::uint32_t>(events_.size());
      events_.push_back(std::move(event));
    } else {
      slot = free_.back();
      free_.pop_back();
      events_[slot] = std::move(event);
    }
    heap_.push_back({at, pushed_++, slot});
    std::push_heap(heap_.begin(), heap_.end(), later);
  }

  /// The earliest event and its time; the queue is not empty.
  std::pair<TimePoint, Event> pop() {
    std::pop_heap(heap_.begin(), heap_.end(), later);
    const Entry next = heap_.back();
    heap_.pop_back();
    free_.push_back(next.slot);
    return {next.at, std::move(events_[next.slot])};
  }

  bool empty() const { return heap_.empty(); }

 private:
  /// Small, since a heap moves its entries about; the events themselves stay where they are.
  struct Entry {
    TimePoint at;
    std::uint64_t order;
    std::uint32_t slot;
  };
  static bool later(const Entry& a, const Entry& b) {
    return a.at != b.at ? a.at > b.at : a.order > b.order;
  }

  std::vector<Entry> heap_;
  std::vector<Event> events_;
  std::vector<std::uint32_t> free_;
  std::uint64_t pushed_ = 0;
};

}  // namespace coshard::sim
