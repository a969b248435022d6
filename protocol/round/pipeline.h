// One stage of one replica through one step: what arrived, what to compute, what to send, what is
// done. It decides about units; bytes stay with the shell, which keeps what was sent until the step
// commits. Orders of the coordinator bring units again, or give them new neighbours (design 3.3).
// Owner: the participant.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <vector>

#include "protocol/base/messages.h"
#include "protocol/round/order.h"

namespace coshard::round {

/// One unit at this stage.
struct Flight {
  UnitProgress progress = UnitProgress::kInput;
  Redo redo = Redo::kCount;   ///< kCount: it counts; kPass, kForward: computed for the neighbours
  Hop from;                   ///< who sent the input; gets the gradient (stage 0: nobody)
  Hop to;                     ///< who got the output; sends the gradient (last stage: nobody)
  bool from_lost = false;     ///< `from` is no member any more; an order will name another
  bool to_lost = false;       ///< likewise
  bool slotted = false;       ///< holds a slot that this node granted to `from`
  bool routed = false;        ///< `to` was chosen here and took one of its slots
  bool sourced = false;       ///< `from` was ordered
  bool directed = false;      ///< `to` was ordered; the gradient may come from any of its stage
  bool sends_output = false;  ///< directed: the output goes to `to` when it is there
  UnitFault fault = UnitFault::kNone;  ///< why it is done, and neither counted nor sent
  bool relieved = false;       ///< given back: likewise, whatever the engine still makes of it
  bool blank = false;          ///< zeros stand for its tensors
  bool gradient_here = false;  ///< the gradient of the output came, perhaps before it was due
  bool output_kept = false;
  bool gradient_kept = false;
  std::uint64_t tokens = 0;
  double loss_sum = 0;
};

/// What became of something that arrived.
enum class Arrival : std::uint8_t {
  kAccepted = 0,
  kRepeated = 1,  ///< known already: ignore
  kRefused = 2,   ///< against the protocol: the sender's fault
};

/// A tensor of this stage that goes to a certain node now.
struct Outgoing {
  Unit unit;
  Direction direction = Direction::kForward;
  Hop to;
  bool ordered = false;       ///< outside the slots
  bool returns_slot = false;  ///< a gradient that ends a slotted unit
  bool operator==(const Outgoing&) const = default;
};

class Pipeline {
 public:
  /// `order` fixes stage, schedule and limits; nothing may have arrived in it.
  explicit Pipeline(PipelineState order);

  /// Stage 0: the coordinator granted a microbatch.
  Arrival granted(MicrobatchIndex microbatch, Attempt attempt);
  /// The input of a unit of this stage came from `from`; `unit` names the stage before and the
  /// attempt here. `ordered`: for a repair, perhaps before the order itself.
  Arrival forward_arrived(const NodeId& from, const Unit& unit, bool ordered);
  /// Whether forward_arrived would accept it; changes nothing.
  Arrival judge_forward(const NodeId& from, const Unit& unit, bool ordered) const;
  /// The gradient of a unit's output came from `from`; `unit` names the next stage and the attempt
  /// here.
  Arrival backward_arrived(const NodeId& from, const Unit& unit);

  /// Issues the next work; nothing when there is none.
  std::optional<Work> next();
  /// The engine did `work`, which next() issued. What has to go to a certain node now.
  std::vector<Outgoing> computed(const Work& work, std::uint64_t tokens, double loss_sum);

  /// `work`, which next() issued, came to nothing: its unit is over here. Who gets back the slot
  /// that it held.
  std::optional<NodeId> refuse(const Work& work, UnitFault fault);
  /// Gives a unit back that is neither in the sum nor on its way into it: it is over here. False
  /// where it has to stay.
  bool relieve(const Unit& unit);
  /// Zeros take the place of what `work`, which next() issued, should have made: the same work,
  /// issued anew as blank.
  Work blanked(const Work& work);

  /// The lowest unit whose output waits for a hop.
  std::optional<Unit> unsent() const;
  void sent(const Unit& unit, const NodeId& to);

  /// A second replica of some stage is there: not every microbatch comes this way.
  void allow_any_order() { order_.in_order = false; }
  /// `node` is no member any more: its slots and hops are void.
  void lose(const NodeId& node);
  /// An order of the coordinator; a repeated one changes nothing. What has to be sent now.
  std::vector<Outgoing> repair(const RepairTask& task);
  /// An own output or gradient made room: it cannot be sent again.
  void evicted(const Unit& unit, Direction direction);
  std::vector<HeldUnit> holdings() const;

  const Flight* find(const Unit& unit) const {
    return find(UnitKey{unit.microbatch, unit.attempt});
  }
  /// The attempt under which a microbatch was accumulated here.
  Attempt done_attempt(MicrobatchIndex microbatch) const { return done_.at(microbatch); }
  /// Accumulated units, ascending.
  std::vector<MicrobatchIndex> done() const;
  std::uint32_t done_count() const { return static_cast<std::uint32_t>(done_.size()); }
  /// Accepted and not finished.
  std::uint32_t outstanding() const;
  const PipelineState& order() const { return order_; }

 private:
  using Offer = std::pair<UnitKey, Direction>;
  const Flight* find(const UnitKey& key) const;
  Flight& flight(const Unit& unit, UnitProgress expected);
  Unit unit_of(const UnitKey& key) const;
  bool holds_counting(MicrobatchIndex microbatch) const;
  void input_here(const UnitKey& key, Flight& flight);
  void output_sent(const UnitKey& key, Flight& flight);
  std::vector<Outgoing> redo(const UnitKey& key, const RepairTask& task);
  std::vector<Outgoing> keep(const UnitKey& key, const RepairTask& task);
  Outgoing output_of(const UnitKey& key, const Flight& flight) const;
  Outgoing gradient_of(const UnitKey& key, Flight& flight) const;

  PipelineState order_;
  std::map<UnitKey, Flight> flights_;
  std::map<MicrobatchIndex, Attempt> done_;  ///< accumulated
  std::set<Offer> offers_;                   ///< came before the order that explains them
};

}  // namespace coshard::round
