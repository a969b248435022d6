// One token shard on disk, of any format that we take. Any thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>

#include "shard/data/file.h"
#include "shard/data/manifest.h"
#include "shard/data/shard_header.h"

namespace coshard::shard {

/// What the file says of itself: its header, its Megatron index, or, for flat shards, its size
/// under `flat_dtype`. kCorruption naming the file.
Result<ShardHeader> read_shard_header(ShardFormat format, DType flat_dtype, const ReadFile& file);

struct ShardFile {
  ReadFile file;
  ShardHeader header;
};

/// Opens the shard that `entry` names, relative to `folder`, and checks type, token count, size and
/// SHA-256 against the manifest. kNotFound, or kCorruption naming the shard.
Result<ShardFile> open_shard(const Manifest& manifest, const ShardEntry& entry,
                             const std::filesystem::path& folder);

}  // namespace coshard::shard
