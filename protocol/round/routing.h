// Where a boundary tensor goes next, and how many may come in: choice of the next hop by
// outstanding work over measured rate among those that granted a slot (design 3.2), and the
// receiver's book of the slots that it granted. Slots are cumulative counters over both
// incarnations, so lost, late
// and repeated grants do no harm. Owner: the participant.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "protocol/base/clock.h"
#include "protocol/base/ids.h"
#include "protocol/round/pace.h"

namespace coshard::round {

/// The sender's side: peers of the next stage.
class Router {
 public:
  /// The next stage's replicas, which work for `senders` of this stage. Of peers that are alike the
  /// one that is first after `own_replica` in this order is taken, so that replica i prefers peer i
  /// and senders do not meet.
  void set_peers(const std::vector<NodeId>& replicas, std::uint32_t own_replica,
                 std::size_t senders = 1);
  /// `peer` says that a unit takes it so long.
  void says(const NodeId& peer, double unit_seconds);
  /// `slots_total` of a grant from `peer`; smaller ones than before are old news. Grants of nodes
  /// that are no peers yet are kept, for at most limits::kReplicasMax of them.
  void grant(const NodeId& peer, std::uint64_t slots_total);
  /// A step is over: nothing is on its way any more, whatever a repair has sent elsewhere.
  void rest(TimePoint now);
  /// `peer` is gone; should it come back, it counts from zero.
  void forget(const NodeId& peer) { hops_.erase(peer); }
  /// The peer with a free slot that would be through with one more microbatch first. Nobody where
  /// it is better to wait for a slot of another: `ahead` microbatches, this one among them, will
  /// go this way before the step is over, and the others would be through with them all sooner.
  std::optional<NodeId> choose(std::uint32_t ahead, TimePoint now) const;
  void sent(const NodeId& peer, TimePoint now);
  /// The gradient of a microbatch came back from `peer`.
  void returned(const NodeId& peer, TimePoint now);

  /// No gradient will come back from `peer` for a microbatch that it got.
  void abandoned(const NodeId& peer, TimePoint now);

  std::uint32_t outstanding(const NodeId& peer) const;
  /// Measured seconds per microbatch while busy; nothing before the first gradient.
  std::optional<double> seconds_per_unit(const NodeId& peer) const;

 private:
  struct Hop {
    std::uint64_t slots_total = 0;
    std::uint64_t sent_total = 0;
    std::uint64_t sent_before = 0;  ///< up to the last rest()
    Pace pace;                      ///< from sending to the gradient
    std::optional<double> says;     ///< seconds of its engine
  };
  std::optional<double> seconds_of(const Hop& hop) const;
  double typical_seconds() const;

  std::vector<NodeId> order_;  ///< peers, most preferred first
  std::map<NodeId, Hop> hops_;
  std::size_t senders_ = 1;
};

/// The receiver's side: replicas of the previous stage.
class SlotBook {
 public:
  /// Shares `capacity` among `upstream` (replica order); everybody gets at least one, so that no
  /// path is ever without a slot. Called again when members change: shares grow, never shrink, and
  /// whoever is not named is forgotten. Returns those whose total has grown.
  std::vector<NodeId> open(const std::vector<NodeId>& upstream, std::uint32_t capacity);
  /// `upstream` is gone; should it come back, it counts from zero.
  void forget(const NodeId& upstream) { accounts_.erase(upstream); }
  /// A forward tensor of `from` arrived; false when it had no slot left.
  bool accept(const NodeId& from);
  /// A microbatch of `from` is finished: returns its new total.
  std::uint64_t finish(const NodeId& from);
  std::uint64_t total(const NodeId& from) const;
  /// Accepted from `from` and not finished.
  std::uint64_t held(const NodeId& from) const;

 private:
  struct Account {
    std::uint64_t share = 0;
    std::uint64_t total = 0;
    std::uint64_t accepted = 0;
    std::uint64_t finished = 0;
  };
  std::map<NodeId, Account> accounts_;
};

}  // namespace coshard::round
