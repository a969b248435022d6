// The journal: durable, in order, and honest about damage.
// SPDX-License-Identifier: Apache-2.0
#include "node/coordinator/journal.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/support/process.h"

namespace coshard::node {
namespace {

std::vector<Bytes> some_records() {
  return {to_bytes(as_bytes("first")), Bytes{}, Bytes(5000, 0xAB)};
}

std::unique_ptr<Journal> open_journal(const std::filesystem::path& file) {
  auto journal = Journal::open(file);
  EXPECT_TRUE(journal.has_value()) << journal.error().message;
  return std::move(*journal);
}

TEST(Journal, KeepsRecordsInOrderAcrossOpenings) {
  const test::TempDir dir;
  std::vector<Bytes> expected;
  for (int round = 0; round < 3; ++round) {
    const auto journal = open_journal(dir / "journal.sqlite");
    EXPECT_EQ(journal->records().value(), expected);
    const std::vector<Bytes> more = some_records();
    ASSERT_TRUE(journal->append(more));
    expected.insert(expected.end(), more.begin(), more.end());
    EXPECT_EQ(journal->records().value(), expected);
  }
}

TEST(Journal, IsHeldByOneCoordinator) {
  const test::TempDir dir;
  const auto journal = open_journal(dir / "journal.sqlite");
  const auto second = Journal::open(dir / "journal.sqlite");
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, ErrorCode::kFailedPrecondition) << second.error().message;
}

TEST(Journal, RefusesAForeignFileByName) {
  const test::TempDir dir;
  test::write_text(dir / "journal.sqlite", std::string(8192, 'x'));
  const auto journal = Journal::open(dir / "journal.sqlite");
  ASSERT_FALSE(journal);
  EXPECT_EQ(journal.error().code, ErrorCode::kCorruption);
  EXPECT_NE(journal.error().message.find((dir / "journal.sqlite").string()), std::string::npos);
}

// Flip one byte at a time over the whole file: opening either reports damage or, where the byte is
// unused by SQLite, still reads exactly what was written. Never other records.
TEST(Journal, NeverReadsOtherRecordsThanThoseWritten) {
  const test::TempDir dir;
  const auto file = dir / "journal.sqlite";
  const std::vector<Bytes> written = some_records();
  ASSERT_TRUE(open_journal(file)->append(written));
  const std::string intact = test::read_text(file);
  std::size_t refused = 0;
  for (std::size_t at = 0; at < intact.size(); at += 37) {
    std::string damaged = intact;
    damaged[at] = static_cast<char>(damaged[at] ^ 0x10);
    test::write_text(file, damaged);
    const auto journal = Journal::open(file);
    if (!journal) {
      ++refused;
      continue;
    }
    EXPECT_EQ((*journal)->records().value(), written) << "byte " << at;
  }
  EXPECT_GT(refused, 100U);
}

}  // namespace
}  // namespace coshard::node
