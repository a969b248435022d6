// The append-only tree of RFC 6962: roots, inclusion and consistency paths, and their verifiers.
// Pure; any thread. Bytes: FORMAT.md.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "protocol/base/bytes.h"
#include "protocol/base/error.h"
#include "protocol/base/ids.h"

namespace coshard::ledger {

Hash leaf_hash(ByteView entry);                       ///< SHA-256(0x00 || entry)
Hash node_hash(const Hash& left, const Hash& right);  ///< SHA-256(0x01 || left || right)
Hash empty_root();                                    ///< SHA-256 of nothing

/// A tree that grows and forgets its leaves: it keeps the root of one perfect subtree for each bit
/// set in its size, largest first, which is all that appending and the root need.
///
///     size 6 = 110b:    [ root of leaves 0..3 ] [ root of leaves 4..5 ]
class CompactTree {
 public:
  void append(const Hash& leaf);
  std::uint64_t size() const { return size_; }
  Hash root() const;

 private:
  std::uint64_t size_ = 0;
  std::vector<Hash> subtrees_;
};

/// Root over leaf hashes.
Hash root_of(std::span<const Hash> leaves);

/// Sibling hashes from the leaf upward. `index` < leaves.size().
std::vector<Hash> inclusion_path(std::span<const Hash> leaves, LogIndex index);

/// Hashes that show that the tree over the first `old_size` leaves is a prefix of the whole.
/// 0 < `old_size` <= leaves.size().
std::vector<Hash> consistency_path(std::span<const Hash> leaves, std::uint64_t old_size);

/// kInvalidArgument for an impossible index or length, kCorruption when the path does not lead
/// from `leaf` to `root`.
Result<void> verify_inclusion(LogIndex index, std::uint64_t size, const Hash& leaf,
                              std::span<const Hash> path, const Hash& root);

/// As above for two trees. A first size of 0 is an error: nothing is shown about an empty tree
/// (reference ledger.md 1.2).
Result<void> verify_consistency(std::uint64_t old_size, std::uint64_t new_size,
                                const Hash& old_root, const Hash& new_root,
                                std::span<const Hash> path);

/// The roots to which a consistency path leads that begins with its lowest node, where the usual
/// form leaves out the root that the verifier holds (sizes that are powers of two).
struct PathRoots {
  Hash old_root{};
  Hash new_root{};
};
/// Nothing when the path's length is impossible. 0 < `old_size` < `new_size`.
std::optional<PathRoots> roots_of_path(std::uint64_t old_size, std::uint64_t new_size,
                                       std::span<const Hash> path);

}  // namespace coshard::ledger
