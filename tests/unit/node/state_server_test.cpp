// A node that hands out its saved state: to readers alone, whole files piece by piece, a few at a
// time, and nothing of a protected round. Real files; the other end is this test.
// SPDX-License-Identifier: Apache-2.0
#include "node/daemon/state_server.h"

#include <gtest/gtest.h>

#include <set>

#include "crypto/hash.h"
#include "node/checkpoint_path.h"
#include "protocol/base/rng.h"
#include "tests/support/process.h"

namespace coshard::node {
namespace {

const StepId kStep(20);
const StageIndex kStage(1);
constexpr std::uint64_t kPiece = limits::kStatePieceBytes;

class StateServerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    Rng rng(5);
    for (std::size_t i = 0; i < 2 * kPiece + 100; ++i) state_.push_back(static_cast<char>(rng()));
    const auto file = checkpoint_path(dir_.path(), kStep, kStage);
    std::filesystem::create_directories(file.parent_path());
    test::write_text(file, state_);
  }

  std::unique_ptr<StateServer> serve(bool open) {
    auto server = std::make_unique<StateServer>(
        dir_.path(), clock_,
        StateServerPorts{.admit = [this](const crypto::NodeCertificate& who,
                                         Incarnation) { admitted_.insert(who.node()); },
                         .dismiss = [this](const NodeId& who) { admitted_.erase(who); },
                         .send =
                             [this](const NodeId& to, const Message& message,
                                    std::span<const wire::Payload> payloads) {
                               sent_.push_back({to, message, {payloads.begin(), payloads.end()}});
                               return Result<void>{};
                             },
                         .in_flight = [this](const NodeId&) { return in_flight_; },
                         .post =
                             [this](std::function<void()> task) {
                               EXPECT_TRUE(posted_.try_push(std::move(task)));
                             }});
    server->hold({"mite", open, kStage});
    return server;
  }
  ReaderList readers() const {
    return {{{reader_.node(), Incarnation(1), reader_.certificate().encode()}}};
  }
  static bool nobody(const NodeId&) { return false; }
  /// Runs what cs-bulk has left for cs-net, `count` times.
  void collect(std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) (*posted_.pop())();
  }
  StateRefused only_refusal() const {
    EXPECT_EQ(sent_.size(), 1U);
    return std::get<StateRefused>(sent_.at(0).message);
  }

  struct Sent {
    NodeId to;
    Message message;
    std::vector<wire::Payload> payloads;
  };
  test::TempDir dir_;
  ManualClock clock_;
  crypto::Identity reader_ = crypto::Identity::generate();
  std::string state_;
  std::set<NodeId> admitted_;
  std::vector<Sent> sent_;
  std::size_t in_flight_ = 0;
  BoundedQueue<std::function<void()>> posted_{64};
};

TEST_F(StateServerTest, AReaderGetsTheFilePieceByPiece) {
  const auto server = serve(true);
  server->on_readers(readers(), nobody);
  EXPECT_EQ(admitted_, std::set{reader_.node()});
  for (std::uint64_t offset = 0; offset < state_.size(); offset += kPiece)
    server->on_ask(reader_.node(), {kStep, kStage, offset, kPiece});
  collect(3);
  ASSERT_EQ(sent_.size(), 3U);
  std::string copy;
  for (const Sent& one : sent_) {
    const auto& piece = std::get<StatePiece>(one.message);
    EXPECT_EQ(piece.offset, copy.size());
    EXPECT_EQ(piece.bytes_total, state_.size());
    EXPECT_EQ(one.payloads.at(0).hash, crypto::sha256(*one.payloads[0].bytes));
    copy += as_text(*one.payloads[0].bytes);
  }
  EXPECT_EQ(copy, state_);
  EXPECT_EQ(server->pieces_sent(), 3U);
}

TEST_F(StateServerTest, AProtectedRoundIsReadByNobody) {
  const auto server = serve(false);
  server->on_readers(readers(), nobody);
  EXPECT_TRUE(admitted_.empty());
  server->on_ask(reader_.node(), {kStep, kStage, 0, kPiece});
  EXPECT_EQ(only_refusal().code, ErrorCode::kPermissionDenied);
  EXPECT_NE(only_refusal().reason.find("mite is protected"), std::string::npos);
}

TEST_F(StateServerTest, OnlyWhomTheCoordinatorNamesAndNoMember) {
  const auto server = serve(true);
  server->on_ask(reader_.node(), {kStep, kStage, 0, kPiece});
  EXPECT_EQ(only_refusal().code, ErrorCode::kPermissionDenied);
  server->on_readers(readers(), [](const NodeId&) { return true; });
  ReaderList foreign = readers();
  foreign.readers[0].node = crypto::Identity::generate().node();
  server->on_readers(foreign, nobody);
  ReaderList torn = readers();
  torn.readers[0].certificate.back() ^= 1;
  server->on_readers(torn, nobody);
  EXPECT_TRUE(admitted_.empty());
}

TEST_F(StateServerTest, WhatIsNotThereIsRefused) {
  const auto server = serve(true);
  server->on_readers(readers(), nobody);
  server->on_ask(reader_.node(), {StepId(21), kStage, 0, kPiece});
  server->on_ask(reader_.node(), {kStep, kStage, state_.size(), kPiece});
  collect(2);
  ASSERT_EQ(sent_.size(), 2U);
  EXPECT_EQ(std::get<StateRefused>(sent_[0].message).code, ErrorCode::kNotFound);
  EXPECT_EQ(std::get<StateRefused>(sent_[1].message).code, ErrorCode::kInvalidArgument);
}

TEST_F(StateServerTest, NoMoreThanAFewPiecesAtATime) {
  const auto server = serve(true);
  server->on_readers(readers(), nobody);
  for (std::size_t i = 0; i < limits::kStatePiecesPerNode + 2; ++i)
    server->on_ask(reader_.node(), {kStep, kStage, 0, kPiece});
  ASSERT_EQ(sent_.size(), 2U);
  EXPECT_EQ(std::get<StateRefused>(sent_[0].message).code, ErrorCode::kResourceExhausted);
  collect(limits::kStatePiecesPerNode);
  sent_.clear();
  in_flight_ = limits::kStatePiecesPerNode * kPiece;  // they have not left yet
  server->on_ask(reader_.node(), {kStep, kStage, 0, kPiece});
  EXPECT_EQ(only_refusal().code, ErrorCode::kResourceExhausted);
}

TEST_F(StateServerTest, AReaderLeavesWithItsLease) {
  const auto server = serve(true);
  server->on_readers(readers(), nobody);
  server->heartbeat({});
  ASSERT_EQ(sent_.size(), 1U);
  EXPECT_TRUE(std::holds_alternative<Heartbeat>(sent_[0].message));
  server->on_ask(reader_.node(), {kStep, kStage, 0, kPiece});
  clock_.advance(limits::kReaderLease);
  server->heartbeat({});
  EXPECT_TRUE(admitted_.empty());
  collect(1);  // read for somebody who is no reader any more
  EXPECT_EQ(sent_.size(), 1U);
  server->on_readers(readers(), nobody);
  EXPECT_EQ(admitted_.size(), 1U);
  server->lost(reader_.node());
  EXPECT_TRUE(admitted_.empty());
}

}  // namespace
}  // namespace coshard::node
