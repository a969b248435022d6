// `coshard data prepare`: text files to token shards with a manifest. The same inputs give the same
// bytes. One thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "protocol/base/error.h"
#include "shard/data/manifest.h"

namespace coshard::shard {

struct PrepareOptions {
  std::string tokenizer = "bytes";            ///< or the path of a SentencePiece model
  std::filesystem::path out;                  ///< made if it does not exist
  std::vector<std::filesystem::path> inputs;  ///< text, plain or gzip, in this order
  std::uint64_t shard_tokens = 100'000'000;   ///< tokens of each shard but the last
};

/// Where preparation stands; the caller turns it into a rate with its own clock.
struct PrepareProgress {
  std::uint64_t bytes_read = 0;  ///< of the inputs as stored
  std::uint64_t bytes_total = 0;
  std::uint64_t tokens = 0;
};
using PrepareProgressFn = std::function<void(const PrepareProgress&)>;

struct PrepareReport {
  std::filesystem::path manifest_path;
  Manifest manifest;
  std::uint64_t text_bytes = 0;  ///< after decompression
};

/// Writes shard-00000.bin, ..., the tokenizer's model if it has one, and manifest.json last, each
/// complete and durable or not at all. Each input is one document. Calls `progress` (may be empty)
/// after each megabyte of text. kInvalidArgument for empty inputs, kNotFound, kCorruption (damaged
/// gzip), kResourceExhausted (disk full).
Result<PrepareReport> prepare(const PrepareOptions& options, const PrepareProgressFn& progress);

/// A manifest for shards that another tool made, used where they lie: counts come from their
/// headers, hashes are computed. `vocab` and `tokenizer_id` are what the maker used.
Result<Manifest> adopt_shards(ShardFormat format, const std::vector<std::filesystem::path>& shards,
                              std::int64_t vocab, const std::string& tokenizer_id);

}  // namespace coshard::shard
