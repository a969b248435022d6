// Sealed shards as files: the keeper's copy is of no use without the key, opens to exactly what was
// saved with it, and to nothing where anything is wrong.
// SPDX-License-Identifier: Apache-2.0
#include "node/daemon/shard_keeper.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "crypto/hash.h"
#include "node/checkpoint_path.h"
#include "protocol/base/bounded_queue.h"
#include "protocol/base/rng.h"
#include "protocol/round/state_transfer.h"
#include "shard/data/file.h"
#include "tests/support/process.h"

namespace coshard::node {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr StepId kStep{20};
constexpr StageIndex kStage{1};

class ShardKeeperTest : public ::testing::Test {
 protected:
  void SetUp() override {
    Rng rng(5);
    for (std::size_t i = 0; i < 200'000; ++i) state_.push_back(static_cast<char>(rng()));
    put(holder_.path(), kStep, state_);
    key_.fill(7);
  }
  static void put(const std::filesystem::path& folder, StepId step, const std::string& bytes) {
    const auto file = checkpoint_path(folder, step, kStage);
    std::filesystem::create_directories(file.parent_path());
    test::write_text(file, bytes);
  }
  /// As the round does it: sealed by the holder, copied by a keeper, given back to a newcomer.
  ShardSealed seal(StepId step = kStep) {
    const ShardSealed sealed = seal_shard(holder_.path(), {step, kStage, key_});
    EXPECT_EQ(sealed.error, "");
    return sealed;
  }
  void hand_over() {
    const auto to = sealed_path(newcomer_.path(), kStep, kStage);
    std::filesystem::create_directories(to.parent_path());
    std::filesystem::copy_file(sealed_path(holder_.path(), kStep, kStage), to,
                               std::filesystem::copy_options::overwrite_existing);
  }
  ShardReturn shard(const ShardSealed& sealed) const {
    return {sealed.sealed, {}, key_, crypto::sha256(as_bytes(state_))};
  }
  std::filesystem::path opened() const { return checkpoint_path(newcomer_.path(), kStep, kStage); }

  test::TempDir holder_, newcomer_;
  SealKey key_{};
  std::string state_;
};

TEST_F(ShardKeeperTest, WhatIsGivenBackIsWhatWasSaved) {
  const ShardSealed sealed = seal();
  const std::string file = test::read_text(sealed_path(holder_.path(), kStep, kStage));
  EXPECT_EQ(sealed.sealed.bytes, file.size());
  EXPECT_EQ(sealed.sealed.file_hash, crypto::sha256(as_bytes(file)));
  EXPECT_THAT(file, Not(HasSubstr(state_.substr(1000, 32))));
  hand_over();
  const auto done = open_shard(newcomer_.path(), shard(sealed));
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_EQ(test::read_text(opened()), state_);
  EXPECT_FALSE(std::filesystem::exists(sealed_path(newcomer_.path(), kStep, kStage)));
}

TEST_F(ShardKeeperTest, WhatIsWrongIsNamedAndLeavesNoFile) {
  const ShardSealed sealed = seal();
  const auto refused = [&](const ShardReturn& wrong, ErrorCode code) {
    const auto done = open_shard(newcomer_.path(), wrong);
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error().code, code) << done.error().message;
    EXPECT_FALSE(std::filesystem::exists(opened()));
  };
  refused(shard(sealed), ErrorCode::kNotFound);
  hand_over();
  ShardReturn wrong = shard(sealed);
  wrong.key[0] ^= 1;
  refused(wrong, ErrorCode::kPermissionDenied);
  wrong = shard(sealed);
  wrong.opened_hash[0] ^= 1;
  refused(wrong, ErrorCode::kCorruption);
  const auto file = sealed_path(newcomer_.path(), kStep, kStage);
  std::string bytes = test::read_text(file);
  bytes[bytes.size() / 2] ^= 1;
  test::write_text(file, bytes);
  refused(shard(sealed), ErrorCode::kPermissionDenied);
  EXPECT_EQ(test::read_text(checkpoint_path(holder_.path(), kStep, kStage)), state_);
}

TEST_F(ShardKeeperTest, ANewerSealedShardReplacesTheOlderOnes) {
  seal();
  const StepId later(30);
  put(holder_.path(), later, state_);
  seal(later);
  EXPECT_FALSE(std::filesystem::exists(sealed_path(holder_.path(), kStep, kStage)));
  EXPECT_TRUE(std::filesystem::exists(checkpoint_path(holder_.path(), kStep, kStage)));
  EXPECT_TRUE(std::filesystem::exists(sealed_path(holder_.path(), later, kStage)));
}

TEST_F(ShardKeeperTest, AShardThatWasNotSavedIsNotSealed) {
  const ShardSealed none = seal_shard(newcomer_.path(), {kStep, kStage, key_});
  EXPECT_THAT(none.error, HasSubstr("stage-1.safetensors"));
  EXPECT_FALSE(std::filesystem::exists(sealed_path(newcomer_.path(), kStep, kStage)));
}

/// The whole way of a keeper: copied in pieces from the holder, then of a newcomer, from the
/// keeper.
TEST_F(ShardKeeperTest, AKeeperCopiesItAndANewcomerOpensIt) {
  const NodeId source{{1}};
  BoundedQueue<std::function<void()>> posted(64);
  std::vector<round::ParticipantEvent> events;
  std::vector<StateAsk> asks;
  ManualClock clock;
  const auto keeper_of = [&](const std::filesystem::path& folder) {
    return std::make_unique<ShardKeeper>(
        folder, clock,
        StateClientPorts{
            .self = NodeId{{2}},
            .send =
                [&](const NodeId&, const Message& message) {
                  asks.push_back(std::get<StateAsk>(message));
                  return Result<void>{};
                },
            .connected = [](const NodeId&) { return true; },
            .post = [&](round::ParticipantEvent event) { events.push_back(std::move(event)); },
            .fault = [](const NodeId&, const std::string&) { ADD_FAILURE(); },
            .run_later = [&](std::function<void()> task) { (void)posted.try_push(task); }});
  };
  const auto answer_from = [&](ShardKeeper& to, const std::filesystem::path& folder) {
    for (const StateAsk& ask : std::exchange(asks, {})) {
      const auto file =
          shard::ReadFile::open(sealed_path(folder, ask.step, ask.stage), shard::Symlinks::kRefuse);
      const auto size = round::piece_bytes(ask, file->size());
      Bytes piece(*size);
      ASSERT_TRUE(file->read_at(ask.offset, piece));
      EXPECT_TRUE(to.on_piece(source, {ask.step, ask.stage, ask.offset, file->size()},
                              share(std::move(piece))));
    }
  };
  const ShardSealed sealed = seal();
  const KeepOrder order{sealed.sealed, source};
  test::TempDir keepers;
  auto keeper = keeper_of(keepers.path());
  keeper->run(round::KeepShard{order});
  answer_from(*keeper, holder_.path());
  (*posted.pop())();
  ASSERT_EQ(events.size(), 1U);
  const auto& kept = std::get<round::ShardHandled>(events[0]).answer;
  EXPECT_EQ(kept.error, "");
  EXPECT_EQ(kept.sealed, sealed.sealed);

  auto newcomer = keeper_of(newcomer_.path());
  ShardReturn wanted = shard(sealed);
  wanted.keeper = source;
  newcomer->run(round::RestoreShard{wanted});
  answer_from(*newcomer, keepers.path());
  (*posted.pop())();  // the copy is whole
  (*posted.pop())();  // it is open
  ASSERT_EQ(events.size(), 2U);
  EXPECT_EQ(std::get<round::StateFetched>(events[1]).error, "");
  EXPECT_EQ(test::read_text(opened()), state_);

  newcomer->run(round::KeepShard{order});  // from now on it keeps what it is told to
  answer_from(*newcomer, holder_.path());
  (*posted.pop())();
  ASSERT_EQ(events.size(), 3U);
  EXPECT_EQ(std::get<round::ShardHandled>(events[2]).answer.error, "");
}

}  // namespace
}  // namespace coshard::node
