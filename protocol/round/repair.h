// What to do again when nodes are lost in the middle of a step: the least work that completes it
// (design 3.3). Two pure functions: one over a single microbatch's path, which knows no nodes, and
// one over a whole step, which finds the facts in what the live nodes say they hold and picks who
// does what. Owner: the coordinator; any thread.
//
// Every need has one cheapest way to be met, so the least work is the closure of the needs:
//   - a stage that nobody has counted or holds is counted by somebody: it needs the output of the
//     stage before and the gradient of the stage behind;
//   - a unit that is held and lacks its input (or its gradient) needs it likewise;
//   - an output or gradient that is kept is sent; one that a held unit is still going to make
//   comes;
//     otherwise the stage computes it again, which needs its own input (and gradient) in turn.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <vector>

#include "protocol/base/messages.h"
#include "protocol/round/membership.h"

namespace coshard::round {

/// Whether a stage's unit of one microbatch needs somebody.
enum class UnitFate : std::uint8_t {
  kNobody = 0,   ///< no live node has it: lost, or never begun
  kHeld = 1,     ///< a live node has it and has not accumulated it
  kCounted = 2,  ///< its gradient is in a live node's sum, or in the stage's complete average
};

/// One stage of one microbatch's path, as the live nodes know it.
struct StageFacts {
  UnitFate fate = UnitFate::kNobody;
  /// Held: its input is there (tokens at stage 0), or on its way from a live node.
  bool has_input = false;
  /// Held: its forward is done.
  bool has_output = false;
  /// Held: the gradient of its output is there or on its way from a live node. (The last stage
  /// needs none.)
  bool has_gradient = false;
  /// Held: it will find its next hop by itself: its output is not sent yet, or it is on its way to
  /// a live node (which then holds the unit of the next stage).
  bool routes_itself = false;
  /// A live node can send the output (again).
  bool output_kept = false;
  /// A live node can send the gradient of the input (again).
  bool gradient_kept = false;
  bool operator==(const StageFacts&) const = default;
};

/// What one stage has to do.
struct StageRepair {
  Redo redo = Redo::kNothing;
  /// Its output, kept, coming or redone, goes to whoever does the next stage's unit.
  bool send_output = false;
  /// The gradient of its input, kept, coming or redone, goes to whoever does the stage before.
  bool send_gradient = false;
  bool operator==(const StageRepair&) const = default;
};

/// Stage by stage. A microbatch that nobody has begun needs nothing here: it is granted anew.
/// Beyond the last stage that anybody has, only the next one is redone: from there the microbatch
/// finds its own way.
std::vector<StageRepair> plan_path(std::span<const StageFacts> stages);

}  // namespace coshard::round
