// One stage of one replica through one step: what arrived, what to compute, what to send, what is
// done. It decides about units; bytes stay with the shell, which keeps what was sent until the step
// commits. Owner: the participant.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "protocol/base/messages.h"
#include "protocol/round/order.h"

namespace coshard::round {

/// Where a microbatch is on its way through this stage.
enum class FlightState : std::uint8_t {
  kInput = 0,     ///< its input is here (stage 0: it was granted), its forward is not issued
  kForward = 1,   ///< forward issued (last stage: forward, loss and backward)
  kOutput = 2,    ///< output computed, waiting for a slot of the next stage
  kSent = 3,      ///< output sent; waiting for its gradient
  kGradient = 4,  ///< gradient here, backward not issued
  kBackward = 5,  ///< backward issued
  kDone = 6,      ///< gradient accumulated: the unit counts
};

struct Flight {
  FlightState state = FlightState::kInput;
  Attempt attempt;
  NodeId from;  ///< who sent the input; gets the gradient (stage 0: unused)
  NodeId to;    ///< who got the output; sends the gradient (last stage: unused)
  std::uint64_t tokens = 0;
  double loss_sum = 0;
};

/// What became of something that arrived.
enum class Arrival : std::uint8_t {
  kAccepted = 0,
  kRepeated = 1,  ///< known already: ignore
  kRefused = 2,   ///< against the protocol: the sender's fault
};

class Pipeline {
 public:
  /// `order` fixes stage, schedule and limits; nothing may have arrived in it.
  explicit Pipeline(PipelineState order);

  /// Stage 0: the coordinator granted a microbatch.
  Arrival granted(MicrobatchIndex microbatch, Attempt attempt);
  /// The output of `unit` (a unit of the previous stage) came from `from`.
  Arrival forward_arrived(const NodeId& from, const Unit& unit);
  /// Whether forward_arrived would accept it; changes nothing.
  Arrival judge_forward(const NodeId& from, const Unit& unit) const;
  /// The gradient made by `unit` (a unit of the next stage) came from `from`.
  Arrival backward_arrived(const NodeId& from, const Unit& unit);

  /// Issues the next work; nothing when there is none.
  std::optional<Work> next();
  /// The engine did `work`, which next() issued.
  void computed(const Work& work, std::uint64_t tokens, double loss_sum);

  /// The lowest unit whose output waits for a hop.
  std::optional<Unit> unsent() const;
  void sent(MicrobatchIndex microbatch, const NodeId& to);

  const Flight* find(MicrobatchIndex microbatch) const;
  /// Accumulated units, ascending.
  std::vector<MicrobatchIndex> done() const;
  std::uint32_t done_count() const { return done_count_; }
  /// Accepted and not done.
  std::uint32_t outstanding() const;
  const PipelineState& order() const { return order_; }

 private:
  Flight& flight(MicrobatchIndex microbatch, FlightState expected);

  PipelineState order_;
  std::map<MicrobatchIndex, Flight> flights_;
  std::uint32_t done_count_ = 0;
};

}  // namespace coshard::round
