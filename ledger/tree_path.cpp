// SPDX-License-Identifier: Apache-2.0
#include "ledger/tree_path.h"

#include <algorithm>
#include <bit>

#include "protocol/base/check.h"

namespace coshard::ledger {
namespace {

constexpr int kTileBits = 8;
static_assert(std::uint64_t{1} << kTileBits == kTileWidth);

/// A perfect subtree begins at a multiple of its size: its nodes lie in one level of tiles.
Hash perfect_root(const LevelHashes& hashes, std::uint64_t first, std::uint64_t count) {
  const int height = std::countr_zero(count);
  const int level = height / kTileBits;
  const int shift = level * kTileBits;
  const std::span<const Hash> nodes = hashes.level(static_cast<std::uint32_t>(level));
  return root_of(nodes.subspan(first >> shift, count >> shift));
}

/// Leaves of the left subtree.
std::uint64_t left_of(std::uint64_t count) { return std::bit_floor(count - 1); }

/// A part of the tree and what was passed by on the way down to it.
struct Descent {
  std::vector<Hash> siblings;  ///< topmost first
  std::uint64_t first = 0;
  std::uint64_t count = 0;
  bool went_right = false;

  void left(const LevelHashes& hashes) {
    const std::uint64_t half = left_of(count);
    siblings.push_back(range_root(hashes, first + half, count - half));
    count = half;
  }
  void right(const LevelHashes& hashes) {
    const std::uint64_t half = left_of(count);
    siblings.push_back(range_root(hashes, first, half));
    first += half;
    count -= half;
    went_right = true;
  }
  std::vector<Hash> upward() && {
    std::reverse(siblings.begin(), siblings.end());
    return std::move(siblings);
  }
};

Descent descend_to_prefix(const LevelHashes& hashes, std::uint64_t size, std::uint64_t old_size) {
  COSHARD_CHECK(old_size > 0 && old_size <= size && size <= hashes.size());
  Descent at{{}, 0, size};
  while (at.first + at.count > old_size) {
    if (old_size <= at.first + left_of(at.count)) {
      at.left(hashes);
    } else {
      at.right(hashes);
    }
  }
  return at;
}

}  // namespace

Hash range_root(const LevelHashes& hashes, std::uint64_t first, std::uint64_t count) {
  COSHARD_CHECK(count > 0 && count <= hashes.size() && first <= hashes.size() - count);
  if (std::has_single_bit(count) && first % count == 0) return perfect_root(hashes, first, count);
  const std::uint64_t half = left_of(count);
  return node_hash(range_root(hashes, first, half), range_root(hashes, first + half, count - half));
}

Hash root_at(const LevelHashes& hashes, std::uint64_t size) {
  return size == 0 ? empty_root() : range_root(hashes, 0, size);
}

std::vector<Hash> inclusion_path(const LevelHashes& hashes, std::uint64_t size, LogIndex index) {
  COSHARD_CHECK(index.value < size && size <= hashes.size());
  Descent at{{}, 0, size};
  while (at.count > 1) {
    if (index.value < at.first + left_of(at.count)) {
      at.left(hashes);
    } else {
      at.right(hashes);
    }
  }
  return std::move(at).upward();
}

std::vector<Hash> consistency_path(const LevelHashes& hashes, std::uint64_t size,
                                   std::uint64_t old_size) {
  Descent at = descend_to_prefix(hashes, size, old_size);
  // Who checks holds the old root, unless we went right on the way.
  if (at.went_right) at.siblings.push_back(range_root(hashes, at.first, at.count));
  return std::move(at).upward();
}

std::vector<Hash> whole_path(const LevelHashes& hashes, std::uint64_t size,
                             std::uint64_t old_size) {
  Descent at = descend_to_prefix(hashes, size, old_size);
  at.siblings.push_back(range_root(hashes, at.first, at.count));
  return std::move(at).upward();
}

}  // namespace coshard::ledger
