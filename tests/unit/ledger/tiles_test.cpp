// SPDX-License-Identifier: Apache-2.0
#include "ledger/tiles.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "ledger/merkle.h"
#include "protocol/base/limits.h"
#include "tests/unit/ledger/small_round.h"

namespace coshard::ledger {
namespace {

TEST(TilePath, GroupsOfThreeDigits) {
  EXPECT_EQ((TileId{0, 1234067, 256}.path()), "tile/0/x001/x234/067");
  EXPECT_EQ((TileId{3, 0, 17}.path()), "tile/3/000.p/17");
  EXPECT_EQ((TileId{TileId::kEntries, 999, 256}.path()), "tile/entries/999");
  EXPECT_EQ((TileId{TileId::kEntries, 1000, 1}.path()), "tile/entries/x001/000.p/1");
}

TEST(TilePath, ReadsWhatItWrites) {
  for (const std::uint64_t number : {0ull, 7ull, 999ull, 1000ull, 1234067ull, 999999999ull}) {
    for (const std::uint64_t width : {1ull, 255ull, 256ull}) {
      for (const std::uint32_t level : {0u, 1u, 7u, TileId::kEntries}) {
        const TileId tile{level, number, width};
        const auto parsed = TileId::parse(tile.path());
        ASSERT_TRUE(parsed.has_value()) << tile.path();
        EXPECT_EQ(*parsed, tile);
      }
    }
  }
}

// A11: nothing but a canonical path names a tile.
TEST(TilePath, RefusesEverythingElse) {
  for (const char* path : {"",
                           "tile",
                           "tile/",
                           "tile/0",
                           "tile/0/",
                           "tile/0/0",
                           "tile/0/00",
                           "tile/0/0000",
                           "tile/0/1000",
                           "tile/0/x1000/000",
                           "tile/0/x000/000",
                           "tile/0/x001",
                           "tile/0/001/000",
                           "tile/0/x001/x000",
                           "tile/0/../000",
                           "tile/../0/000",
                           "/tile/0/000",
                           "tile//0/000",
                           "tile/8/000",
                           "tile/01/000",
                           "tile/-1/000",
                           "tile/+1/000",
                           "tile/entries",
                           "tile/entries/0",
                           "tile/0/000.p",
                           "tile/0/000.p/",
                           "tile/0/000.p/0",
                           "tile/0/000.p/256",
                           "tile/0/000.p/01",
                           "tile/0/000.p/-1",
                           "tile/0/000.p/1/",
                           "tile/0/000.q/1",
                           "tile/0/000 ",
                           "tile/0/0x0",
                           "tile/0/000.p/1.p/1",
                           "tile/0/000/",
                           "tile/0/000\n",
                           "tile/0/x18446744073709551616/000"}) {
    EXPECT_FALSE(TileId::parse(path).has_value()) << path;
  }
}

// The worked example of reference ledger.md 1.2.
TEST(Tiles, WidthsForSeventyThousand) {
  const std::vector<TileId> tiles = tiles_of(70'000);
  const auto count = [&](std::uint32_t level) {
    return std::count_if(tiles.begin(), tiles.end(),
                         [&](const TileId& tile) { return tile.level == level; });
  };
  EXPECT_EQ(count(0), 274);
  EXPECT_EQ(count(1), 2);
  EXPECT_EQ(count(2), 1);
  EXPECT_EQ(count(TileId::kEntries), 274);
  EXPECT_NE(std::find(tiles.begin(), tiles.end(), TileId{0, 273, 112}), tiles.end());
  EXPECT_NE(std::find(tiles.begin(), tiles.end(), TileId{1, 1, 17}), tiles.end());
  EXPECT_NE(std::find(tiles.begin(), tiles.end(), TileId{2, 0, 1}), tiles.end());
  EXPECT_EQ(partial_tiles_of(70'000).size(), 4u);
  EXPECT_TRUE(tiles_of(0).empty());
  EXPECT_EQ(tiles_of(256).size(), 3u) << "bundle, level 0, and the one hash of level 1";
}

TEST(Tiles, GrowingWritesWhatIsNewOnly) {
  for (const auto& [old_size, size] : {std::pair(0, 1),
                                       {1, 255},
                                       {255, 256},
                                       {256, 257},
                                       {300, 600},
                                       {65'535, 65'537},
                                       {500, 500}}) {
    const auto before = tiles_of(static_cast<std::uint64_t>(old_size));
    const auto after = tiles_of(static_cast<std::uint64_t>(size));
    std::vector<TileId> expected;
    for (const TileId& tile : after) {
      if (std::find(before.begin(), before.end(), tile) == before.end()) expected.push_back(tile);
    }
    EXPECT_EQ(tiles_between(static_cast<std::uint64_t>(old_size), static_cast<std::uint64_t>(size)),
              expected);
  }
}

TEST(Bundle, RoundTripAndEveryTruncation) {
  const std::vector<Bytes> entries{Bytes{1, 2, 3}, Bytes{}, Bytes(300, 9)};
  const Bytes bundle = encode_bundle(entries);
  EXPECT_EQ(to_hex(ByteView(bundle).first(9)), "00030102030000012c");
  EXPECT_EQ(*decode_bundle(bundle, 3), entries);
  EXPECT_FALSE(decode_bundle(bundle, 2).has_value());
  EXPECT_FALSE(decode_bundle(bundle, 4).has_value());
  for (std::size_t length = 0; length < bundle.size(); ++length) {
    EXPECT_FALSE(decode_bundle(ByteView(bundle).first(length), 3).has_value());
  }
  Bytes too_long;
  put_be<std::uint16_t>(too_long, limits::kEntryBytesMax + 1);
  too_long.resize(2 + limits::kEntryBytesMax + 1);
  EXPECT_FALSE(decode_bundle(too_long, 1).has_value());
}

/// A log of small entries, published in the given steps.
struct PublishedLog {
  explicit PublishedLog(const std::vector<std::uint64_t>& sizes) {
    std::uint64_t published = 0;
    for (const std::uint64_t size : sizes) {
      while (entries.size() < size) {
        Bytes entry;
        put_be<std::uint64_t>(entry, entries.size() * 2654435761u);
        entries.push_back(entry);
        hashes.append(leaf_hash(entry));
      }
      const auto source = [&](std::uint64_t first,
                              std::uint64_t count) -> Result<std::vector<Bytes>> {
        const auto begin = entries.begin() + static_cast<std::ptrdiff_t>(first);
        return std::vector<Bytes>(begin, begin + static_cast<std::ptrdiff_t>(count));
      };
      EXPECT_TRUE(publish_tiles(folder, published, size, hashes, source).has_value());
      published = size;
    }
    checkpoint = {"o", published, root_of(hashes.leaves())};
  }
  std::vector<Bytes> entries;
  LevelHashes hashes;
  MemoryFolder folder;
  Checkpoint checkpoint;
};

TEST(ReadLog, SameFilesHoweverItGrew) {
  const PublishedLog at_once({70'000});
  const PublishedLog stepwise({1, 2, 255, 256, 300, 511, 512, 5'000, 65'536, 70'000});
  for (const auto& [path, bytes] : at_once.folder.files) {
    ASSERT_EQ(stepwise.folder.files.at(path), bytes) << path;
  }
  const auto contents = read_log(stepwise.folder, stepwise.checkpoint);
  ASSERT_OK(contents);
  EXPECT_EQ(contents->entries, at_once.entries);
  ASSERT_OK(check_other_tiles(stepwise.folder, *contents));
}

TEST(ReadLog, FlippedByteIsNamedByFileAndIndex) {
  PublishedLog log({600});
  const auto message_after_flip = [&](const std::string& path, std::size_t at) {
    log.folder.files.at(path)[at] ^= 1;
    const auto read = read_log(log.folder, log.checkpoint);
    log.folder.files.at(path)[at] ^= 1;
    return read ? std::string("accepted") : read.error().message;
  };
  EXPECT_EQ(message_after_flip("tile/entries/001", 10 * 7 + 3),
            "mem/tile/entries/001: entry 263 does not hash to its leaf");
  EXPECT_EQ(message_after_flip("tile/0/001", 32 * 9 + 31),
            "mem/tile/0/001: entry 265 does not hash to its leaf");
  EXPECT_EQ(message_after_flip("tile/1/000.p/2", 33),
            "mem/tile/1/000.p/2: hash 1 is not the root below it");
  EXPECT_EQ(message_after_flip("tile/entries/002.p/88", 0).substr(0, 26),
            "mem/tile/entries/002.p/88:");
}

TEST(ReadLog, OldPartialsMustBePrefixes) {
  PublishedLog log({100, 300});
  const auto contents = read_log(log.folder, log.checkpoint);
  ASSERT_OK(contents);
  ASSERT_TRUE(log.folder.files.contains("tile/0/000.p/100"));
  ASSERT_OK(check_other_tiles(log.folder, *contents));
  log.folder.files.at("tile/0/000.p/100")[50] ^= 4;
  EXPECT_ERROR(check_other_tiles(log.folder, *contents), ErrorCode::kCorruption);
  log.folder.files.at("tile/0/000.p/100")[50] ^= 4;
  log.folder.files.at("tile/entries/000.p/100")[5] ^= 4;
  EXPECT_ERROR(check_other_tiles(log.folder, *contents), ErrorCode::kCorruption);
  log.folder.files.at("tile/entries/000.p/100")[5] ^= 4;
  for (const char* stray : {"tile/0/009", "tile/0/001.p/45", "tile/5/000.p/1", "tile/0/readme"}) {
    log.folder.files[stray] = Bytes(32 * 45);
    EXPECT_ERROR(check_other_tiles(log.folder, *contents), ErrorCode::kCorruption);
    log.folder.files.erase(stray);
  }
}

TEST(ReadLog, AbsurdSizeIsRefusedBeforeReading) {
  const MemoryFolder empty;
  EXPECT_ERROR(read_log(empty, {"o", std::uint64_t{1} << 60, Hash{}}),
               ErrorCode::kResourceExhausted);
}

TEST(PrunePartials, KeepsTheTwoNewestSizes) {
  PublishedLog log({100, 200, 300});
  const std::uint64_t kept[2] = {200, 300};
  ASSERT_OK(prune_partials(log.folder, partial_tiles_of(100), kept));
  EXPECT_FALSE(log.folder.files.contains("tile/0/000.p/100"));
  EXPECT_TRUE(log.folder.files.contains("tile/0/000.p/200"));
  EXPECT_TRUE(log.folder.files.contains("tile/0/001.p/44"));
}

}  // namespace
}  // namespace coshard::ledger
