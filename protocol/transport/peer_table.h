// What this process knows about the liveness of its peers: connecting, live, suspect, gone. Pure:
// driven by what was heard and when; the shell ticks it. One thread.
//
//   connecting --heard--> live --silent for the suspicion time--> suspect --kSilenceMax--> gone
//        ^                 ^---------------heard--------------------'                        |
//        '------------------------------ added again ----------------------------------------'
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string_view>
#include <vector>

#include "protocol/base/clock.h"
#include "protocol/base/ids.h"
#include "protocol/base/limits.h"

namespace coshard::transport {

enum class PeerState { kConnecting, kLive, kSuspect, kGone };
std::string_view to_string(PeerState state);

/// A change that tick(), heard() or count_fault() caused: what the machines above want to know.
struct PeerTransition {
  NodeId peer;
  PeerState from = PeerState::kConnecting;
  PeerState to = PeerState::kConnecting;
  Duration silence{};  ///< since the peer was last heard
};

/// How long a peer may be silent before it is suspected, from the spread of its heartbeats: median
/// of the last intervals plus six mean absolute deviations from it, never under kSuspicionMin,
/// never over kSilenceMax.
class HeartbeatSpread {
 public:
  void add(Duration interval);
  Duration suspicion_after() const;

 private:
  static constexpr std::size_t kIntervals = 64;
  std::deque<Duration> intervals_;
};

/// Exponential, doubled per attempt from kReconnectMin to kReconnectMax, with up to a quarter of
/// chance so that a crowd does not come back at once. `chance` is uniform in [0, 1).
Duration retry_delay(std::uint32_t attempts, double chance);

class PeerTable {
 public:
  /// Starts to watch a peer, as connecting; a peer that is gone starts over. False when
  /// limits::kPeersMax are watched already.
  bool add(const NodeId& peer, TimePoint now);
  void remove(const NodeId& peer);

  /// Any frame is a sign of life; a heartbeat also measures the spread. Unknown peers are ignored.
  std::optional<PeerTransition> heard(const NodeId& peer, TimePoint now, bool heartbeat);

  /// Counts a fault; the transition to gone once it is one more than limits::kPeerFaultsMax.
  std::optional<PeerTransition> count_fault(const NodeId& peer, TimePoint now);

  /// Everything that time alone changed. A peer that never was heard is gone after `now` passes
  /// kHandshakeTimeout from add().
  std::vector<PeerTransition> tick(TimePoint now);

  std::optional<PeerState> state(const NodeId& peer) const;
  std::optional<Duration> silence(const NodeId& peer, TimePoint now) const;
  std::uint32_t faults(const NodeId& peer) const;
  std::size_t size() const { return peers_.size(); }

 private:
  struct Peer {
    PeerState state = PeerState::kConnecting;
    TimePoint last_heard{};
    std::optional<TimePoint> last_heartbeat;
    HeartbeatSpread spread;
    std::uint32_t faults = 0;
  };
  static PeerTransition move_to(const NodeId& id, Peer& peer, PeerState state, TimePoint now);
  std::map<NodeId, Peer> peers_;
};

}  // namespace coshard::transport
