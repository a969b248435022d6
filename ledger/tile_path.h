// Names of the files of a tiled log, and back. Pure; any thread. Bytes: c2sp.org/tlog-tiles,
// FORMAT.md.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "protocol/base/error.h"

namespace coshard::ledger {

inline constexpr std::uint64_t kTileWidth = 256;

/// One tile of hashes, or one bundle of entries.
struct TileId {
  static constexpr std::uint32_t kEntries = 0xffffffff;  ///< level of an entry bundle
  std::uint32_t level = 0;                               ///< 0 holds leaf hashes
  std::uint64_t number = 0;
  std::uint64_t width = kTileWidth;  ///< hashes or entries in it; below kTileWidth: partial
  auto operator<=>(const TileId&) const = default;

  bool is_entries() const { return level == kEntries; }
  bool is_partial() const { return width < kTileWidth; }
  /// "tile/0/x001/x234/067.p/17", relative to the log's folder.
  std::string path() const;
  /// kInvalidArgument for any text that path() does not write.
  static Result<TileId> parse(std::string_view path);
};

/// Every tile and bundle of a log of `size` entries, none of width 0.
std::vector<TileId> tiles_of(std::uint64_t size);

/// The partial ones of those: at most one bundle, and one tile for each level.
std::vector<TileId> partial_tiles_of(std::uint64_t size);

/// Those that a reader of size `size` needs and a reader of size `old_size` did not.
std::vector<TileId> tiles_between(std::uint64_t old_size, std::uint64_t size);

}  // namespace coshard::ledger
