// SPDX-License-Identifier: Apache-2.0
#include "ledger/log_growth.h"

#include <algorithm>

#include "ledger/merkle.h"
#include "ledger/tiles.h"
#include "ledger/tree_path.h"
#include "protocol/base/check.h"
#include "protocol/base/limits.h"

namespace coshard::ledger {
namespace {

constexpr std::size_t kBundleBytesMax = kTileWidth * (2 + limits::kEntryBytesMax);

/// Hash tile `number` of a level that has `count` hashes.
TileId tile_at(std::uint32_t level, std::uint64_t number, std::uint64_t count) {
  return {level, number, std::min(kTileWidth, count - number * kTileWidth)};
}

/// Hashes [first, count) of a level.
Result<std::vector<Hash>> read_level(const LogFolder& folder, std::uint32_t level,
                                     std::uint64_t first, std::uint64_t count) {
  std::vector<Hash> out;
  for (std::uint64_t tile = first / kTileWidth; tile * kTileWidth < count; ++tile) {
    COSHARD_ASSIGN(const std::vector<Hash> hashes, read_tile(folder, tile_at(level, tile, count)));
    const std::uint64_t skipped = first > tile * kTileWidth ? first - tile * kTileWidth : 0;
    out.insert(out.end(), hashes.begin() + static_cast<std::ptrdiff_t>(skipped), hashes.end());
  }
  return out;
}

}  // namespace

void LogPosition::append_bundle(const Hash& root) {
  COSHARD_CHECK(edge_.empty());
  Hash carried = root;
  for (std::uint64_t bits = bundles_; (bits & 1) != 0; bits >>= 1) {
    carried = node_hash(subtrees_.back(), carried);
    subtrees_.pop_back();
  }
  subtrees_.push_back(carried);
  ++bundles_;
}

void LogPosition::append(const Hash& leaf) {
  edge_.push_back(leaf);
  if (edge_.size() < kTileWidth) return;
  const Hash root = root_of(edge_);
  edge_.clear();
  append_bundle(root);
}

LogPosition LogPosition::without_edge() const {
  LogPosition out = *this;
  out.edge_.clear();
  return out;
}

Hash LogPosition::root() const {
  if (subtrees_.empty()) return root_of(edge_);
  const bool has_edge = !edge_.empty();
  Hash root = has_edge ? root_of(edge_) : subtrees_.back();
  for (std::size_t i = subtrees_.size() - (has_edge ? 0 : 1); i-- > 0;) {
    root = node_hash(subtrees_[i], root);
  }
  return root;
}

Result<LogGrowth> LogGrowth::open(const LogFolder& folder, const LogPosition& from,
                                  const Checkpoint& checkpoint) {
  COSHARD_CHECK_OP(from.size(), <=, checkpoint.size);
  if (checkpoint.size > limits::kLogEntriesMax) {
    return fail(
        ErrorCode::kResourceExhausted,
        "a log of at most " + std::to_string(limits::kLogEntriesMax) + " entries was expected");
  }
  LogGrowth out;
  out.folder_ = &folder;
  out.from_ = from;
  out.checkpoint_ = checkpoint;
  const std::uint64_t bundles = checkpoint.size / kTileWidth;
  LogPosition reached = from;
  if (checkpoint.size > from.size()) {
    COSHARD_ASSIGN(out.roots_, read_level(folder, 1, from.bundles(), bundles));
    const std::uint64_t left = checkpoint.size % kTileWidth;
    if (left > 0) {
      COSHARD_ASSIGN(out.edge_, read_tile(folder, tile_at(0, bundles, checkpoint.size)));
    }
    reached = from.without_edge();  // that bundle's own root, or its leaves, come with the rest
    for (const Hash& root : out.roots_) reached.append_bundle(root);
    for (const Hash& leaf : out.edge_) reached.append(leaf);
  }
  if (reached.root() == checkpoint.root) {
    COSHARD_ASSIGN(const bool continues, out.continues_edge());
    if (continues) return out;
  }
  return fail(ErrorCode::kFailedPrecondition,
              folder.describe("checkpoint") + ": its root does not follow from the " +
                  std::to_string(from.size()) + " entries that were verified before");
}

/// Whether the bundle that was not full begins as it did.
Result<bool> LogGrowth::continues_edge() const {
  const std::vector<Hash>& known = from_.edge();
  if (known.empty() || checkpoint_.size == from_.size()) return true;
  std::vector<Hash> now = edge_;
  if (!roots_.empty()) {
    const TileId tile = tile_at(0, from_.bundles(), checkpoint_.size);
    COSHARD_ASSIGN(now, read_tile(*folder_, tile));
    if (root_of(now) != roots_.front()) {
      return corrupt(*folder_, tile, "its hashes do not have the root of the level above");
    }
  }
  return now.size() >= known.size() && std::equal(known.begin(), known.end(), now.begin());
}

TileId LogGrowth::tile_of(std::uint64_t number) const {
  return tile_at(TileId::kEntries, number, checkpoint_.size);
}

Result<GrownBundle> LogGrowth::bundle(std::uint64_t number) const {
  COSHARD_CHECK(first_bundle() <= number && number < end_bundle());
  const TileId tile = tile_of(number);
  COSHARD_ASSIGN(const Bytes bytes, folder_->read(tile.path(), kBundleBytesMax));
  auto entries = decode_bundle(bytes, tile.width);
  if (!entries) return corrupt(*folder_, tile, entries.error().message);
  GrownBundle out;
  out.entries = std::move(*entries);
  for (const Bytes& entry : out.entries) out.leaves.push_back(leaf_hash(entry));
  const bool right = tile.is_partial() ? out.leaves == edge_
                                       : root_of(out.leaves) == roots_[number - first_bundle()];
  if (!right) {
    const auto wrong =
        std::mismatch(out.leaves.begin(), out.leaves.end(), edge_.begin(), edge_.end());
    const auto at =
        number * kTileWidth + static_cast<std::uint64_t>(wrong.first - out.leaves.begin());
    return corrupt(*folder_, tile,
                   tile.is_partial() ? "entry " + std::to_string(at) + " does not hash to its leaf"
                                     : "an entry of it does not hash to its leaf");
  }
  out.first = number * kTileWidth;
  if (number == from_.bundles() && !from_.edge().empty()) {
    const auto known = static_cast<std::ptrdiff_t>(from_.edge().size());
    out.first += from_.edge().size();
    out.entries.erase(out.entries.begin(), out.entries.begin() + known);
    out.leaves.erase(out.leaves.begin(), out.leaves.begin() + known);
  }
  return out;
}

Result<std::optional<LogFork>> explain_disagreement(const LogFolder& folder,
                                                    const LogPosition& from,
                                                    const Checkpoint& checkpoint) {
  if (from.size() == checkpoint.size) {
    if (from.root() == checkpoint.root) return std::nullopt;
    return LogFork{from.size(), {}};
  }
  LevelHashes hashes;
  COSHARD_ASSIGN(const std::vector<Hash> leaves, read_level(folder, 0, 0, checkpoint.size));
  for (const Hash& leaf : leaves) hashes.append(leaf);
  const std::uint64_t bundles = checkpoint.size / kTileWidth;
  COSHARD_ASSIGN(const std::vector<Hash> roots, read_level(folder, 1, 0, bundles));
  LogPosition by_roots;
  for (const Hash& root : roots) by_roots.append_bundle(root);
  for (const Hash& leaf : hashes.leaves().subspan(bundles * kTileWidth)) by_roots.append(leaf);
  const bool roots_are_right = by_roots.root() == checkpoint.root;
  for (std::uint64_t i = 0; i < roots.size(); ++i) {
    if (roots[i] == hashes.level(1)[i]) continue;
    if (roots_are_right) {
      return corrupt(folder, tile_at(0, i, checkpoint.size),
                     "its hashes do not have the root of the level above");
    }
    return corrupt(folder, tile_at(1, i / kTileWidth, bundles),
                   "hash " + std::to_string(i % kTileWidth) + " is not the root below it");
  }
  if (root_at(hashes, checkpoint.size) != checkpoint.root) {
    return fail(ErrorCode::kCorruption, folder.describe("checkpoint") +
                                            ": its root is not the root of the tiles there (" +
                                            folder.describe("tile/0") + ")");
  }
  if (from.size() == 0 || root_at(hashes, from.size()) == from.root()) return std::nullopt;
  return LogFork{from.size(), whole_path(hashes, checkpoint.size, from.size())};
}

}  // namespace coshard::ledger
