// SPDX-License-Identifier: Apache-2.0
#include "ledger/merkle.h"

#include <bit>

#include "crypto/hash.h"
#include "protocol/base/check.h"

namespace coshard::ledger {
namespace {

constexpr std::uint8_t kLeafPrefix[1] = {0};
constexpr std::uint8_t kNodePrefix[1] = {1};

/// Leaves in the left subtree: the largest power of two below `size` (size > 1).
std::size_t left_size(std::size_t size) { return std::bit_floor(size - 1); }

Error bad_path(const char* what) {
  return Error{ErrorCode::kCorruption, std::string(what) + " does not lead to the root"};
}

}  // namespace

Hash leaf_hash(ByteView entry) {
  return crypto::Sha256().update(kLeafPrefix).update(entry).finish();
}

Hash node_hash(const Hash& left, const Hash& right) {
  return crypto::Sha256().update(kNodePrefix).update(left).update(right).finish();
}

Hash empty_root() { return crypto::sha256({}); }

void CompactTree::append(const Hash& leaf) {
  Hash carried = leaf;
  // One merge for each trailing one of the old size, as in binary addition.
  for (std::uint64_t bits = size_; (bits & 1) != 0; bits >>= 1) {
    carried = node_hash(subtrees_.back(), carried);
    subtrees_.pop_back();
  }
  subtrees_.push_back(carried);
  ++size_;
}

Hash CompactTree::root() const {
  if (subtrees_.empty()) return empty_root();
  Hash root = subtrees_.back();
  for (std::size_t i = subtrees_.size() - 1; i-- > 0;) root = node_hash(subtrees_[i], root);
  return root;
}

Hash root_of(std::span<const Hash> leaves) {
  CompactTree tree;
  for (const Hash& leaf : leaves) tree.append(leaf);
  return tree.root();
}

std::vector<Hash> inclusion_path(std::span<const Hash> leaves, LogIndex index) {
  COSHARD_CHECK_OP(index.value, <, leaves.size());
  std::vector<Hash> downward;
  std::size_t at = index.value;
  while (leaves.size() > 1) {
    const std::size_t left = left_size(leaves.size());
    const bool goes_left = at < left;
    downward.push_back(root_of(goes_left ? leaves.subspan(left) : leaves.first(left)));
    leaves = goes_left ? leaves.first(left) : leaves.subspan(left);
    if (!goes_left) at -= left;
  }
  return {downward.rbegin(), downward.rend()};
}

std::vector<Hash> consistency_path(std::span<const Hash> leaves, std::uint64_t old_size) {
  COSHARD_CHECK(old_size > 0 && old_size <= leaves.size());
  std::vector<Hash> downward;
  bool old_root_is_known = true;  // the verifier holds the old root unless we went right
  while (old_size < leaves.size()) {
    const std::size_t left = left_size(leaves.size());
    if (old_size <= left) {
      downward.push_back(root_of(leaves.subspan(left)));
      leaves = leaves.first(left);
    } else {
      downward.push_back(root_of(leaves.first(left)));
      leaves = leaves.subspan(left);
      old_size -= left;
      old_root_is_known = false;
    }
  }
  if (!old_root_is_known) downward.push_back(root_of(leaves));
  return {downward.rbegin(), downward.rend()};
}

Result<void> verify_inclusion(LogIndex index, std::uint64_t size, const Hash& leaf,
                              std::span<const Hash> path, const Hash& root) {
  if (index.value >= size) {
    return fail(ErrorCode::kInvalidArgument, "leaf " + std::to_string(index.value) +
                                                 " is outside a tree of " + std::to_string(size));
  }
  std::uint64_t node = index.value;
  std::uint64_t last = size - 1;
  Hash hash = leaf;
  for (const Hash& sibling : path) {
    if (last == 0) return tl::unexpected(bad_path("inclusion path"));
    if ((node & 1) != 0 || node == last) {
      hash = node_hash(sibling, hash);
      while ((node & 1) == 0 && node != 0) {
        node >>= 1;
        last >>= 1;
      }
    } else {
      hash = node_hash(hash, sibling);
    }
    node >>= 1;
    last >>= 1;
  }
  if (last != 0 || hash != root) return tl::unexpected(bad_path("inclusion path"));
  return {};
}

/// The walk of RFC 9162 section 2.1.4.2.
std::optional<PathRoots> roots_of_path(std::uint64_t old_size, std::uint64_t new_size,
                                       std::span<const Hash> path) {
  if (old_size == 0 || old_size >= new_size || path.empty()) return std::nullopt;
  PathRoots roots{path.front(), path.front()};
  const int shift = std::countr_one(old_size - 1);
  std::uint64_t node = (old_size - 1) >> shift;
  std::uint64_t last = (new_size - 1) >> shift;
  for (const Hash& sibling : path.subspan(1)) {
    if (last == 0) return std::nullopt;
    if ((node & 1) != 0 || node == last) {
      roots = {node_hash(sibling, roots.old_root), node_hash(sibling, roots.new_root)};
      while ((node & 1) == 0 && node != 0) {
        node >>= 1;
        last >>= 1;
      }
    } else {
      roots.new_root = node_hash(roots.new_root, sibling);
    }
    node >>= 1;
    last >>= 1;
  }
  if (last != 0) return std::nullopt;
  return roots;
}

namespace {

bool consistency_holds(std::uint64_t old_size, std::uint64_t new_size, const Hash& old_root,
                       const Hash& new_root, std::span<const Hash> path) {
  std::vector<Hash> whole;
  if (std::has_single_bit(old_size)) whole.push_back(old_root);
  whole.insert(whole.end(), path.begin(), path.end());
  const auto roots = roots_of_path(old_size, new_size, whole);
  return roots && roots->old_root == old_root && roots->new_root == new_root;
}

}  // namespace

Result<void> verify_consistency(std::uint64_t old_size, std::uint64_t new_size,
                                const Hash& old_root, const Hash& new_root,
                                std::span<const Hash> path) {
  if (old_size == 0 || old_size > new_size) {
    return fail(ErrorCode::kInvalidArgument, "no consistency proof leads from size " +
                                                 std::to_string(old_size) + " to " +
                                                 std::to_string(new_size));
  }
  const bool holds = old_size == new_size
                         ? path.empty() && old_root == new_root
                         : consistency_holds(old_size, new_size, old_root, new_root, path);
  if (!holds) return tl::unexpected(bad_path("consistency path"));
  return {};
}

}  // namespace coshard::ledger
