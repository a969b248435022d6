// How fast somebody works, as seen by whoever gives the work: time per unit while busy, and whether
// one more unit would be done by him before the others would be through with all that is left. The
// last units of a step decide how long it takes: a slow box that takes one of them holds everybody
// up, so that it is better left idle (design 3.2). Pure; owner: who gives the work.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "protocol/base/clock.h"

namespace coshard::round {

/// Somebody who takes equal units, one after the other.
struct Worker {
  double seconds = 1;  ///< per unit, > 0
  double free_in = 0;  ///< seconds until he is through with what he has

  double done_in(std::uint32_t units) const { return free_in + units * seconds; }
};

/// Seconds until the last of `units` is done where each goes to whoever would be through with it
/// first: no other division is through sooner. Units > 0 need a worker.
double finish_in(std::span<const Worker> workers, std::uint32_t units);

/// Whether the next of the `units` that are left had better go to `worker`, one of `workers`: he is
/// through with it before all of them could be, but for the error of measured times: a tenth, and
/// `noise` seconds.
bool is_worth_it(const Worker& worker, std::span<const Worker> workers, std::uint32_t units,
                 double noise = 0);

/// Time per unit of one worker, from when units were given and came back. What counts is how long
/// he was busy for all that he did, not how long a single unit was on its way: that is longer where
/// units overlap in a pipeline.
class Pace {
 public:
  /// So many units are with him now; more than before were given just now.
  void holds(std::uint32_t units, TimePoint now);
  /// `units` of them were taken away from him before they were done: he is as slow as that.
  void relieved(std::uint32_t units, TimePoint now);
  /// `units` of them have come back; he goes on with the others.
  void ends(std::uint32_t units, TimePoint now);
  /// For a whole step he got nothing: what was measured is believed a little less, so that who was
  /// slow is tried again one day.
  void rests();

  std::uint32_t held() const { return held_; }
  /// Since when the unit that he works on has been with him.
  TimePoint since() const { return returned_at_; }
  /// Nothing before the first unit.
  std::optional<double> seconds() const;
  /// He takes `seconds` per unit; more, where he should have been through with all that he holds.
  Worker worker(double seconds, TimePoint now) const;

 private:
  std::optional<double> running() const;
  void take_sample();

  std::uint32_t held_ = 0;
  std::uint32_t done_ = 0;     ///< since he had nothing
  std::uint32_t samples_ = 0;  ///< that measured_ was made of
  TimePoint busy_since_{}, returned_at_{};
  std::optional<double> measured_;  ///< of the times before that he was busy
};

}  // namespace coshard::round
