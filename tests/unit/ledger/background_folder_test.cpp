// Files written behind the back of the log's thread: in order, none forgotten, no error lost.
// SPDX-License-Identifier: Apache-2.0
#include "ledger/background_folder.h"

#include <gtest/gtest.h>

#include <atomic>
#include <latch>

#include "tests/unit/ledger/small_round.h"

namespace coshard::ledger {
namespace {

/// Writes nothing before it is let go, and then remembers what it was told, in order.
class SlowFolder final : public LogFolder {
 public:
  Result<void> write(std::string_view path, ByteView) override {
    go.wait();
    if (path == fails) return fail(ErrorCode::kResourceExhausted, "disk full");
    told.push_back("write " + std::string(path));
    return {};
  }
  Result<void> remove(std::string_view path) override {
    go.wait();
    told.push_back("remove " + std::string(path));
    return {};
  }
  Result<Bytes> read(std::string_view, std::size_t) const override {
    return Bytes{static_cast<std::uint8_t>(told.size())};
  }
  Result<std::vector<std::string>> list(std::string_view) const override { return told; }
  std::string describe(std::string_view path) const override { return std::string(path); }

  std::latch go{1};
  std::vector<std::string> told;
  std::string fails;
};

std::vector<PublicFile> files(std::initializer_list<const char*> paths) {
  std::vector<PublicFile> out;
  for (const char* path : paths) out.push_back({path, {}});
  return out;
}

TEST(BackgroundFolder, WritesInTheOrderInWhichItWasTold) {
  SlowFolder disk;
  BackgroundFolder folder(disk);
  std::atomic<int> written = 0;
  folder.start([&] { ++written; });
  ASSERT_OK(folder.write_all(files({"tile/0/000", "tile/entries/000"})));
  ASSERT_OK(folder.write("checkpoint", {}));
  ASSERT_OK(folder.remove("tile/0/000.p/3"));
  EXPECT_FALSE(*folder.is_idle()) << "the disk has not done anything yet";
  EXPECT_EQ(disk.told.size(), 0U);
  disk.go.count_down();
  EXPECT_EQ(folder.read("any", 1)->front(), 4) << "whoever reads waits for what was told before";
  ASSERT_OK(folder.finish());
  EXPECT_EQ(disk.told, (std::vector<std::string>{"write tile/0/000", "write tile/entries/000",
                                                 "write checkpoint", "remove tile/0/000.p/3"}));
  EXPECT_GE(written, 1);
  EXPECT_TRUE(*folder.is_idle());
  ASSERT_OK(folder.write("late", {}));  // at once again
  EXPECT_EQ(disk.told.back(), "write late");
}

TEST(BackgroundFolder, AnErrorIsToldToWhoeverComesNextAndEndsEverything) {
  SlowFolder disk;
  disk.fails = "tile/0/001";
  BackgroundFolder folder(disk);
  folder.start([] {});
  ASSERT_OK(folder.write("tile/0/001", {}));
  ASSERT_OK(folder.write("checkpoint", {}));
  disk.go.count_down();
  EXPECT_ERROR(folder.list(""), ErrorCode::kResourceExhausted);
  EXPECT_ERROR(folder.is_idle(), ErrorCode::kResourceExhausted);
  EXPECT_ERROR(folder.write("checkpoint", {}), ErrorCode::kResourceExhausted);
  EXPECT_ERROR(folder.finish(), ErrorCode::kResourceExhausted);
  EXPECT_ERROR(folder.write("checkpoint", {}), ErrorCode::kResourceExhausted);
  EXPECT_EQ(disk.told.size(), 0U) << "no checkpoint without its tiles";
}

// What a disk that hangs cannot do: hold up who appends.
TEST(BackgroundFolder, EntriesAreDurableWhileTheDiskOfThePublicFilesHangs) {
  SlowFolder disk;
  const auto folder = std::make_shared<BackgroundFolder>(disk);
  SmallRound round;
  round.folder = folder;
  auto ledger = round.begin();
  ASSERT_OK(ledger);
  folder->start([] {});
  ASSERT_OK(ledger->publish());
  ASSERT_OK(ledger->register_identity(test_identity(9).certificate()));
  ASSERT_OK(ledger->commit());
  EXPECT_FALSE(*folder->is_idle());
  EXPECT_EQ(*round.store->size(), ledger->accounts().size());
  disk.go.count_down();
  ASSERT_OK(folder->finish());
  EXPECT_EQ(disk.told.back(), "write checkpoint");
}

}  // namespace
}  // namespace coshard::ledger
