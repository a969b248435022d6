// A log moves from any store to any other and back, cut short at every write, and is never in two.
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "ledger/store/place.h"
#include "ledger/verify.h"
#include "tests/support/store_place.h"
#include "tests/unit/ledger/small_round.h"

namespace coshard::ledger {
namespace {

/// Passes everything on until `writes_left` writes, of this store and those that share it, are
/// done.
class StoppingStore final : public Store {
 public:
  StoppingStore(Store& inner, int& writes_left) : inner_(inner), left_(writes_left) {}
  Result<std::uint64_t> size() const override { return inner_.size(); }
  Result<std::vector<Bytes>> read(std::uint64_t first, std::uint64_t count) const override {
    return inner_.read(first, count);
  }
  Result<std::vector<SideFile>> side_files() const override { return inner_.side_files(); }
  Result<std::optional<std::string>> signed_checkpoint() const override {
    return inner_.signed_checkpoint();
  }
  Result<std::string> role() const override { return inner_.role(); }
  Result<void> append(std::uint64_t first, const std::vector<Bytes>& entries,
                      const std::vector<SideFile>& files) override {
    COSHARD_TRY(pass());
    return inner_.append(first, entries, files);
  }
  Result<void> swap_signed_checkpoint(const std::optional<std::string>& expected,
                                      const std::string& next) override {
    COSHARD_TRY(pass());
    return inner_.swap_signed_checkpoint(expected, next);
  }
  Result<void> set_role(const std::string& role) override {
    COSHARD_TRY(pass());
    return inner_.set_role(role);
  }

 private:
  Result<void> pass() {
    if (left_-- > 0) return {};
    return fail(ErrorCode::kUnavailable, "stopped here");
  }
  Store& inner_;
  int& left_;
};

/// A log with side files and a signed checkpoint.
void begin_log(Store& store) {
  ASSERT_OK(store.append(0, std::vector<Bytes>(2000, Bytes{1, 2, 3}), {{"units/0", Bytes{9}}}));
  ASSERT_OK(store.append(2000, {Bytes{4}}, {{"units/1", Bytes{8}}}));
  ASSERT_OK(store.swap_signed_checkpoint(std::nullopt, "a note"));
}

void expect_same(const Store& a, const Store& b) {
  ASSERT_EQ(*a.size(), *b.size());
  EXPECT_EQ(*a.read(0, *a.size()), *b.read(0, *a.size()));
  EXPECT_EQ(*a.side_files(), *b.side_files());
  EXPECT_EQ(*a.signed_checkpoint(), *b.signed_checkpoint());
}

TEST(MoveStoreTest, CutShortAtEveryWriteIsNeverInTwoStores) {
  for (int stop = 0;; ++stop) {
    MemoryStore from, to;
    begin_log(from);
    int left = stop;
    StoppingStore stopping_from(from, left), stopping_to(to, left);
    const bool finished = move_store(stopping_from, "a", stopping_to, "b").has_value();
    EXPECT_FALSE(*from.role() == kHome && *to.role() == kHome && *to.size() > 0);
    ASSERT_OK(move_store(from, "a", to, "b"));
    EXPECT_EQ(*to.role(), kHome);
    EXPECT_NE(*from.role(), kHome);
    expect_same(from, to);
    if (finished) {
      EXPECT_GT(stop, 5);
      return;
    }
  }
}

TEST(MoveStoreTest, StoreWithALogOfItsOwnIsRefused) {
  MemoryStore from, to;
  begin_log(from);
  ASSERT_OK(to.append(0, {Bytes{7}}, {}));
  EXPECT_ERROR(move_store(from, "a", to, "b"), ErrorCode::kFailedPrecondition);
  ASSERT_OK(to.set_role("moved to elsewhere"));  // somebody's old copy, and not of this log
  EXPECT_ERROR(move_store(from, "a", to, "b"), ErrorCode::kCorruption);
  EXPECT_EQ(*from.role(), kHome);
}

TEST(StorePlaceTest, IsRememberedAndChangesOnlyByAMove) {
  const StorePlace postgres(StoreKind::kPostgres);
  if (!postgres.exists()) GTEST_SKIP() << test::PostgresServer::why_not();
  const test::TempDir folder;
  {
    auto store = open_store_at(folder.path(), "");
    ASSERT_OK(store);
    begin_log(**store);
    EXPECT_ERROR(move_store_to(folder.path(), postgres.url()), ErrorCode::kUnavailable);
  }
  EXPECT_ERROR(open_store_at(folder.path(), postgres.url()), ErrorCode::kFailedPrecondition);
  for (const std::string& place : {postgres.url(), std::string(kSqlitePlace), postgres.url()}) {
    ASSERT_OK(move_store_to(folder.path(), place));
    ASSERT_OK(move_store_to(folder.path(), place));
    const std::string other = place == kSqlitePlace ? postgres.url() : kSqlitePlace;
    EXPECT_ERROR(open_store_at(folder.path(), other), ErrorCode::kFailedPrecondition);
    auto store = open_store_at(folder.path(), "");
    ASSERT_OK(store);
    const std::uint64_t size = *(*store)->size();
    EXPECT_GE(size, 2001u);
    ASSERT_OK((*store)->append(size, {Bytes{5}}, {}));
    EXPECT_EQ(**(*store)->signed_checkpoint(), "a note");
  }
  // Even who lost the note of where it is opens no second log.
  std::filesystem::remove(folder / "ledger.store");
  EXPECT_ERROR(open_store_at(folder.path(), ""), ErrorCode::kFailedPrecondition);
}

TEST(StorePlaceTest, OtherPlacesAndPasswordsAreRefused) {
  const test::TempDir folder;
  for (const char* bad : {"mysql://a@b/c", "postgresql://user:secret@host/db", "/a/file",
                          "postgresql://user@host/db?password=secret"}) {
    const auto opened = open_store_at(folder.path(), bad);
    EXPECT_ERROR(opened, ErrorCode::kInvalidArgument);
    EXPECT_EQ(opened.error().message.find("secret"), std::string::npos);
  }
}

// A whole round: the log goes on in the other store, and the published folder verifies.
TEST(StorePlaceTest, RoundGoesOnAfterAMove) {
  const StorePlace postgres(StoreKind::kPostgres);
  if (!postgres.exists()) GTEST_SKIP() << test::PostgresServer::why_not();
  const test::TempDir folder;
  SmallRound round;
  const auto open = [&] {
    round.store.reset();
    auto store = open_store_at(folder.path(), "");
    ASSERT_OK(store);
    round.store = std::move(*store);
  };
  open();
  {
    auto ledger = round.begin();
    ASSERT_OK(ledger);
    ASSERT_OK(round.run_epoch(*ledger, 0, 1, 10));
    ASSERT_OK(ledger->publish());
  }
  std::uint64_t epoch = 1;
  for (const std::string& place : {postgres.url(), std::string(kSqlitePlace)}) {
    round.store.reset();
    ASSERT_OK(move_store_to(folder.path(), place));
    open();
    auto ledger = round.open();
    ASSERT_OK(ledger);
    ASSERT_OK(round.run_epoch(*ledger, epoch, 10 * epoch + 1, 10 * epoch + 10));
    ASSERT_OK(ledger->publish());
    ++epoch;
  }
  ASSERT_OK(verify_ledger(*round.folder));
}

}  // namespace
}  // namespace coshard::ledger
