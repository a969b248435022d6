// Files that appear whole or not at all.
// SPDX-License-Identifier: Apache-2.0
#include "shard/data/file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "crypto/hash.h"
#include "tests/unit/data/full_disk.h"
#include "tests/unit/data/temp_folder.h"

namespace coshard::shard {
namespace {

using ::testing::HasSubstr;

TEST(AtomicFile, AppearsWholeWithItsHash) {
  const TempFolder folder;
  AtomicFile file = AtomicFile::create(folder / "a").value();
  ASSERT_TRUE(file.write(as_bytes("hello ")));
  EXPECT_FALSE(std::filesystem::exists(folder / "a"));
  ASSERT_TRUE(file.write(as_bytes("world")));
  EXPECT_EQ(file.publish().value(), crypto::sha256(as_bytes("hello world")));
  EXPECT_EQ(read_text(folder / "a"), "hello world");
  EXPECT_EQ(folder.files(), 1U);
  EXPECT_EQ(ReadFile::open(folder / "a", Symlinks::kRefuse).value().hash().value(),
            crypto::sha256(as_bytes("hello world")));
}

TEST(AtomicFile, AbandonedItLeavesTheOldFileAlone) {
  const TempFolder folder;
  folder.write("a", "old");
  {
    AtomicFile file = AtomicFile::create(folder / "a").value();
    ASSERT_TRUE(file.write(as_bytes("new")));
    const AtomicFile moved = std::move(file);
  }
  EXPECT_EQ(read_text(folder / "a"), "old");
  EXPECT_EQ(folder.files(), 1U);
}

TEST(AtomicFile, TwoWritersDoNotMeet) {
  const TempFolder folder;
  AtomicFile a = AtomicFile::create(folder / "x").value();
  AtomicFile b = AtomicFile::create(folder / "x").value();
  ASSERT_TRUE(a.write(as_bytes("a")));
  ASSERT_TRUE(b.write(as_bytes("b")));
  ASSERT_TRUE(a.publish());
  ASSERT_TRUE(b.publish());
  EXPECT_EQ(read_text(folder / "x"), "b");
  EXPECT_EQ(folder.files(), 1U);
}

TEST(AtomicFile, AFullDiskIsNamedAndLeavesNothing) {
  const TempFolder folder;
  folder.write("a", "old");
  const FullDisk full(4096);
  const auto result = write_atomically(folder / "a", Bytes(100'000));
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::kResourceExhausted);
  EXPECT_THAT(result.error().message, HasSubstr((folder / "a").string()));
  EXPECT_EQ(read_text(folder / "a"), "old");
  EXPECT_EQ(folder.files(), 1U);
}

TEST(AtomicFile, AMissingFolderIsNamed) {
  const TempFolder folder;
  const auto result = AtomicFile::create(folder / "none/a");
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::kNotFound);
  EXPECT_THAT(result.error().message, HasSubstr("none/a"));
}

TEST(ReadFile, KnowsItsBounds) {
  const TempFolder folder;
  const ReadFile file = ReadFile::open(folder.write("a", "0123456789"), Symlinks::kRefuse).value();
  Bytes four(4);
  ASSERT_TRUE(file.read_at(6, four));
  EXPECT_EQ(as_text(four), "6789");
  EXPECT_EQ(file.read_at(7, four).error().code, ErrorCode::kCorruption);
  EXPECT_FALSE(file.read_at(~std::uint64_t{0}, four));
  std::filesystem::resize_file(folder / "a", 8);
  EXPECT_THAT(file.read_at(6, four).error().message, HasSubstr("shorter"));
  EXPECT_FALSE(read_whole(folder / "a", 7, Symlinks::kRefuse));
  EXPECT_EQ(read_whole(folder / "a", 8, Symlinks::kRefuse).value().size(), 8U);
}

TEST(ReadFile, RefusesWhatIsNoFile) {
  const TempFolder folder;
  folder.write("a", "x");
  std::filesystem::create_symlink(folder / "a", folder / "link");
  EXPECT_TRUE(ReadFile::open(folder / "link", Symlinks::kFollow));
  EXPECT_EQ(ReadFile::open(folder / "link", Symlinks::kRefuse).error().code,
            ErrorCode::kPermissionDenied);
  EXPECT_EQ(ReadFile::open(folder / "none", Symlinks::kFollow).error().code, ErrorCode::kNotFound);
  EXPECT_FALSE(ReadFile::open(folder.path(), Symlinks::kFollow));
  ASSERT_EQ(::mkfifo((folder / "pipe").c_str(), 0600), 0);
  EXPECT_FALSE(ReadFile::open(folder / "pipe", Symlinks::kFollow)) << "and it must not wait";
}

}  // namespace
}  // namespace coshard::shard
