// What nodes and their coordinator say to each other when a step has to be repaired: units that are
// beyond use, what live nodes hold, and who does what again (design 3.3; protocol/round/repair.h
// plans it). Value types, any thread. Part of protocol/base/messages.h.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "protocol/base/ids.h"

namespace coshard {

// ---- node -> coordinator

/// Why a unit came to nothing.
enum class UnitFault : std::uint8_t {
  kNone = 0,
  kInput = 1,      ///< its input is not what an honest neighbour sends: not finite, false shape
  kNotFinite = 2,  ///< what was computed is not finite; nothing was added to the sum
  kSpoilsSum = 3,  ///< likewise, and it is in the sum, from which nothing can be taken away
};

/// A unit of the sender came to nothing. Repeated until everybody is asked what it holds.
struct UnitRefused {
  Unit unit;
  NodeId sender;  ///< of the input; of this message where the unit itself is not finite
  std::string reason;
  UnitFault fault = UnitFault::kInput;
  bool operator==(const UnitRefused&) const = default;
};

/// Where a unit is on its way through its stage.
enum class UnitProgress : std::uint8_t {
  kAwaited = 0,   ///< ordered by the coordinator; its input is not here
  kInput = 1,     ///< its input is here (stage 0: it was granted), its forward is not issued
  kForward = 2,   ///< forward issued (last stage: forward, loss and backward)
  kOutput = 3,    ///< output computed, waiting for a slot of the next stage
  kSent = 4,      ///< output sent; waiting for its gradient
  kGradient = 5,  ///< gradient here, backward not issued
  kBackward = 6,  ///< backward issued
  kDone = 7,      ///< nothing is left to do
};

/// The other end of a hop: a node, and the attempt of its unit. A node of zeros is nobody.
struct Hop {
  NodeId node;
  Attempt attempt;
  bool operator==(const Hop&) const = default;
};

/// One unit as a live node holds it.
struct HeldUnit {
  MicrobatchIndex microbatch;
  Attempt attempt;
  UnitProgress progress = UnitProgress::kAwaited;
  bool counts = true;          ///< false: computed again for its neighbours, not accumulated
  bool has_gradient = false;   ///< the gradient of its output is here
  bool output_kept = false;    ///< its output can be sent (again)
  bool gradient_kept = false;  ///< the gradient of its input can be sent (again)
  Hop from;                    ///< who sends the input and gets its gradient
  Hop to;                      ///< who got the output; nobody before it was sent
  std::uint64_t tokens = 0;    ///< of UnitDone, where it is done
  double loss_sum = 0;         ///< likewise
  bool from_ordered = false;   ///< `from` was named by an order, and so was the unit at that end
  bool to_ordered = false;     ///< likewise `to`
  UnitFault fault = UnitFault::kNone;  ///< why it came to nothing here, if it did
  bool relieved = false;  ///< given back, and not in the sum: somebody else should do it
  /// Not finite here: somebody else should do it.
  bool refused() const { return fault > UnitFault::kInput; }
  bool operator==(const HeldUnit&) const = default;
};

/// Answer to a table of a new epoch while a step is open: all that the sender holds of it. `lacks`:
/// said without being asked, because something is gone that an order wanted sent.
struct Holdings {
  StepId step;
  MembershipEpoch epoch;
  StageIndex stage;
  bool lacks = false;
  std::vector<HeldUnit> units;
  Attempt averaging{};        ///< the newest averaging attempt of the step that it has heard of
  bool averaged = false;      ///< every chunk of that attempt's average is here
  std::uint64_t unit_us = 0;  ///< that a unit takes the sender's engine now; 0: not known
  bool operator==(const Holdings&) const = default;
};

/// The sender has taken the repair orders of this epoch.
struct RepairTaken {
  StepId step;
  MembershipEpoch epoch;
  bool operator==(const RepairTaken&) const = default;
};

// ---- coordinator -> node

/// What a node does again for a microbatch whose path lost a node.
enum class Redo : std::uint8_t {
  kNothing = 0,  ///< it has the unit: only its neighbours on the path change
  kForward = 1,  ///< forward alone, for the output
  kPass = 2,     ///< forward and backward, not accumulated: the stage has counted it already
  kCount = 3,    ///< the unit itself
};

/// One unit of a repair. With kNothing a hop of zeros leaves that neighbour as it is.
struct RepairTask {
  MicrobatchIndex microbatch;
  Attempt attempt;  ///< of the receiver's unit
  Redo redo = Redo::kNothing;
  Hop from;                    ///< sends the input, gets the gradient (stage 0: nobody)
  Hop to;                      ///< gets the output, sends the gradient; nobody: any next replica
  bool send_output = false;    ///< to `to`, as soon as it is there
  bool send_gradient = false;  ///< to `from`, once more
  bool blank = false;          ///< not finite whoever does it: zeros stand for it, nothing is added
  bool relieve =
      false;  ///< with kNothing: give the unit back, unless it is on its way into the sum
  bool operator==(const RepairTask&) const = default;
};

/// Units of lost nodes are done again (design 3.3). Repeated until taken; void once the receiver
/// has heard of a newer epoch.
struct RepairOrders {
  StepId step;
  MembershipEpoch epoch;
  std::vector<RepairTask> tasks;
  bool operator==(const RepairOrders&) const = default;
};

}  // namespace coshard
