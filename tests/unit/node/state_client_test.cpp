// A node that copies its stage's state from several holders, some of which lie, are gone or lack
// it. Real files; the holders are this test.
// SPDX-License-Identifier: Apache-2.0
#include "node/daemon/state_client.h"

#include <gtest/gtest.h>

#include <array>

#include "crypto/hash.h"
#include "node/checkpoint_path.h"
#include "protocol/base/rng.h"
#include "tests/support/process.h"

namespace coshard::node {
namespace {

using std::chrono_literals::operator""s;

const StepId kStep(20);
const StageIndex kStage(1);
constexpr std::uint64_t kPiece = limits::kStatePieceBytes;

NodeId node(std::uint8_t number) { return NodeId{Hash{number}}; }
const NodeId kSelf = node(9);

class StateClientTest : public ::testing::Test {
 protected:
  enum class Kind { kHonest, kLiar, kLacksIt, kAway };

  void SetUp() override {
    Rng rng(5);
    for (std::size_t i = 0; i < 5 * kPiece + 100; ++i)
      state_.push_back(static_cast<std::uint8_t>(rng()));
    file_ = {kStep, kStage, crypto::sha256(state_), state_.size()};
  }

  /// Asks all holders and lets them answer until the copy is over.
  round::StateFetched fetch(std::map<NodeId, Kind> holders) {
    holders_ = std::move(holders);
    asked_.clear();
    over_.reset();
    make(client_, kSelf, over_,
         [this](const NodeId& to, const StateAsk& ask) { asked_[to].push_back(ask); });
    round::FetchState wanted{file_, {}};
    for (const auto& [who, kind] : holders_) wanted.holders.push_back(who);
    client_->fetch(wanted);
    while (!over_) {
      if (answer()) continue;
      clock_.advance(1s);
      client_->tick();
      if (!over_ && whole_) (*posted_.pop())();  // cs-bulk has hashed it
    }
    return *over_;
  }

  /// A client that copies into the folder of them all.
  template <class Ask>
  void make(std::optional<StateClient>& client, const NodeId& self,
            std::optional<round::StateFetched>& over, Ask ask) {
    client.emplace(
        [this](StepId step, StageIndex stage) { return checkpoint_path(dir_.path(), step, stage); },
        clock_,
        StateClientPorts{
            .self = self,
            .send =
                [ask](const NodeId& to, const Message& message) {
                  ask(to, std::get<StateAsk>(message));
                  return Result<void>{};
                },
            .connected = [this](const NodeId& who) { return holders_.at(who) != Kind::kAway; },
            .post =
                [&over](round::ParticipantEvent event) {
                  if (auto* fetched = std::get_if<round::StateFetched>(&event)) over = *fetched;
                },
            .fault = [](const NodeId&, const std::string&) {},
            .run_later =
                [this](std::function<void()> task) {
                  EXPECT_TRUE(posted_.try_push(std::move(task)));
                }});
  }

  Bytes piece_of(const StateAsk& ask) const {
    const auto at = [&](std::uint64_t offset) {
      return state_.begin() +
             static_cast<std::ptrdiff_t>(std::min<std::uint64_t>(offset, state_.size()));
    };
    return Bytes(at(ask.offset), at(ask.offset + ask.bytes));
  }

  /// One question of one holder; false when nobody was asked anything.
  bool answer() {
    for (auto& [who, asks] : asked_) {
      if (asks.empty()) continue;
      const StateAsk ask = asks.front();
      asks.erase(asks.begin());
      ++answers_[who];
      if (holders_.at(who) == Kind::kLacksIt) {
        client_->on_refused(who, {ask.step, ask.stage, ask.offset, ErrorCode::kNotFound, "gone"});
        return true;
      }
      Bytes piece = piece_of(ask);
      if (holders_.at(who) == Kind::kLiar) piece[0] ^= 1;
      whole_ = client_->progress().empty();
      client_->on_piece(who, {ask.step, ask.stage, ask.offset, state_.size()},
                        share(std::move(piece)));
      whole_ = client_->progress().empty();
      return true;
    }
    return false;
  }
  std::filesystem::path part_of(const NodeId& self) const {
    return PartFile::part_of(checkpoint_path(dir_.path(), kStep, kStage), self.short_hex());
  }
  std::string file() const { return test::read_text(checkpoint_path(dir_.path(), kStep, kStage)); }

  test::TempDir dir_;
  ManualClock clock_;
  Bytes state_;
  ShardFile file_;
  std::map<NodeId, Kind> holders_;
  std::map<NodeId, std::vector<StateAsk>> asked_;
  std::map<NodeId, int> answers_;
  std::optional<round::StateFetched> over_;
  bool whole_ = false;  ///< all pieces are there, the hash is being taken
  BoundedQueue<std::function<void()>> posted_{64};
  std::optional<StateClient> client_;
};

TEST_F(StateClientTest, SeveralHoldersAreAskedAtOnce) {
  const auto done = fetch({{node(1), Kind::kHonest}, {node(2), Kind::kHonest}});
  EXPECT_EQ(done.error, "");
  EXPECT_EQ(file(), std::string(state_.begin(), state_.end()));
  EXPECT_GT(answers_[node(1)], 0);
  EXPECT_GT(answers_[node(2)], 0);
  EXPECT_FALSE(std::filesystem::exists(part_of(kSelf)));
}

TEST_F(StateClientTest, ALiarCannotSpoilTheCopy) {
  const auto done = fetch({{node(1), Kind::kHonest}, {node(2), Kind::kLiar}});
  EXPECT_EQ(done.error, "");
  EXPECT_EQ(file(), std::string(state_.begin(), state_.end()));
}

TEST_F(StateClientTest, WhoIsAwayOrLacksItIsDoneWithout) {
  const auto done =
      fetch({{node(1), Kind::kAway}, {node(2), Kind::kLacksIt}, {node(3), Kind::kHonest}});
  EXPECT_EQ(done.error, "");
  EXPECT_EQ(file(), std::string(state_.begin(), state_.end()));
}

TEST_F(StateClientTest, LiarsAloneAreNamedByTheHashAndLeaveNothing) {
  const auto done = fetch({{node(1), Kind::kLiar}});
  EXPECT_NE(done.error.find(to_hex(file_.file_hash)), std::string::npos) << done.error;
  EXPECT_TRUE(file().empty());
}

TEST_F(StateClientTest, WhenNobodyHasItTheReasonIsSaid) {
  EXPECT_NE(fetch({{node(1), Kind::kLacksIt}}).error.find("gone"), std::string::npos);
  const auto nobody = fetch({{node(1), Kind::kAway}, {node(2), Kind::kAway}});
  EXPECT_NE(nobody.error.find("nothing came for 30 s"), std::string::npos) << nobody.error;
}

TEST_F(StateClientTest, ABrokenOffCopyGoesOnWhereItEnded) {
  const auto part = part_of(kSelf);
  std::filesystem::create_directories(part.parent_path());
  test::write_text(part, std::string(state_.begin(), state_.begin() + 4 * kPiece));
  EXPECT_EQ(fetch({{node(1), Kind::kHonest}}).error, "");
  EXPECT_EQ(file(), std::string(state_.begin(), state_.end()));
  EXPECT_EQ(answers_[node(1)], 2) << "one piece and a bit were missing";
}

/// Each has begun before the other has ended.
TEST_F(StateClientTest, TwoThatShareAFolderDoNotSpoilEachOthersCopies) {
  struct Joiner {
    std::vector<StateAsk> asks;
    std::optional<round::StateFetched> over;
    std::optional<StateClient> client;
  };
  std::array<Joiner, 2> joiners;
  holders_ = {{node(1), Kind::kHonest}};
  const auto begin = [&](std::size_t which) {
    Joiner& joiner = joiners.at(which);
    make(joiner.client, node(static_cast<std::uint8_t>(7 + which)), joiner.over,
         [&joiner](const NodeId&, const StateAsk& ask) { joiner.asks.push_back(ask); });
    joiner.client->fetch({file_, {node(1)}});
  };
  const auto answer = [&](Joiner& joiner) {
    if (joiner.asks.empty()) return false;
    const StateAsk ask = joiner.asks.front();
    joiner.asks.erase(joiner.asks.begin());
    joiner.client->on_piece(node(1), {ask.step, ask.stage, ask.offset, state_.size()},
                            share(piece_of(ask)));
    return true;
  };
  begin(0);
  for (int pieces = 0; pieces < 2; ++pieces) ASSERT_TRUE(answer(joiners[0]));
  begin(1);
  while (answer(joiners[1]) || answer(joiners[0])) {
  }
  for (int hashed = 0; hashed < 2; ++hashed) (*posted_.pop())();
  for (std::uint8_t which = 0; which < 2; ++which) {
    ASSERT_TRUE(joiners.at(which).over.has_value()) << "joiner " << int{which};
    EXPECT_EQ(joiners.at(which).over->error, "") << "joiner " << int{which};
    EXPECT_FALSE(std::filesystem::exists(part_of(node(static_cast<std::uint8_t>(7 + which)))));
  }
  EXPECT_EQ(file(), std::string(state_.begin(), state_.end()));
}

}  // namespace
}  // namespace coshard::node
