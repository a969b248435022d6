// A contributor's proof that an entry is in the log, to be kept and checked without the log: a
// `.tlog-proof` file. Pure; any thread. Text: c2sp.org/tlog-proof.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ledger/merkle.h"
#include "ledger/policy.h"

namespace coshard::ledger {

struct ProofFile {
  std::optional<Bytes> extra;  ///< nobody vouches for it; ours is the entry's bytes
  LogIndex index;
  std::vector<Hash> path;  ///< from the leaf's sibling upward
  std::string note;        ///< checkpoint file, verbatim

  std::string format() const;
  /// kInvalidArgument for anything that format() would not have written, but for notes: their
  /// signatures are opened by verify_proof.
  static Result<ProofFile> parse(std::string_view text);
};

/// The checkpoint under which `entry` is at `proof.index`. Errors of open_cosigned; kCorruption
/// when the path does not lead from the entry to the root.
Result<CosignedCheckpoint> verify_proof(const ProofFile& proof, ByteView entry,
                                        const Policy& policy,
                                        const std::optional<NoteKey>& pinned = std::nullopt);

}  // namespace coshard::ledger
