// Reading what a log has grown by: every bundle is checked against the checkpoint before anything
// is made of its entries, however long the log is, and without reading what was read before.
//
//     checkpoint root = roots of full bundles (level 1 of the tiles) + leaves of the last bundle
//
// Reading is const and may be shared by threads where the folder's reading may.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <vector>

#include "ledger/checkpoint.h"
#include "ledger/evidence.h"
#include "ledger/files.h"
#include "ledger/tile_path.h"

namespace coshard::ledger {

/// A log's beginning that was verified: enough to see whether another log begins with it.
class LogPosition {
 public:
  std::uint64_t size() const { return bundles_ * kTileWidth + edge_.size(); }
  std::uint64_t bundles() const { return bundles_; }  ///< full ones
  /// Leaf hashes of the entries after the full bundles.
  const std::vector<Hash>& edge() const { return edge_; }
  Hash root() const;
  LogPosition without_edge() const;
  void append(const Hash& leaf);
  /// Appends a full bundle's root where there is no edge.
  void append_bundle(const Hash& root);
  bool operator==(const LogPosition&) const = default;

  template <class Codec, class Self>
  static void state(Codec& codec, Self& self) {
    codec(self.bundles_, self.subtrees_, self.edge_);
  }

 private:
  std::uint64_t bundles_ = 0;
  std::vector<Hash> subtrees_;  // as CompactTree's, over roots of bundles
  std::vector<Hash> edge_;
};

/// The entries of a bundle, verified.
struct GrownBundle {
  std::uint64_t first = 0;     ///< index of entries.front()
  std::vector<Bytes> entries;  ///< those that are new
  std::vector<Hash> leaves;    ///< their hashes
};

class LogGrowth {
 public:
  /// Reads the hashes that lead from `from` to the checkpoint. kFailedPrecondition when they do
  /// not: explain_disagreement() says why. kCorruption names a file that is damaged.
  static Result<LogGrowth> open(const LogFolder& folder, const LogPosition& from,
                                const Checkpoint& checkpoint);

  std::uint64_t first_bundle() const { return from_.bundles(); }
  std::uint64_t end_bundle() const { return (checkpoint_.size + kTileWidth - 1) / kTileWidth; }
  /// Bundle `number`, from first_bundle() on; kCorruption names its file.
  Result<GrownBundle> bundle(std::uint64_t number) const;
  const LogFolder& folder() const { return *folder_; }

 private:
  TileId tile_of(std::uint64_t number) const;
  Result<bool> continues_edge() const;

  const LogFolder* folder_ = nullptr;
  LogPosition from_;
  Checkpoint checkpoint_;
  std::vector<Hash> roots_;  // of the full bundles from first_bundle() on
  std::vector<Hash> edge_;   // leaf hashes of the last, partial one
};

/// Two views of one log that exclude each other.
struct LogFork {
  std::uint64_t old_size = 0;
  std::vector<Hash> path;  ///< for ForkEvidence
};

/// Why LogGrowth::open() failed: the log forked (its own tiles lead to the checkpoint, and not to
/// what was verified before), or kCorruption names the file that is damaged. Reads all leaf hashes.
/// Nothing: neither, the files have changed meanwhile.
Result<std::optional<LogFork>> explain_disagreement(const LogFolder& folder,
                                                    const LogPosition& from,
                                                    const Checkpoint& checkpoint);

}  // namespace coshard::ledger
