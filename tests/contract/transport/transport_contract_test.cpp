// What every transport promises (protocol/transport/transport.h), held against each implementation.
// SPDX-License-Identifier: Apache-2.0
#include "protocol/transport/transport.h"

#include <gtest/gtest.h>

#include "tests/contract/transport/transport_bed.h"

namespace coshard::transport::testing {
namespace {

class TransportContract : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    if (std::string_view(GetParam()) == "zmq") {
      bed_ = std::make_unique<ZmqBed>();
    } else {
      bed_ = std::make_unique<MemBed>();
    }
  }

  /// Lets a dial b and waits until both know.
  void join(End& a, End& b) {
    b.allow(a);
    ASSERT_TRUE(a.connect(b));
    ASSERT_TRUE(bed_->run_until(
        [&] { return a.transport->connected(b.node()) && b.transport->connected(a.node()); }));
  }

  std::unique_ptr<Bed> bed_;
};

TEST_P(TransportContract, DeliversBothWaysOverOneDialledConnection) {
  End a(*bed_), b(*bed_);
  join(a, b);
  ASSERT_TRUE(a.send(b, numbered_frame(1, 100)));
  ASSERT_TRUE(b.send(a, numbered_frame(2)));
  ASSERT_TRUE(bed_->run_until([&] { return !a.frames.empty() && !b.frames.empty(); }));
  EXPECT_EQ(b.senders[0], a.node());
  EXPECT_EQ(a.senders[0], b.node());
  EXPECT_EQ(number_of(b.frames[0]), 1u);
  EXPECT_EQ(*b.frames[0].payloads.at(0), *numbered_frame(1, 100).payloads[0]);
  EXPECT_EQ(a.frames[0].signature, numbered_frame(2).signature);
  EXPECT_EQ(b.transport->counters().frames_received, 1u);
  EXPECT_EQ(b.transport->counters().bytes_received, 8u + 64u + 100u);
  EXPECT_EQ(a.transport->counters().bytes_sent, 8u + 64u + 100u);
}

TEST_P(TransportContract, TellsConnectedOnceOnEachSide) {
  End a(*bed_), b(*bed_);
  join(a, b);
  bed_->settle();
  ASSERT_EQ(a.events.size(), 1u);
  ASSERT_EQ(b.events.size(), 1u);
  EXPECT_EQ(a.events[0].kind, PeerEventKind::kConnected);
  EXPECT_EQ(b.events[0].peer, a.node());
  EXPECT_EQ(b.events[0].curve_public, a.identity.curve().public_key());
  EXPECT_TRUE(b.events[0].registered);
}

TEST_P(TransportContract, KeepsTheOrderOfEachSender) {
  End a(*bed_), b(*bed_), c(*bed_);
  join(a, c);
  join(b, c);
  constexpr std::uint64_t kFrames = 300;
  for (std::uint64_t i = 0; i < kFrames; ++i) {
    ASSERT_TRUE(a.send(c, numbered_frame(i, i % 7 == 0 ? 20'000 : 0)));
    ASSERT_TRUE(b.send(c, numbered_frame(1000 + i, i % 5 == 0 ? 3'000 : 0)));
  }
  ASSERT_TRUE(bed_->run_until([&] { return c.frames.size() == 2 * kFrames; }));
  std::uint64_t next_a = 0, next_b = 1000;
  for (std::size_t i = 0; i < c.frames.size(); ++i) {
    EXPECT_EQ(number_of(c.frames[i]), c.senders[i] == a.node() ? next_a++ : next_b++);
  }
}

TEST_P(TransportContract, CarriesLargeFramesWhole) {
  End a(*bed_), b(*bed_);
  join(a, b);
  wire::Frame frame = numbered_frame(7, std::size_t{24} << 20);
  frame.payloads.push_back(share(Bytes(1, 0xAB)));
  frame.payloads.push_back(share(Bytes()));
  frame.payloads.push_back(share(Bytes(std::size_t{3} << 20, 0x5A)));
  ASSERT_TRUE(a.send(b, frame));
  ASSERT_TRUE(bed_->run_until([&] { return b.frames.size() == 1; }));
  ASSERT_EQ(b.frames[0].payloads.size(), 4u);
  for (std::size_t i = 0; i < 4; ++i) EXPECT_EQ(*b.frames[0].payloads[i], *frame.payloads[i]);
}

TEST_P(TransportContract, RefusesAPayloadOverTheLimit) {
  End a(*bed_, {.payload_bytes_max = 100'000}), b(*bed_, {.payload_bytes_max = 100'000});
  join(a, b);
  EXPECT_EQ(a.send(b, numbered_frame(1, 100'001)).error().code, ErrorCode::kInvalidArgument);
  ASSERT_TRUE(a.send(b, numbered_frame(2, 100'000)));
  ASSERT_TRUE(bed_->run_until([&] { return b.frames.size() == 1; }));
  EXPECT_EQ(number_of(b.frames[0]), 2u);
}

TEST_P(TransportContract, PushesBackBeyondTheBytesInFlight) {
  constexpr std::size_t kPayload = std::size_t{1} << 20;
  End a(*bed_, {.bytes_in_flight_max = 4 * kPayload}), b(*bed_);
  join(a, b);
  EXPECT_EQ(a.send(b, numbered_frame(0, 4 * kPayload)).error().code, ErrorCode::kResourceExhausted);
  EXPECT_EQ(a.transport->bytes_in_flight(b.node()), 0u);
  // Whatever leaves in the meantime: never more than the limit, and full at some point.
  std::uint64_t sent = 0;
  Result<void> outcome;
  while (outcome = a.send(b, numbered_frame(sent, kPayload)), outcome && sent < 10'000) {
    ++sent;
    ASSERT_LE(a.transport->bytes_in_flight(b.node()), 4 * kPayload);
  }
  ASSERT_FALSE(outcome);
  EXPECT_EQ(outcome.error().code, ErrorCode::kResourceExhausted);
  // A frame that was refused left nothing behind; the others all arrive, and then there is room.
  ASSERT_TRUE(bed_->run_until(
      [&] { return b.frames.size() == sent && a.transport->bytes_in_flight(b.node()) == 0; }));
  ASSERT_TRUE(a.send(b, numbered_frame(9999)));
  ASSERT_TRUE(bed_->run_until([&] { return b.frames.size() == sent + 1; }));
  EXPECT_EQ(number_of(b.frames.back()), 9999u);
}

TEST_P(TransportContract, SaysWhyItCannotSend) {
  End a(*bed_), b(*bed_), stranger(*bed_);
  EXPECT_EQ(a.send(b, numbered_frame(1)).error().code, ErrorCode::kNotFound);
  b.allow(a);
  ASSERT_TRUE(a.connect(b));
  EXPECT_EQ(a.send(b, numbered_frame(1)).error().code, ErrorCode::kUnavailable);
  ASSERT_TRUE(bed_->run_until([&] { return a.transport->connected(b.node()); }));
  EXPECT_TRUE(a.send(b, numbered_frame(1)));
  EXPECT_EQ(a.transport->bytes_in_flight(stranger.node()), 0u);
}

TEST_P(TransportContract, NobodyConnectsWithoutBeingAllowed) {
  End a(*bed_), b(*bed_);
  ASSERT_TRUE(a.connect(b));
  ASSERT_TRUE(bed_->run_until([&] { return a.count(PeerEventKind::kUnreachable) >= 2; }));
  EXPECT_FALSE(a.transport->connected(b.node()));
  EXPECT_NE(a.events[0].reason.find("not admitted"), std::string::npos) << a.events[0].reason;
  EXPECT_TRUE(b.events.empty());
  EXPECT_GE(b.transport->counters().keys_refused, 1u);
  // Being allowed later is enough: the dialling goes on.
  b.allow(a);
  EXPECT_TRUE(bed_->run_until([&] { return b.transport->connected(a.node()); }));
}

TEST_P(TransportContract, DialsAgainWhenThePeerComesBack) {
  End a(*bed_);
  // A box's: what the transport does needs no root.
  crypto::Identity identity = crypto::Identity::generate().without_root();
  const Bytes secret = to_bytes(identity.encode_secret().view());
  auto first = std::make_unique<End>(*bed_, BedOptions{}, std::move(identity));
  const std::string endpoint = first->transport->endpoint();
  join(a, *first);
  ASSERT_TRUE(a.send(*first, numbered_frame(1)));
  ASSERT_TRUE(bed_->run_until([&] { return first->frames.size() == 1; }));

  first.reset();
  ASSERT_TRUE(bed_->run_until([&] { return a.count(PeerEventKind::kLost) == 1; }));
  EXPECT_FALSE(a.events.back().reason.empty());

  End second(*bed_, {}, crypto::Identity::decode_secret(secret).value(), endpoint);
  second.allow(a);
  EXPECT_EQ(a.send(second, numbered_frame(2)).error().code, ErrorCode::kUnavailable);
  ASSERT_TRUE(bed_->run_until([&] { return second.transport->connected(a.node()); }));
  ASSERT_TRUE(bed_->run_until([&] { return a.transport->connected(second.node()); }));
  ASSERT_TRUE(a.send(second, numbered_frame(3)));
  ASSERT_TRUE(bed_->run_until([&] { return second.frames.size() == 1; }));
  EXPECT_EQ(number_of(second.frames[0]), 3u);  // nothing from before
  EXPECT_EQ(a.count(PeerEventKind::kConnected), 2u);
}

TEST_P(TransportContract, TheListenerLearnsThatADiallerIsGone) {
  End b(*bed_);
  auto a = std::make_unique<End>(*bed_);
  const NodeId id = a->node();
  join(*a, b);
  ASSERT_TRUE(a->send(b, numbered_frame(5)));  // last words
  a.reset();
  ASSERT_TRUE(bed_->run_until([&] { return b.count(PeerEventKind::kLost) == 1; }));
  EXPECT_FALSE(b.transport->connected(id));
}

TEST_P(TransportContract, DisconnectStopsDiallingWithoutAnEvent) {
  End a(*bed_), b(*bed_);
  join(a, b);
  a.guarded([&] { return a.transport->disconnect(b.node()), 0; });
  ASSERT_TRUE(bed_->run_until([&] { return b.count(PeerEventKind::kLost) == 1; }));
  bed_->settle();
  EXPECT_EQ(a.events.size(), 1u);
  EXPECT_EQ(a.send(b, numbered_frame(1)).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(b.count(PeerEventKind::kConnected), 1u);
}

TEST_P(TransportContract, RevokingRefusesFramesOnAnOpenConnection) {
  End a(*bed_), b(*bed_);
  join(a, b);
  b.transport->revoke(a.node());
  ASSERT_TRUE(a.send(b, numbered_frame(1)));
  ASSERT_TRUE(bed_->run_until([&] { return b.transport->counters().revoked == 1; }));
  EXPECT_TRUE(b.frames.empty());
  b.allow(a);
  ASSERT_TRUE(a.send(b, numbered_frame(2)));
  ASSERT_TRUE(bed_->run_until([&] { return b.frames.size() == 1; }));
  EXPECT_EQ(number_of(b.frames[0]), 2u);
}

TEST_P(TransportContract, BothMayDialEachOther) {
  End a(*bed_), b(*bed_);
  a.allow(b);
  b.allow(a);
  ASSERT_TRUE(a.connect(b));
  ASSERT_TRUE(b.connect(a));
  ASSERT_TRUE(bed_->run_until(
      [&] { return a.transport->connected(b.node()) && b.transport->connected(a.node()); }));
  for (std::uint64_t i = 0; i < 50; ++i) {
    ASSERT_TRUE(a.send(b, numbered_frame(i)));
    ASSERT_TRUE(b.send(a, numbered_frame(i)));
    if (i == 25) bed_->settle();  // meanwhile the second connection comes up
  }
  ASSERT_TRUE(bed_->run_until([&] { return a.frames.size() == 50 && b.frames.size() == 50; }));
  for (std::uint64_t i = 0; i < 50; ++i) {
    EXPECT_EQ(number_of(a.frames[i]), i);
    EXPECT_EQ(number_of(b.frames[i]), i);
  }
}

TEST_P(TransportContract, AHandlerMaySendDisconnectAndClose) {
  End a(*bed_), b(*bed_), c(*bed_);
  join(a, b);
  join(c, b);
  b.on_frame = [&] {
    if (b.senders.back() == a.node()) {
      EXPECT_TRUE(b.send(a, numbered_frame(10)));
      b.transport->disconnect(a.node());
    } else {
      EXPECT_TRUE(b.transport->close());
    }
  };
  ASSERT_TRUE(a.send(b, numbered_frame(1)));
  ASSERT_TRUE(bed_->run_until([&] { return !b.frames.empty(); }));
  ASSERT_TRUE(c.send(b, numbered_frame(2)));
  ASSERT_TRUE(bed_->run_until([&] { return c.count(PeerEventKind::kLost) == 1; }));
  EXPECT_EQ(b.frames.size(), 2u);
}

TEST_P(TransportContract, ClosedMeansClosed) {
  End a(*bed_), b(*bed_);
  join(a, b);
  ASSERT_TRUE(b.send(a, numbered_frame(1)));
  ASSERT_TRUE(a.guarded([&] { return a.transport->close(); }));
  ASSERT_TRUE(a.transport->close());
  EXPECT_EQ(a.send(b, numbered_frame(1)).error().code, ErrorCode::kFailedPrecondition);
  EXPECT_EQ(a.connect(b).error().code, ErrorCode::kFailedPrecondition);
  const std::size_t events = a.events.size();
  bed_->settle();
  EXPECT_TRUE(a.frames.empty());
  EXPECT_EQ(a.events.size(), events);
}

INSTANTIATE_TEST_SUITE_P(Every, TransportContract, ::testing::Values("zmq", "mem"),
                         [](const auto& named) { return std::string(named.param); });

}  // namespace
}  // namespace coshard::transport::testing
