// Routing and slots: see routing.h.
// SPDX-License-Identifier: Apache-2.0
#include "protocol/round/routing.h"

#include <algorithm>
#include <utility>

#include "protocol/base/check.h"
#include "protocol/base/limits.h"

namespace coshard::round {
namespace {

constexpr double kRateWeight = 0.2;  ///< of the newest sample in the moving average
constexpr double kSecondsMin = 1e-6;

}  // namespace

void Router::set_peers(const std::vector<NodeId>& replicas, std::uint32_t own_replica) {
  order_ = replicas;
  if (!order_.empty()) {
    const auto first = static_cast<std::ptrdiff_t>(own_replica % order_.size());
    std::rotate(order_.begin(), order_.begin() + first, order_.end());
  }
  for (const auto& peer : order_) hops_.try_emplace(peer);
}

void Router::grant(const NodeId& peer, std::uint64_t slots_total) {
  const auto found = hops_.find(peer);
  if (found == hops_.end() && hops_.size() >= limits::kReplicasMax) return;
  Hop& hop = hops_[peer];
  hop.slots_total = std::max(hop.slots_total, slots_total);
}

std::optional<NodeId> Router::choose() const {
  std::optional<NodeId> best;
  double best_seconds = 0;
  const double typical = typical_seconds();
  for (const auto& peer : order_) {
    const Hop& hop = hops_.at(peer);
    if (hop.sent_total >= hop.slots_total) continue;
    const double seconds = (hop.outstanding + 1) * hop.seconds.value_or(typical);
    if (best && seconds >= best_seconds) continue;
    best = peer;
    best_seconds = seconds;
  }
  return best;
}

void Router::sent(const NodeId& peer, TimePoint now) {
  Hop& hop = hops_.at(peer);
  COSHARD_CHECK_OP(hop.sent_total, <, hop.slots_total);
  ++hop.sent_total;
  if (hop.outstanding++ == 0) hop.busy_since = now;
}

void Router::returned(const NodeId& peer, TimePoint now) {
  Hop& hop = hops_.at(peer);
  COSHARD_CHECK_OP(hop.outstanding, >, 0U);
  --hop.outstanding;
  const double sample = std::max(seconds(now - hop.busy_since), kSecondsMin);
  hop.seconds = hop.seconds ? *hop.seconds + kRateWeight * (sample - *hop.seconds) : sample;
  hop.busy_since = now;
}

std::uint32_t Router::outstanding(const NodeId& peer) const {
  const auto found = hops_.find(peer);
  return found == hops_.end() ? 0 : found->second.outstanding;
}

std::optional<double> Router::seconds_per_unit(const NodeId& peer) const {
  const auto found = hops_.find(peer);
  return found == hops_.end() ? std::nullopt : found->second.seconds;
}

/// Mean of what was measured: what a peer without a measurement is assumed to take.
double Router::typical_seconds() const {
  double sum = 0;
  int measured = 0;
  for (const auto& peer : order_) {
    const Hop& hop = hops_.at(peer);
    if (!hop.seconds) continue;
    sum += *hop.seconds;
    ++measured;
  }
  return measured == 0 ? 1.0 : sum / measured;
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
