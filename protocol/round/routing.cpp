// Routing and slots: see routing.h.
// SPDX-License-Identifier: Apache-2.0
#include "protocol/round/routing.h"

#include <algorithm>
#include <utility>

#include "protocol/base/check.h"
#include "protocol/base/limits.h"

namespace coshard::round {
namespace {

/// A sender's own measurement holds the work of the others as well: it says how slow a peer is
/// where it is more than so many times what the peer says.
constexpr double kCrowd = 2;
/// Times that differ by less are the same: who is a little faster must not get everybody's work.
constexpr double kAlike = 1.25;

}  // namespace

void Router::set_peers(const std::vector<NodeId>& replicas, std::uint32_t own_replica,
                       std::size_t senders) {
  order_ = replicas;
  senders_ = senders;
  if (!order_.empty()) {
    const auto first = static_cast<std::ptrdiff_t>(own_replica % order_.size());
    std::rotate(order_.begin(), order_.begin() + first, order_.end());
  }
  for (const auto& peer : order_) hops_.try_emplace(peer);
}

void Router::says(const NodeId& peer, double unit_seconds) {
  const auto found = hops_.find(peer);
  if (found != hops_.end()) found->second.says = unit_seconds;
}

void Router::grant(const NodeId& peer, std::uint64_t slots_total) {
  const auto found = hops_.find(peer);
  if (found == hops_.end() && hops_.size() >= limits::kReplicasMax) return;
  Hop& hop = hops_[peer];
  hop.slots_total = std::max(hop.slots_total, slots_total);
}

std::optional<NodeId> Router::choose(std::uint32_t ahead, TimePoint now) const {
  const double typical = typical_seconds();
  std::vector<Worker> workers;
  std::vector<std::pair<const NodeId*, Worker>> free;
  for (const auto& peer : order_) {
    const Hop& hop = hops_.at(peer);
    const bool has_slot = hop.sent_total < hop.slots_total;
    if (!has_slot && hop.pace.held() == 0) continue;  // no slot will come free by itself
    workers.push_back(hop.pace.worker(seconds_of(hop).value_or(typical), now));
    if (has_slot) free.emplace_back(&peer, workers.back());
  }
  if (free.empty()) return std::nullopt;
  const auto done_in = [](const auto& peer) { return peer.second.done_in(1); };
  const Worker soonest = std::ranges::min(free, {}, done_in).second;
  if (!is_worth_it(soonest, workers, ahead)) return std::nullopt;
  const auto alike = [&](const auto& peer) { return done_in(peer) <= kAlike * soonest.done_in(1); };
  return *std::ranges::find_if(free, alike)->first;
}

void Router::sent(const NodeId& peer, TimePoint now) {
  Hop& hop = hops_.at(peer);
  COSHARD_CHECK_OP(hop.sent_total, <, hop.slots_total);
  ++hop.sent_total;
  hop.pace.holds(hop.pace.held() + 1, now);
}

void Router::rest(TimePoint now) {
  for (auto& [peer, hop] : hops_) {
    hop.pace.holds(0, now);
    if (std::exchange(hop.sent_before, hop.sent_total) == hop.sent_total) hop.pace.rests();
  }
}

void Router::returned(const NodeId& peer, TimePoint now) { hops_.at(peer).pace.ends(1, now); }

void Router::abandoned(const NodeId& peer, TimePoint now) {
  const auto found = hops_.find(peer);
  if (found == hops_.end() || found->second.pace.held() == 0) return;
  found->second.pace.relieved(1, now);
}

std::uint32_t Router::outstanding(const NodeId& peer) const {
  const auto found = hops_.find(peer);
  return found == hops_.end() ? 0 : found->second.pace.held();
}

std::optional<double> Router::seconds_per_unit(const NodeId& peer) const {
  const auto found = hops_.find(peer);
  return found == hops_.end() ? std::nullopt : found->second.pace.seconds();
}

/// Of one microbatch of this sender: the others' take their turns.
std::optional<double> Router::seconds_of(const Hop& hop) const {
  const auto measured = hop.pace.seconds();
  if (!hop.says) return measured;
  return std::max(*hop.says * static_cast<double>(senders_), measured.value_or(0) / kCrowd);
}

/// Mean of what is known: what a peer of whom nothing is known is assumed to take.
double Router::typical_seconds() const {
  double sum = 0;
  int known = 0;
  for (const auto& peer : order_) {
    const auto seconds = seconds_of(hops_.at(peer));
    sum += seconds.value_or(0);
    known += seconds ? 1 : 0;
  }
  return known == 0 ? 1.0 : sum / known;
}

std::vector<NodeId> SlotBook::open(const std::vector<NodeId>& upstream, std::uint32_t capacity) {
  const auto before = std::exchange(accounts_, {});
  std::vector<NodeId> grown;
  const auto count = static_cast<std::uint32_t>(upstream.size());
  for (std::uint32_t i = 0; i < count; ++i) {
    const std::uint32_t even = capacity / count + (i < capacity % count ? 1 : 0);
    const auto found = before.find(upstream[i]);
    Account account = found == before.end() ? Account{} : found->second;
    const std::uint64_t share = std::max<std::uint64_t>({even, 1, account.share});
    if (share > account.share) grown.push_back(upstream[i]);
    account.total += share - account.share;
    account.share = share;
    accounts_[upstream[i]] = account;
  }
  return grown;
}

bool SlotBook::accept(const NodeId& from) {
  const auto found = accounts_.find(from);
  if (found == accounts_.end() || found->second.accepted >= found->second.total) return false;
  ++found->second.accepted;
  return true;
}

std::uint64_t SlotBook::finish(const NodeId& from) {
  Account& account = accounts_.at(from);
  COSHARD_CHECK_OP(account.finished, <, account.accepted);
  ++account.finished;
  return ++account.total;
}

std::uint64_t SlotBook::total(const NodeId& from) const {
  const auto found = accounts_.find(from);
  return found == accounts_.end() ? 0 : found->second.total;
}

std::uint64_t SlotBook::held(const NodeId& from) const {
  const auto found = accounts_.find(from);
  return found == accounts_.end() ? 0 : found->second.accepted - found->second.finished;
}

}  // namespace coshard::round
