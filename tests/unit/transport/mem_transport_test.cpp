// What mem_transport adds to the contract: loss, repetition, reordering, cuts; the same seed, the
// same
// run.
// SPDX-License-Identifier: Apache-2.0
#include "protocol/transport/mem_transport.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/contract/transport/transport_bed.h"

namespace coshard::transport::testing {
namespace {

using std::chrono_literals::operator""ns;
using std::chrono_literals::operator""ms;
using std::chrono_literals::operator""s;

std::vector<std::uint64_t> arrivals(const MemLinkOptions& options, std::uint64_t seed,
                                    std::uint64_t frames) {
  MemBed bed(options, seed);
  End a(bed), b(bed);
  b.allow(a);
  EXPECT_TRUE(a.connect(b));
  EXPECT_TRUE(bed.run_until([&] { return a.transport->connected(b.node()); }));
  for (std::uint64_t i = 0; i < frames; ++i) EXPECT_TRUE(a.send(b, numbered_frame(i)));
  bed.settle();
  EXPECT_EQ(a.transport->bytes_in_flight(b.node()), 0u);
  std::vector<std::uint64_t> numbers;
  for (const wire::Frame& frame : b.frames) numbers.push_back(number_of(frame));
  return numbers;
}

TEST(MemTransport, LosesAboutAsMuchAsAskedAndKeepsTheOrderOfTheRest) {
  const auto numbers = arrivals({1ms, 20ms, 0.25, 0, true}, 7, 4000);
  EXPECT_NEAR(static_cast<double>(numbers.size()), 3000, 150);  // 5 standard deviations
  EXPECT_TRUE(std::is_sorted(numbers.begin(), numbers.end()));
}

TEST(MemTransport, RepeatsWhenAsked) {
  const auto numbers = arrivals({1ms, 1ms, 0, 0.5, true}, 7, 2000);
  EXPECT_NEAR(static_cast<double>(numbers.size()), 3000, 120);
}

TEST(MemTransport, ReordersOnlyWhenAsked) {
  auto numbers = arrivals({1ms, 50ms, 0, 0, false}, 7, 500);
  ASSERT_EQ(numbers.size(), 500u);
  EXPECT_FALSE(std::is_sorted(numbers.begin(), numbers.end()));
  std::sort(numbers.begin(), numbers.end());
  for (std::uint64_t i = 0; i < 500; ++i) EXPECT_EQ(numbers[i], i);
  const auto ordered = arrivals({1ms, 50ms, 0, 0, true}, 7, 500);
  EXPECT_TRUE(std::is_sorted(ordered.begin(), ordered.end()));
}

TEST(MemTransport, TheSeedDecides) {
  const MemLinkOptions wild{1ms, 50ms, 0.1, 0.1, false};
  EXPECT_EQ(arrivals(wild, 3, 300), arrivals(wild, 3, 300));
  EXPECT_NE(arrivals(wild, 3, 300), arrivals(wild, 4, 300));
}

TEST(MemTransport, ACutEndsConnectionsUntilItHeals) {
  MemBed bed;
  End a(bed), b(bed);
  b.allow(a);
  ASSERT_TRUE(a.connect(b));
  ASSERT_TRUE(bed.run_until([&] { return a.transport->connected(b.node()); }));
  ASSERT_TRUE(a.send(b, numbered_frame(1)));  // on its way when the wire is cut
  bed.network().cut(a.node(), b.node(), true);
  bed.network().run_for(10s);
  EXPECT_TRUE(b.frames.empty());
  EXPECT_EQ(a.count(PeerEventKind::kLost), 1u);
  EXPECT_EQ(b.count(PeerEventKind::kLost), 1u);
  EXPECT_GE(a.count(PeerEventKind::kUnreachable), 2u);
  bed.network().cut(a.node(), b.node(), false);
  bed.network().run_for(10s);
  EXPECT_TRUE(b.transport->connected(a.node()));
  EXPECT_TRUE(b.frames.empty());
}

TEST(MemTransport, VirtualTimePassesOnlyWhenTold) {
  MemBed bed({5ms, 5ms, 0, 0, true});
  End a(bed), b(bed);
  b.allow(a);
  ASSERT_TRUE(a.connect(b));
  bed.network().run_for(4ms);
  EXPECT_FALSE(a.transport->connected(b.node()));
  bed.network().run_for(1ms);
  EXPECT_TRUE(a.transport->connected(b.node()));
  ASSERT_TRUE(a.send(b, numbered_frame(1)));
  bed.network().run_for(5ms - 1ns);
  EXPECT_TRUE(b.frames.empty());
  bed.network().run_for(1ns);
  EXPECT_EQ(b.frames.size(), 1u);
  EXPECT_EQ(bed.clock().now(), TimePoint{} + 10ms);
}

}  // namespace
}  // namespace coshard::transport::testing
