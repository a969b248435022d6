// SPDX-License-Identifier: Apache-2.0
#include "ledger/tiles.h"

#include <algorithm>
#include <optional>

#include "ledger/merkle.h"
#include "protocol/base/check.h"
#include "protocol/base/limits.h"

namespace coshard::ledger {
namespace {

constexpr std::size_t kBundleBytesMax = kTileWidth * (2 + limits::kEntryBytesMax);
constexpr std::size_t kTileBytesMax = kTileWidth * sizeof(Hash);
/// Of a publication, in memory.
constexpr std::size_t kFilesAtOnce = 128;

}  // namespace

tl::unexpected<Error> corrupt(const LogFolder& folder, const TileId& tile, const std::string& why) {
  return fail(ErrorCode::kCorruption, folder.describe(tile.path()) + ": " + why);
}

Result<std::vector<Hash>> read_tile(const LogFolder& folder, const TileId& tile) {
  COSHARD_ASSIGN(const Bytes bytes, folder.read(tile.path(), kTileBytesMax));
  if (bytes.size() != tile.width * sizeof(Hash)) {
    return corrupt(folder, tile,
                   std::to_string(tile.width * sizeof(Hash)) + " bytes were expected, found " +
                       std::to_string(bytes.size()));
  }
  std::vector<Hash> out;
  for (std::size_t at = 0; at < bytes.size(); at += sizeof(Hash)) {
    out.push_back(*to_array<32>(ByteView(bytes).subspan(at, sizeof(Hash))));
  }
  return out;
}

namespace {

Bytes encode_tile(std::span<const Hash> hashes) {
  Bytes out;
  out.reserve(hashes.size() * sizeof(Hash));
  for (const Hash& hash : hashes) append(out, hash);
  return out;
}

Result<std::vector<Bytes>> read_bundle(const LogFolder& folder, const TileId& tile) {
  COSHARD_ASSIGN(const Bytes bytes, folder.read(tile.path(), kBundleBytesMax));
  auto entries = decode_bundle(bytes, tile.width);
  if (!entries) return corrupt(folder, tile, entries.error().message);
  return entries;
}

/// Which of bundle and tile is wrong at `index`: the tile, unless its hashes lead to the root.
Error disagreement(const LogFolder& folder, const Checkpoint& checkpoint,
                   std::span<const Hash> level0, std::uint64_t index) {
  const bool tile_is_right = root_of(level0) == checkpoint.root;
  TileId tile{tile_is_right ? TileId::kEntries : 0, index / kTileWidth, kTileWidth};
  if (tile.number == checkpoint.size / kTileWidth) tile.width = checkpoint.size % kTileWidth;
  return corrupt(folder, tile, "entry " + std::to_string(index) + " does not hash to its leaf")
      .value();
}

/// The place where `found` differs from the part of `whole` that begins at `first`, or nothing.
template <class T>
std::optional<std::uint64_t> first_difference(std::span<const T> whole, std::uint64_t first,
                                              const std::vector<T>& found) {
  for (std::uint64_t i = 0; i < found.size() && first + i < whole.size(); ++i) {
    if (whole[first + i] != found[i]) return first + i;
  }
  return std::nullopt;
}

/// A partial file of an earlier size, which readers may still ask for: a prefix of what is there.
Result<void> check_old_partial(const LogFolder& folder, const LogContents& contents,
                               const TileId& tile, Beyond beyond) {
  const std::span<const Hash> level = contents.hashes.level(tile.is_entries() ? 0 : tile.level);
  const std::uint64_t first = tile.number * kTileWidth;
  const bool inside = first <= level.size() && tile.width <= level.size() - first;
  if (inside ? !tile.is_partial() : beyond == Beyond::kRefused) {
    return corrupt(folder, tile,
                   "is not a part of a log of " + std::to_string(contents.hashes.size()) +
                       " entries (a publication that was cut short is finished when the "
                       "coordinator starts again)");
  }
  std::optional<std::uint64_t> wrong;
  if (tile.is_entries()) {
    COSHARD_ASSIGN(const std::vector<Bytes> entries, read_bundle(folder, tile));
    wrong = first_difference<Bytes>(contents.entries, first, entries);
  } else {
    COSHARD_ASSIGN(const std::vector<Hash> hashes, read_tile(folder, tile));
    wrong = first_difference<Hash>(level, first, hashes);
  }
  if (!wrong) return {};
  return corrupt(folder, tile, "index " + std::to_string(*wrong) + " differs from the newer file");
}

}  // namespace

Bytes encode_bundle(std::span<const Bytes> entries) {
  Bytes out;
  for (const Bytes& entry : entries) {
    COSHARD_CHECK_OP(entry.size(), <=, limits::kEntryBytesMax);
    put_be<std::uint16_t>(out, static_cast<std::uint16_t>(entry.size()));
    append(out, entry);
  }
  return out;
}

Result<std::vector<Bytes>> decode_bundle(ByteView bundle, std::uint64_t count) {
  std::vector<Bytes> out;
  while (!bundle.empty()) {
    const std::size_t length = bundle.size() < 2 ? 0 : get_be<std::uint16_t>(bundle);
    if (bundle.size() < 2 + length || length > limits::kEntryBytesMax || out.size() == count) {
      return fail(ErrorCode::kCorruption,
                  "entry " + std::to_string(out.size()) + " of the bundle has a false length");
    }
    out.push_back(to_bytes(bundle.subspan(2, length)));
    bundle = bundle.subspan(2 + length);
  }
  if (out.size() == count) return out;
  return fail(ErrorCode::kCorruption, std::to_string(count) + " entries were expected, found " +
                                          std::to_string(out.size()));
}

void LevelHashes::append(const Hash& leaf) {
  Hash hash = leaf;
  for (std::size_t level = 0;; ++level) {
    if (level == levels_.size()) levels_.emplace_back();
    std::vector<Hash>& row = levels_[level];
    row.push_back(hash);
    if (row.size() % kTileWidth != 0) return;
    hash = root_of(std::span(row).last(kTileWidth));
  }
}

std::span<const Hash> LevelHashes::level(std::uint32_t level) const {
  if (level >= levels_.size()) return {};
  return levels_[level];
}

Result<void> publish_tiles(LogFolder& folder, std::uint64_t old_size, std::uint64_t size,
                           const LevelHashes& hashes, const EntrySource& entries) {
  std::vector<PublicFile> files;
  for (const TileId& tile : tiles_between(old_size, size)) {
    const std::uint64_t first = tile.number * kTileWidth;
    if (tile.is_entries()) {
      COSHARD_ASSIGN(const std::vector<Bytes> bundle, entries(first, tile.width));
      files.push_back({tile.path(), encode_bundle(bundle)});
    } else {
      const std::span<const Hash> level = hashes.level(tile.level);
      files.push_back({tile.path(), encode_tile(level.subspan(first, tile.width))});
    }
    if (files.size() == kFilesAtOnce) COSHARD_TRY(folder.write_all(std::exchange(files, {})));
  }
  return folder.write_all(std::move(files));
}

Result<void> prune_partials(LogFolder& folder, std::span<const TileId> candidates,
                            std::span<const std::uint64_t> kept) {
  std::vector<TileId> wanted;
  for (const std::uint64_t size : kept) {
    const std::vector<TileId> partials = partial_tiles_of(size);
    wanted.insert(wanted.end(), partials.begin(), partials.end());
  }
  for (const TileId& tile : candidates) {
    if (tile.is_partial() && std::find(wanted.begin(), wanted.end(), tile) == wanted.end()) {
      COSHARD_TRY(folder.remove(tile.path()));
    }
  }
  return {};
}

Result<LogContents> read_log(const LogFolder& folder, const Checkpoint& checkpoint) {
  if (checkpoint.size > limits::kLogEntriesMax) {
    return fail(
        ErrorCode::kResourceExhausted,
        "a log of at most " + std::to_string(limits::kLogEntriesMax) + " entries was expected");
  }
  LogContents out;
  std::vector<Hash> level0;
  std::vector<TileId> upper;
  for (const TileId& tile : tiles_of(checkpoint.size)) {
    if (tile.is_entries()) {
      COSHARD_ASSIGN(const std::vector<Bytes> bundle, read_bundle(folder, tile));
      out.entries.insert(out.entries.end(), bundle.begin(), bundle.end());
    } else if (tile.level == 0) {
      COSHARD_ASSIGN(const std::vector<Hash> hashes, read_tile(folder, tile));
      level0.insert(level0.end(), hashes.begin(), hashes.end());
    } else {
      upper.push_back(tile);
    }
  }
  for (const Bytes& entry : out.entries) out.hashes.append(leaf_hash(entry));
  if (const auto wrong = first_difference<Hash>(out.hashes.leaves(), 0, level0)) {
    return tl::unexpected(disagreement(folder, checkpoint, level0, *wrong));
  }
  if (root_of(out.hashes.leaves()) != checkpoint.root) {
    return fail(ErrorCode::kCorruption,
                folder.describe("checkpoint") + ": its root is not the root of the " +
                    std::to_string(checkpoint.size) + " entries in the folder");
  }
  for (const TileId& tile : upper) {
    COSHARD_ASSIGN(const std::vector<Hash> hashes, read_tile(folder, tile));
    const std::span<const Hash> level = out.hashes.level(tile.level);
    for (std::uint64_t i = 0; i < tile.width; ++i) {
      if (hashes[i] == level[tile.number * kTileWidth + i]) continue;
      return corrupt(folder, tile, "hash " + std::to_string(i) + " is not the root below it");
    }
  }
  return out;
}

Result<void> check_other_tiles(const LogFolder& folder, const LogContents& contents,
                               Beyond beyond) {
  COSHARD_ASSIGN(const std::vector<std::string> names, folder.list("tile"));
  const std::vector<TileId> needed = tiles_of(contents.hashes.size());
  for (const std::string& name : names) {
    if (is_temporary(name)) continue;
    const auto tile = TileId::parse(name);
    if (!tile) return fail(ErrorCode::kCorruption, folder.describe(name) + ": unknown file");
    if (std::find(needed.begin(), needed.end(), *tile) != needed.end()) continue;
    COSHARD_TRY(check_old_partial(folder, contents, *tile, beyond));
  }
  return {};
}

}  // namespace coshard::ledger
