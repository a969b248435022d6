// What ledger/store/store.h promises, on every store.
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "tests/support/store_place.h"
#include "tests/unit/ledger/small_round.h"

namespace coshard::ledger {
namespace {

class StoreContractTest : public testing::TestWithParam<StoreKind> {
 protected:
  void SetUp() override {
    if (!place_.exists()) GTEST_SKIP() << test::PostgresServer::why_not();
    reopen();
  }
  void reopen() {
    if (GetParam() == StoreKind::kMemory && store_) return;
    store_.reset();
    auto opened = place_.open();
    ASSERT_OK(opened);
    store_ = std::move(*opened);
  }

  StorePlace place_{GetParam()};
  std::unique_ptr<Store> store_;
};

INSTANTIATE_TEST_SUITE_P(Stores, StoreContractTest, all_store_kinds(), store_kind_name);

TEST_P(StoreContractTest, IsEmptyAtFirst) {
  EXPECT_EQ(*store_->size(), 0u);
  EXPECT_TRUE(store_->read(0, 0)->empty());
  EXPECT_TRUE(store_->side_files()->empty());
  EXPECT_FALSE(store_->signed_checkpoint()->has_value());
  EXPECT_EQ(*store_->role(), kHome);
}

TEST_P(StoreContractTest, AppendsAllOrNothingAtItsEnd) {
  ASSERT_OK(store_->append(0, {Bytes{1}, Bytes{}}, {{"units/0", Bytes{9}}}));
  EXPECT_ERROR(store_->append(1, {Bytes{2}}, {}), ErrorCode::kFailedPrecondition);
  EXPECT_ERROR(store_->append(3, {Bytes{2}}, {{"units/9", {}}}), ErrorCode::kFailedPrecondition);
  ASSERT_OK(store_->append(2, {Bytes{0, 255, 0}}, {{"units/0", Bytes{8}}, {"units/10", {}}}));
  for (int round = 0; round < 2; ++round) {
    EXPECT_EQ(*store_->size(), 3u);
    EXPECT_EQ(*store_->read(0, 3), (std::vector<Bytes>{Bytes{1}, Bytes{}, Bytes{0, 255, 0}}));
    EXPECT_EQ(*store_->read(1, 1), (std::vector<Bytes>{Bytes{}}));
    EXPECT_ERROR(store_->read(2, 2), ErrorCode::kCorruption);
    EXPECT_EQ(*store_->side_files(),
              (std::vector<SideFile>{{"units/0", Bytes{8}}, {"units/10", {}}}));
    reopen();
  }
}

TEST_P(StoreContractTest, SignedCheckpointIsComparedAndSwapped) {
  EXPECT_ERROR(store_->swap_signed_checkpoint("other", "a"), ErrorCode::kFailedPrecondition);
  ASSERT_OK(store_->swap_signed_checkpoint(std::nullopt, "a\nb \xe2\x80\x94 c"));
  EXPECT_ERROR(store_->swap_signed_checkpoint(std::nullopt, "b"), ErrorCode::kFailedPrecondition);
  reopen();
  EXPECT_EQ(**store_->signed_checkpoint(), "a\nb \xe2\x80\x94 c");
  ASSERT_OK(store_->swap_signed_checkpoint("a\nb \xe2\x80\x94 c", "d"));
  reopen();
  EXPECT_EQ(**store_->signed_checkpoint(), "d");
}

TEST_P(StoreContractTest, RoleIsKept) {
  ASSERT_OK(store_->set_role("moved to elsewhere"));
  reopen();
  EXPECT_EQ(*store_->role(), "moved to elsewhere");
  ASSERT_OK(store_->set_role(kHome));
  reopen();
  EXPECT_EQ(*store_->role(), kHome);
}

TEST_P(StoreContractTest, ManyAndLargeEntries) {
  std::vector<Bytes> entries;
  for (std::size_t i = 0; i < 3000; ++i)
    entries.push_back(Bytes(1 + i * 7 % 8192, static_cast<std::uint8_t>(i)));
  ASSERT_OK(store_->append(0, entries, {{"units/0", Bytes(5 << 20, 7)}}));
  reopen();
  EXPECT_EQ(*store_->read(0, entries.size()), entries);
  EXPECT_EQ(store_->side_files()->front().bytes, Bytes(5 << 20, 7));
}

TEST_P(StoreContractTest, SecondWriterIsRefused) {
  if (GetParam() == StoreKind::kMemory) GTEST_SKIP() << "a memory store has no second connection";
  ASSERT_OK(store_->append(0, {Bytes{1}}, {}));
  EXPECT_ERROR(place_.open(), ErrorCode::kUnavailable);
  EXPECT_EQ(*store_->size(), 1u);
  reopen();
  ASSERT_OK(store_->append(1, {Bytes{2}}, {}));
}

}  // namespace
}  // namespace coshard::ledger
