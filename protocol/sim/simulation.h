// A round in virtual time: the real coordinator's machine, a real participant's machine in every
// box, lines and engines that take the time which they cost, boxes that go without a word and
// others that ask to be let in. One thread, no input or output; a seed always tells the same story.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <optional>

#include "protocol/sim/coordinator_load.h"
#include "protocol/sim/scenario.h"

namespace coshard::sim {

/// How far a simulation is.
struct Progress {
  double seconds = 0;  ///< of virtual time
  std::uint64_t steps = 0;
  std::uint64_t events = 0;
};
using ProgressFn = std::function<void(const Progress&)>;

/// What came of it, from the first commit to the last one.
struct RunFigures {
  std::uint64_t steps = 0;  ///< commits after the first
  double seconds = 0;       ///< of virtual time, for these steps
  double utilisation = 0;   ///< FLOPs of these steps, of all that the boxes at the start could do
  double redone = 0;        ///< FLOPs done for repairs, likewise
  std::uint32_t seats = 0;  ///< boxes at the start
  std::uint32_t members_at_end = 0;
  std::uint64_t boxes_lost = 0;
  std::uint64_t microbatches_repaired = 0;
  std::uint64_t joins = 0;          ///< boxes that became members while the round ran
  std::uint64_t joins_refused = 0;  ///< times that one was sent away; it asks again later
  std::uint64_t rollbacks = 0;
  std::uint64_t shards_kept = 0;  ///< sealed copies that went to another stage's box
  std::uint64_t bytes_kept = 0;   ///< of these, on the lines
  std::uint64_t faults = 0;  ///< messages that one machine held against another: none, or a bug
  std::optional<round::RoundFinished> finished;  ///< the round ended by itself
  double seconds_simulated = 0;
  std::uint64_t events = 0;
  bool out_of_events = false;  ///< scenario.events_max ended it
  CoordinatorLoad load;        ///< since the first commit, where it was watched
};

/// Runs `scenario` to its end. `meter` (or nullptr) watches the coordinator from the first commit
/// on; `progress` (may be empty) is told now and then.
RunFigures simulate(const Scenario& scenario, LoadMeter* meter = nullptr,
                    const ProgressFn& progress = {});

}  // namespace coshard::sim
