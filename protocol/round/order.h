// What a stage does next: 1F1B or GPipe over the work that has arrived. Pure functions, any thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <optional>

#include "protocol/base/messages.h"
#include "protocol/round/work.h"

namespace coshard::round {

/// A unit at one stage within one step. Repair may bring a microbatch here under several attempts.
struct UnitKey {
  MicrobatchIndex microbatch;
  Attempt attempt;
  auto operator<=>(const UnitKey&) const = default;
};

/// Units that may be computed, and as what: kCount, or for a repair kForward or kPass.
using ReadyUnits = std::map<UnitKey, Redo>;

/// One stage of one replica within one step, as far as the order of work depends on it.
struct PipelineState {
  Schedule schedule = Schedule::kOneForwardOneBackward;
  StepId step;
  std::uint32_t stage = 0;
  std::uint32_t stages = 1;
  std::uint32_t microbatches = 1;
  /// Every stage has one replica: every microbatch passes here, and forwards and backwards each run
  /// in ascending order, so that gradients add in ascending order (design 3.1).
  bool in_order = false;
  std::uint32_t in_flight_max = 1;  ///< forwards whose backward has not been issued
  std::uint32_t forwards = 0;       ///< issued, with a backward to follow
  std::uint32_t backwards = 0;      ///< issued
  ReadyUnits inputs;                ///< here; forward not issued
  ReadyUnits gradients;             ///< here; backward not issued

  bool is_last() const { return stage + 1 == stages; }
};

/// Forwards that stage `stage` may hold: the 1F1B depth `stages - stage` and `extra` more to hide
/// the network's delay; with GPipe every microbatch of the step. Also the number of inputs that it
/// lets its upstream replicas send in all.
std::uint32_t in_flight_limit(Schedule schedule, std::uint32_t stages, std::uint32_t stage,
                              std::uint32_t microbatches, std::uint32_t extra);

/// The next work over what has arrived, or nothing. 1F1B: backwards first, then forwards within the
/// limit. GPipe: forwards first; with `in_order` no backward before the last forward. The last
/// stage runs forward, loss and backward in one and is never held back, nor is what only passes
/// through.
std::optional<Work> next_work(const PipelineState& state);

}  // namespace coshard::round
