// Proofs out of the hashes that tiles are made of: a proof over ten million entries takes some
// thousand hashes, not ten million. Pure; any thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "ledger/merkle.h"
#include "ledger/tiles.h"

namespace coshard::ledger {

/// Root over the leaves [first, first + count). count > 0, all of them there.
Hash range_root(const LevelHashes& hashes, std::uint64_t first, std::uint64_t count);

/// Root of the log when it had `size` entries.
Hash root_at(const LevelHashes& hashes, std::uint64_t size);

/// As inclusion_path of merkle.h, in the tree over the first `size` leaves. index < size.
std::vector<Hash> inclusion_path(const LevelHashes& hashes, std::uint64_t size, LogIndex index);

/// As consistency_path of merkle.h. 0 < old_size <= size.
std::vector<Hash> consistency_path(const LevelHashes& hashes, std::uint64_t size,
                                   std::uint64_t old_size);

/// The same path with its lowest node always first, as roots_of_path wants it. old_size < size.
std::vector<Hash> whole_path(const LevelHashes& hashes, std::uint64_t size, std::uint64_t old_size);

}  // namespace coshard::ledger
