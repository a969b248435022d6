// What the courier does with each frame, event and tick.
// SPDX-License-Identifier: Apache-2.0
#include "node/courier.h"

#include "crypto/signed_payload.h"
#include "protocol/base/log.h"

namespace coshard::node {

using transport::PeerEventKind;
using transport::PeerState;

Courier::Courier(transport::Transport& transport, const crypto::Identity& identity,
                 const Clock& clock, CourierHandlers handlers)
    : transport_(transport),
      identity_(identity),
      clock_(clock),
      handlers_(std::move(handlers)),
      sealer_(identity.operating(), crypto::kNoNetwork, Incarnation(0)) {
  transport_.set_handler(
      [this](const NodeId& from, const wire::Frame& frame) { handle(from, frame); });
  transport_.set_event_handler([this](const transport::PeerEvent& event) { handle_event(event); });
}

void Courier::speak_as(NetworkId network, Incarnation incarnation, Generation generation) {
  network_ = network;
  sealer_.rebind(network, incarnation, generation);
}

Courier::Entry* Courier::find(const NodeId& peer) {
  const auto found = correspondents_.find(peer);
  return found == correspondents_.end() ? nullptr : &found->second;
}

void Courier::admit(const Correspondent& peer) {
  COSHARD_ON(net_);
  transport_.allow(peer.node, peer.curve_public);
  Entry& entry = correspondents_[peer.node];
  const bool same =
      entry.sender.incarnation == peer.incarnation && !entry.lost && entry.peer.node == peer.node;
  entry.peer = peer;
  entry.lost = false;
  if (!same) entry.sender = wire::SenderState{};
  entry.sender.incarnation = peer.incarnation;
  entry.sender.newer_incarnation_allowed = peer.newer_incarnation_allowed;
  entry.sender.generation_min = peer.generation_min;
  if (!same) pulse_.add(peer.node, clock_.now());
}

void Courier::dismiss(const NodeId& peer) {
  COSHARD_ON(net_);
  correspondents_.erase(peer);
  pulse_.remove(peer);
  transport_.revoke(peer);
  transport_.disconnect(peer);
}

Result<void> Courier::send(const NodeId& to, const Message& message,
                           std::span<const wire::Payload> payloads) {
  COSHARD_ON(net_);
  Entry* const entry = find(to);
  const bool lost = entry == nullptr || entry->lost;
  if (!lost && !transport_.connected(to)) {
    ++counters_.send_failures;
    return fail(ErrorCode::kUnavailable, to.short_hex() + " is not connected yet");
  }
  const TimePoint began = clock_.now();
  auto frame = sealer_.seal(to, message, payloads);
  counters_.sealing += clock_.now() - began;
  if (!frame) {
    ++counters_.send_failures;
    log(LogLevel::kError, "courier",
        "sealing for " + to.short_hex() + ": " + frame.error().message);
    return tl::unexpected(frame.error());
  }
  const std::size_t bytes = frame->size_bytes();
  Result<void> sent = transport_.send(to, std::move(*frame));
  if (!sent) {
    ++counters_.send_failures;
    if (lost && sent.error().code == ErrorCode::kUnavailable)
      return fail(ErrorCode::kNotFound, to.short_hex() + " is gone");
  } else if (entry != nullptr) {
    entry->bytes.sent += bytes;
  }
  return sent;
}

void Courier::handle(const NodeId& from, const wire::Frame& frame) {
  COSHARD_ON(net_);
  const wire::OpenPolicy policy{
      .network = network_,
      .receiver = identity_.node(),
      .channel_peer = from,
      .join_allowed = joins_accepted_,
      .sender = [this](const NodeId& node) -> wire::SenderState* {
        Entry* entry = find(node);
        return entry == nullptr ? nullptr : &entry->sender;
      },
  };
  const TimePoint began = clock_.now();
  auto opened = wire::open(frame, policy, refusals_);
  const TimePoint now = clock_.now();
  counters_.opening += now - began;
  if (!opened) {
    // Stale is what honest peers are after a restart; everything else is a fault, replays too: a
    // connection delivers once, in order, and every message is sealed anew.
    if (opened.error().code != ErrorCode::kFailedPrecondition)
      count_fault(from, opened.error().message);
    return;
  }
  if (Entry* entry = find(from)) {
    entry->bytes.received += frame.size_bytes();
    const bool heartbeat = std::holds_alternative<Heartbeat>(opened->message);
    if (const auto change = pulse_.heard(from, now, heartbeat)) follow(*change);
    if (entry->peer.words_kept) keep_word(frame, *opened);
  }
  handlers_.message(from, std::move(*opened));
}

void Courier::keep_word(const wire::Frame& frame, const wire::Opened& opened) {
  const std::size_t bytes = frame.header.size() + frame.signature.size();
  const auto room = wire::payload_rule(wire::MessageKind::kJoinRequest).bytes_max;
  if (!frame.payloads.empty() || bytes > room) return;
  if (words_.empty() || opened.header.generation > words_generation_) {
    words_generation_ = opened.header.generation;
    words_.resize(std::max<std::size_t>(words_.size(), 1));
    words_[0] = wire::hashed(share(wire::word_of(frame)));
  }
  if (!std::holds_alternative<Commit>(opened.message)) return;
  words_.resize(2);
  words_[1] = wire::hashed(share(wire::word_of(frame)));
}

void Courier::handle_event(const transport::PeerEvent& event) {
  COSHARD_ON(net_);
  if (event.kind == PeerEventKind::kMalformed) return count_fault(event.peer, event.reason);
  handlers_.link(event);
  const Entry* entry = find(event.peer);
  if (entry != nullptr && event.kind == PeerEventKind::kLost && entry->peer.session_bound)
    give_up(event.peer, "its connection ended (" + event.reason + ")");
}

void Courier::fault(const NodeId& peer, const std::string& reason) {
  COSHARD_ON(net_);
  ++counters_.breaches;
  count_fault(peer, reason);
}

void Courier::count_fault(const NodeId& peer, const std::string& reason) {
  log(LogLevel::kDebug, "courier", "fault of " + peer.short_hex() + ": " + reason);
  if (const auto change = pulse_.count_fault(peer, clock_.now())) {
    transport_.revoke(peer);
    transport_.disconnect(peer);
    give_up(peer, "it broke the protocol too often, last: " + reason);
  }
}

void Courier::tick() {
  COSHARD_ON(net_);
  for (const transport::PeerTransition& change : pulse_.tick(clock_.now())) follow(change);
}

void Courier::follow(const transport::PeerTransition& change) {
  if (change.to == PeerState::kGone) {
    const auto silent = std::chrono::duration_cast<std::chrono::milliseconds>(change.silence);
    give_up(change.peer, "silent for " + std::to_string(silent.count()) + " ms");
  } else if (change.to == PeerState::kSuspect) {
    log(LogLevel::kInfo, "courier", "peer " + change.peer.short_hex() + " is late");
    if (handlers_.late) handlers_.late(change.peer);
  }
}

void Courier::give_up(const NodeId& peer, const std::string& reason) {
  Entry* entry = find(peer);
  if (entry == nullptr || entry->lost) return;
  entry->lost = true;
  handlers_.lost(peer, reason);
}

transport::PeerState Courier::state(const NodeId& peer) const {
  return pulse_.state(peer).value_or(PeerState::kGone);
}

Duration Courier::silence(const NodeId& peer) const {
  return pulse_.silence(peer, clock_.now()).value_or(Duration{});
}

std::vector<std::pair<std::string, std::uint64_t>> Courier::refusals() const {
  std::vector<std::pair<std::string, std::uint64_t>> counts;
  for (std::size_t i = 0; i < wire::kRefusalReasons; ++i) {
    const auto reason = static_cast<wire::RefusalReason>(i);
    counts.emplace_back(wire::to_string(reason), refusals_[reason]);
  }
  const transport::TransportCounters& below = transport_.counters();
  counts.emplace_back("transport_key", below.keys_refused);
  counts.emplace_back("channel", below.hellos_refused);
  counts.emplace_back("frame", below.malformed);
  counts.emplace_back("unproved", below.unproved);
  counts.emplace_back("revoked", below.revoked);
  counts.emplace_back("not_admitted", below.not_admitted);
  counts.emplace_back("breach", counters_.breaches);
  return counts;
}

LinkBytes Courier::link_bytes(const NodeId& peer) const {
  const auto found = correspondents_.find(peer);
  return found == correspondents_.end() ? LinkBytes{} : found->second.bytes;
}

}  // namespace coshard::node
