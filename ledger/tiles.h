// Writing and reading a log as C2SP tlog-tiles files. The bytes of tiles and bundles are pure
// functions of the entries; only publish_tiles, prune_partials and the readers touch a folder.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "ledger/checkpoint.h"
#include "ledger/files.h"
#include "ledger/tile_path.h"

namespace coshard::ledger {

/// Bytes of tile/entries/<N>: each entry after its length as u16, big-endian.
Bytes encode_bundle(std::span<const Bytes> entries);
/// The entries of a bundle of exactly `count`; kCorruption, naming the entry, otherwise.
Result<std::vector<Bytes>> decode_bundle(ByteView bundle, std::uint64_t count);

/// The hashes that tiles are made of, as the log grows: leaf hashes at level 0, roots of 256
/// hashes of the level below at the others. Appending costs 256/255 hashes on average.
class LevelHashes {
 public:
  void append(const Hash& leaf);
  std::uint64_t size() const { return levels_.front().size(); }
  std::span<const Hash> leaves() const { return levels_.front(); }
  /// Empty above the highest level that has a hash.
  std::span<const Hash> level(std::uint32_t level) const;

 private:
  std::vector<std::vector<Hash>> levels_{1};
};

/// Gives the entries [first, first + count).
using EntrySource = std::function<Result<std::vector<Bytes>>(std::uint64_t, std::uint64_t)>;

/// Writes the tiles and bundles that a log of `size` entries has and one of `old_size` had not.
/// Every write is durable when it returns. `hashes` has at least `size` leaves.
Result<void> publish_tiles(LogFolder& folder, std::uint64_t old_size, std::uint64_t size,
                           const LevelHashes& hashes, const EntrySource& entries);

/// Removes the partial tiles among `candidates` that no log of a size in `kept` has.
Result<void> prune_partials(LogFolder& folder, std::span<const TileId> candidates,
                            std::span<const std::uint64_t> kept);

/// kCorruption, naming the tile's file.
tl::unexpected<Error> corrupt(const LogFolder& folder, const TileId& tile, const std::string& why);

/// A hash tile as published; kCorruption, naming the file, for a wrong length.
Result<std::vector<Hash>> read_tile(const LogFolder& folder, const TileId& tile);

/// The entries of a folder and their hashes.
struct LogContents {
  std::vector<Bytes> entries;
  LevelHashes hashes;
};

/// Reads every tile and bundle that a checkpoint needs and checks them against it. kCorruption
/// names the file and the index.
Result<LogContents> read_log(const LogFolder& folder, const Checkpoint& checkpoint);

/// What a folder may hold that its checkpoint does not promise: nothing; or, where a newer one
/// waits for witnesses, the files of that one, of which only the part that is promised can be
/// checked.
enum class Beyond { kRefused, kAnnounced };

/// Checks what else lies under tile/: partial tiles of earlier sizes must be prefixes of the log,
/// and nothing else may be there. kCorruption names the file.
Result<void> check_other_tiles(const LogFolder& folder, const LogContents& contents,
                               Beyond beyond = Beyond::kRefused);

}  // namespace coshard::ledger
