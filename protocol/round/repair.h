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
#include <tuple>
#include <utility>
#include <vector>

#include "protocol/base/messages.h"

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

// ---- a whole step -------------------------------------------------------------------------------

/// A live node of this step: where it sits, what it said, how fast it is.
struct Witness {
  NodeId node;
  StageIndex stage;
  const Holdings* holdings = nullptr;  ///< its answer to the table of this epoch
  double units_per_second = 0;         ///< 0: unknown
  std::uint32_t busy = 0;              ///< units that it has begun and not finished
};

/// What the coordinator's book knows of one unit.
struct BookedUnit {
  bool counted = false;          ///< by a live node, or in the stage's complete average
  std::optional<NodeId> holder;  ///< who is expected to report it, or did: may be lost
};

/// Every unit that a plan of this step gave to somebody, and as what.
using OrderedUnits = std::map<std::tuple<StageIndex, MicrobatchIndex, Attempt>, Redo>;

struct StepFacts {
  StepId step;
  std::uint32_t stages = 0;
  std::uint32_t microbatches = 0;
  std::vector<Witness> live;                   ///< by stage, then replica
  std::vector<std::vector<BookedUnit>> book;   ///< by stage, then microbatch
  std::vector<std::optional<NodeId>> granted;  ///< or ordered at stage 0, by microbatch
  std::vector<Attempt> attempts;               ///< the highest so far, by microbatch
  OrderedUnits ordered = {};                   ///< as the plan before left it
};

/// In a task, `to` is who gets the output and `from` who gets the gradient; where nothing goes that
/// way, the hop names who sends the other tensor. They may differ: one unit of the next stage waits
/// with a gradient while another recomputes an output that is gone. So a unit that was ordered, or
/// given a neighbour by an order, takes what names its attempt from any member of that stage.
struct RepairPlan {
  std::map<NodeId, std::vector<RepairTask>> tasks;
  struct Assigned {
    StageIndex stage;
    MicrobatchIndex microbatch;
    NodeId node;
    Attempt attempt;
    bool operator==(const Assigned&) const = default;
  };
  std::vector<Assigned> counted;            ///< units that get a new holder
  std::vector<MicrobatchIndex> grant_anew;  ///< nobody has anything of them any more
  /// Units whose booked holder is void: whoever their input comes to may do them.
  std::vector<std::pair<StageIndex, MicrobatchIndex>> opened;
  /// Left out: what one node says of them is older than what its neighbour says. Ask again.
  std::uint32_t unclear = 0;
  std::vector<Attempt> attempts;   ///< the highest now, by microbatch
  OrderedUnits ordered;            ///< for the next plan of this step
  std::uint32_t units_redone = 0;  ///< whatever the redo
  std::uint32_t blanks = 0;        ///< of those, not finite: the update will be skipped
};

/// The least work that completes the step, given to those who are through with theirs first.
/// Answers are not of one instant: nodes go on meanwhile, so one's may be older than what its
/// neighbour says. What was sent without an order, its receiver has; what stays unclear is left out
/// until everybody has answered again.
/// A unit that is not finite at one replica goes to another; at two, or at all there are, zeros
/// take its place, so that the step can be committed without its update. Deterministic.
RepairPlan plan_step(const StepFacts& facts);

}  // namespace coshard::round
