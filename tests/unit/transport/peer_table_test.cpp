// SPDX-License-Identifier: Apache-2.0
#include "protocol/transport/peer_table.h"

#include <gtest/gtest.h>

namespace coshard::transport {
namespace {

using std::chrono_literals::operator""ms;
using std::chrono_literals::operator""s;

const NodeId kPeer{{1}};
constexpr TimePoint at(Duration since_start) { return TimePoint{} + since_start; }

TEST(PeerTable, LivesFromTheFirstSignAndFadesWithSilence) {
  PeerTable table;
  ASSERT_TRUE(table.add(kPeer, at(0s)));
  EXPECT_EQ(table.state(kPeer), PeerState::kConnecting);
  const auto live = table.heard(kPeer, at(1s), true);
  ASSERT_TRUE(live);
  EXPECT_EQ(live->from, PeerState::kConnecting);
  EXPECT_EQ(live->to, PeerState::kLive);
  EXPECT_TRUE(table.tick(at(2s)).empty());  // exactly the minimum is not over it
  auto changes = table.tick(at(2s + 1ms));
  ASSERT_EQ(changes.size(), 1u);
  EXPECT_EQ(changes[0].to, PeerState::kSuspect);
  EXPECT_EQ(changes[0].silence, 1s + 1ms);
  EXPECT_TRUE(table.tick(at(3s)).empty());  // said once
  const auto back = table.heard(kPeer, at(4s), false);
  ASSERT_TRUE(back);
  EXPECT_EQ(back->to, PeerState::kLive);
  EXPECT_EQ(back->silence, 3s);
  changes = table.tick(at(4s + limits::kSilenceMax + 1ms));
  ASSERT_EQ(changes.size(), 1u);
  EXPECT_EQ(changes[0].to, PeerState::kGone);
  EXPECT_FALSE(table.heard(kPeer, at(9s), true));  // gone stays gone until added again
  ASSERT_TRUE(table.add(kPeer, at(10s)));
  EXPECT_EQ(table.state(kPeer), PeerState::kConnecting);
}

// The bound: whatever the spread was, a node that falls silent is named within five
// seconds.
TEST(PeerTable, ASilentPeerIsGoneWithinFiveSecondsWhateverItsSpread) {
  for (const Duration jitter : {0ms, 100ms, 900ms, 3000ms}) {
    PeerTable table;
    ASSERT_TRUE(table.add(kPeer, at(0s)));
    TimePoint now = at(0s);
    for (int beat = 0; beat < 100; ++beat) {
      now += limits::kHeartbeatInterval + (beat % 2 == 0 ? jitter : Duration(0));
      table.heard(kPeer, now, true);
    }
    const TimePoint last = now;
    bool gone = false;
    while (!gone && now < last + 60s) {
      now += limits::kHeartbeatInterval;
      for (const auto& change : table.tick(now)) gone = gone || change.to == PeerState::kGone;
    }
    EXPECT_LE(now - last, 5s) << jitter.count();
  }
}

TEST(PeerTable, ThatNeverAnswersIsGoneAfterTheHandshakeTimeout) {
  PeerTable table;
  ASSERT_TRUE(table.add(kPeer, at(0s)));
  EXPECT_TRUE(table.tick(at(limits::kHandshakeTimeout)).empty());
  EXPECT_EQ(table.tick(at(limits::kHandshakeTimeout + 1ms)).size(), 1u);
}

TEST(PeerTable, DropsAfterTooManyFaults) {
  PeerTable table;
  ASSERT_TRUE(table.add(kPeer, at(0s)));
  table.heard(kPeer, at(0s), true);
  for (std::uint32_t fault = 0; fault < limits::kPeerFaultsMax; ++fault) {
    EXPECT_FALSE(table.count_fault(kPeer, at(1s)));
  }
  const auto dropped = table.count_fault(kPeer, at(1s));
  ASSERT_TRUE(dropped);
  EXPECT_EQ(dropped->to, PeerState::kGone);
  EXPECT_FALSE(table.count_fault(kPeer, at(1s)));
  EXPECT_EQ(table.faults(kPeer), limits::kPeerFaultsMax + 2);
  EXPECT_FALSE(table.count_fault(NodeId{{2}}, at(1s)));
}

TEST(PeerTable, IsBounded) {
  PeerTable table;
  for (std::size_t i = 0; i < limits::kPeersMax; ++i) {
    NodeId id;
    std::memcpy(id.bytes.data(), &i, sizeof i);
    ASSERT_TRUE(table.add(id, at(0s)));
  }
  EXPECT_FALSE(table.add(NodeId{{1, 2, 3, 4, 5, 6, 7, 8, 9}}, at(0s)));
  table.remove(NodeId{});
  EXPECT_TRUE(table.add(NodeId{{1, 2, 3, 4, 5, 6, 7, 8, 9}}, at(0s)));
}

// Closed form: median m and mean absolute deviation d of the intervals give m + 6 d.
TEST(HeartbeatSpread, MedianAndSixDeviations) {
  HeartbeatSpread spread;
  EXPECT_EQ(spread.suspicion_after(), limits::kSuspicionMin);
  for (const Duration interval : {500ms, 500ms, 500ms}) spread.add(interval);
  EXPECT_EQ(spread.suspicion_after(), limits::kSuspicionMin);  // 500 ms is under the floor
  for (const Duration interval : {900ms, 700ms}) spread.add(interval);
  // median 500, deviations 0 0 0 400 200: mean 120; 500 + 720
  EXPECT_EQ(spread.suspicion_after(), 1220ms);
  for (int i = 0; i < 30; ++i) spread.add(i % 2 == 0 ? 100ms : 4000ms);
  EXPECT_EQ(spread.suspicion_after(), limits::kSilenceMax);
  for (int i = 0; i < 64; ++i) spread.add(500ms);  // old ones fall out
  EXPECT_EQ(spread.suspicion_after(), limits::kSuspicionMin);
}

TEST(RetryDelay, DoublesUpToTheLimit) {
  EXPECT_EQ(retry_delay(0, 0), limits::kReconnectMin);
  EXPECT_EQ(retry_delay(1, 0), 2 * limits::kReconnectMin);
  EXPECT_EQ(retry_delay(3, 0), 8 * limits::kReconnectMin);
  EXPECT_EQ(retry_delay(30, 0), limits::kReconnectMax);
  EXPECT_EQ(retry_delay(4'000'000'000u, 0), limits::kReconnectMax);
  EXPECT_EQ(retry_delay(0, 0.5), Duration(limits::kReconnectMin) * 7 / 8);
}

}  // namespace
}  // namespace coshard::transport
