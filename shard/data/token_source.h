// Which tokens a microbatch has: a pure function of (seed, step, microbatch) and the data manifest,
// so that the first and the last stage derive the same batch and targets never travel (design 3.1,
// 5). Immutable after open(): batch() may be called from any thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>

#include "protocol/base/error.h"
#include "protocol/base/ids.h"
#include "shard/data/token_batch.h"

namespace coshard::shard {

/// What of the round file decides which tokens come when.
struct TokenOrder {
  std::uint64_t seed = 0;
  std::int64_t sequence = 0;       ///< tokens of one sequence
  std::uint32_t microbatches = 0;  ///< of one step
  std::uint32_t microbatch_sequences = 0;
  std::int64_t vocab = 0;  ///< of the model; the manifest's may not be larger
};

class TokenSource {
 public:
  /// Opens the manifest and all shards that it names, relative to its folder, and checks every
  /// shard's SHA-256. kNotFound for a missing file, kCorruption naming the shard whose hash, size
  /// or header is wrong, kInvalidArgument for a manifest that does not parse, does not fit the
  /// model or holds not one full window.
  static Result<TokenSource> open(const std::filesystem::path& manifest, const TokenOrder& order);

  TokenSource(TokenSource&&) noexcept;
  TokenSource& operator=(TokenSource&&) noexcept;
  ~TokenSource();

  /// Microbatch `microbatch` of step `step` (1-based). kInvalidArgument outside the round's ranges;
  /// kCorruption naming the shard and position of a token that is not below the vocabulary.
  Result<TokenBatch> batch(StepId step, MicrobatchIndex microbatch) const;

  /// Windows of sequence + 1 tokens in one pass over the data. Windows overlap by one token and
  /// never cross shards.
  std::uint64_t windows() const;
  std::uint64_t tokens() const;

 private:
  struct State;
  explicit TokenSource(std::unique_ptr<const State> state);
  std::unique_ptr<const State> state_;
};

}  // namespace coshard::shard
