// A stage's state as a file that others copy, and the messages about one of which there is one copy
// alone: it is sealed, kept by a node of a neighbouring stage, and given back to whoever takes the
// seat of the node that had it (design 3.4). Plain values.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "protocol/base/bytes.h"
#include "protocol/base/ids.h"

namespace coshard {

/// The state of `stage` after `step`, as a file: a checkpoint's, or that file sealed.
struct ShardFile {
  StepId step;
  StageIndex stage;
  Hash file_hash{};
  std::uint64_t bytes = 0;
  bool operator==(const ShardFile&) const = default;
};

/// The key of one sealed shard. The coordinator makes it; who keeps the shard never has it.
using SealKey = std::array<std::uint8_t, 32>;

/// Seal the saved shard of your stage, for others to keep.
struct SealOrder {
  StepId step;
  StageIndex stage;
  SealKey key{};
  bool operator==(const SealOrder&) const = default;
};

/// Copy the sealed shard of a neighbouring stage from `holder`, and keep it.
struct KeepOrder {
  ShardFile sealed;
  NodeId holder;
  bool operator==(const KeepOrder&) const = default;
};

/// Answer to a SealOrder (sealed) and to a KeepOrder (kept). After a ShardReturn: what
/// went wrong.
struct ShardSealed {
  ShardFile sealed;
  std::string error;  ///< empty, or why it came to nothing
  bool operator==(const ShardSealed&) const = default;
};

/// Your stage's shard is to be had from its keeper: copy it, open it, load it.
struct ShardReturn {
  ShardFile sealed;
  NodeId keeper;
  SealKey key{};
  Hash opened_hash{};  ///< of what is in it
  bool operator==(const ShardReturn&) const = default;
};

}  // namespace coshard
