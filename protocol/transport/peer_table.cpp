// SPDX-License-Identifier: Apache-2.0
#include "protocol/transport/peer_table.h"

#include <algorithm>

namespace coshard::transport {

std::string_view to_string(PeerState state) {
  switch (state) {
    case PeerState::kConnecting:
      return "connecting";
    case PeerState::kLive:
      return "live";
    case PeerState::kSuspect:
      return "suspect";
    case PeerState::kGone:
      return "gone";
  }
  return "unknown";
}

void HeartbeatSpread::add(Duration interval) {
  intervals_.push_back(interval);
  if (intervals_.size() > kIntervals) intervals_.pop_front();
}

Duration HeartbeatSpread::suspicion_after() const {
  if (intervals_.empty()) return limits::kSuspicionMin;
  std::vector<Duration> sorted(intervals_.begin(), intervals_.end());
  const auto middle = sorted.begin() + static_cast<std::ptrdiff_t>(sorted.size() / 2);
  std::nth_element(sorted.begin(), middle, sorted.end());
  const Duration median = *middle;
  Duration deviations{};
  for (const Duration interval : intervals_) {
    deviations += interval > median ? interval - median : median - interval;
  }
  const auto deviation = deviations / static_cast<Duration::rep>(intervals_.size());
  return std::clamp<Duration>(median + 6 * deviation, limits::kSuspicionMin, limits::kSilenceMax);
}

Duration retry_delay(std::uint32_t attempts, double chance) {
  Duration delay = limits::kReconnectMin;
  for (std::uint32_t i = 0; i < attempts && delay < limits::kReconnectMax; ++i) delay *= 2;
  delay = std::min<Duration>(delay, limits::kReconnectMax);
  return delay - std::chrono::duration_cast<Duration>(delay * 0.25 * chance);
}

bool PeerTable::add(const NodeId& peer, TimePoint now) {
  const auto known = peers_.find(peer);
  if (known == peers_.end() && peers_.size() >= limits::kPeersMax) return false;
  if (known != peers_.end() && known->second.state != PeerState::kGone) return true;
  Peer fresh;
  fresh.last_heard = now;
  peers_[peer] = fresh;
  return true;
}

void PeerTable::remove(const NodeId& peer) { peers_.erase(peer); }

std::optional<PeerTransition> PeerTable::heard(const NodeId& peer, TimePoint now, bool heartbeat) {
  const auto known = peers_.find(peer);
  if (known == peers_.end() || known->second.state == PeerState::kGone) return std::nullopt;
  Peer& it = known->second;
  const Duration silence = now - it.last_heard;
  it.last_heard = now;
  if (heartbeat) {
    if (it.last_heartbeat) it.spread.add(now - *it.last_heartbeat);
    it.last_heartbeat = now;
  }
  if (it.state == PeerState::kLive) return std::nullopt;
  auto transition = move_to(peer, it, PeerState::kLive, now);
  transition.silence = silence;
  return transition;
}

std::optional<PeerTransition> PeerTable::count_fault(const NodeId& peer, TimePoint now) {
  const auto known = peers_.find(peer);
  if (known == peers_.end()) return std::nullopt;
  Peer& it = known->second;
  ++it.faults;
  if (it.faults <= limits::kPeerFaultsMax || it.state == PeerState::kGone) return std::nullopt;
  return move_to(peer, it, PeerState::kGone, now);
}

std::vector<PeerTransition> PeerTable::tick(TimePoint now) {
  std::vector<PeerTransition> transitions;
  for (auto& [id, peer] : peers_) {
    const Duration silence = now - peer.last_heard;
    const bool connecting = peer.state == PeerState::kConnecting;
    if (peer.state == PeerState::kGone) continue;
    if (silence > (connecting ? limits::kHandshakeTimeout : limits::kSilenceMax)) {
      transitions.push_back(move_to(id, peer, PeerState::kGone, now));
    } else if (peer.state == PeerState::kLive && silence > peer.spread.suspicion_after()) {
      transitions.push_back(move_to(id, peer, PeerState::kSuspect, now));
    }
  }
  return transitions;
}

std::optional<PeerState> PeerTable::state(const NodeId& peer) const {
  const auto known = peers_.find(peer);
  if (known == peers_.end()) return std::nullopt;
  return known->second.state;
}

std::optional<Duration> PeerTable::silence(const NodeId& peer, TimePoint now) const {
  const auto known = peers_.find(peer);
  if (known == peers_.end()) return std::nullopt;
  return now - known->second.last_heard;
}

std::uint32_t PeerTable::faults(const NodeId& peer) const {
  const auto known = peers_.find(peer);
  return known == peers_.end() ? 0 : known->second.faults;
}

PeerTransition PeerTable::move_to(const NodeId& id, Peer& peer, PeerState state, TimePoint now) {
  const PeerTransition transition{id, peer.state, state, now - peer.last_heard};
  peer.state = state;
  return transition;
}

}  // namespace coshard::transport
