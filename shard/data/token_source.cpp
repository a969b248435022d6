// See token_source.h.
// SPDX-License-Identifier: Apache-2.0
#include "shard/data/token_source.h"

#include <algorithm>
#include <string>
#include <vector>

#include "protocol/base/limits.h"
#include "shard/data/manifest.h"
#include "shard/data/permutation.h"
#include "shard/data/shard_file.h"

namespace coshard::shard {
namespace {

namespace fs = std::filesystem;

struct Shard {
  ShardFile on_disk;
  std::uint64_t first_window = 0;
};

Result<void> check_order(const TokenOrder& order, const Manifest& manifest) {
  const auto invalid = [](std::string message) {
    return fail(ErrorCode::kInvalidArgument, std::move(message));
  };
  const std::uint64_t sequences = std::uint64_t{order.microbatches} * order.microbatch_sequences;
  if (sequences < 1 || sequences > limits::kSequencesPerStepMax)
    return invalid("microbatches times microbatch_sequences: expected 1 to " +
                   std::to_string(limits::kSequencesPerStepMax) + ", found " +
                   std::to_string(sequences));
  if (order.sequence < 1 || order.sequence > (std::int64_t{1} << 24))
    return invalid("sequence: expected 1 to 2^24 tokens, found " + std::to_string(order.sequence));
  if (manifest.vocab > order.vocab)
    return invalid("the data has a vocabulary of " + std::to_string(manifest.vocab) +
                   ", the model one of " + std::to_string(order.vocab) +
                   ": expected the model's to be at least as large");
  return {};
}

}  // namespace

struct TokenSource::State {
  TokenOrder order;
  Manifest manifest;
  std::vector<Shard> shards;
  std::uint64_t windows = 0;

  Result<void> append_window(std::uint64_t window, TokenBatch& batch) const;
};

Result<TokenSource> TokenSource::open(const fs::path& path, const TokenOrder& order) {
  COSHARD_ASSIGN(const Bytes text, read_whole(path, limits::kManifestBytesMax, Symlinks::kFollow));
  auto state = std::make_unique<State>();
  auto manifest = parse_manifest(as_text(text));
  if (!manifest) return tl::unexpected(manifest.error().within(path.string()));
  state->order = order;
  state->manifest = std::move(*manifest);
  COSHARD_TRY(check_order(order, state->manifest));
  const auto sequence = static_cast<std::uint64_t>(order.sequence);
  for (const ShardEntry& entry : state->manifest.shards) {
    COSHARD_ASSIGN(ShardFile shard, open_shard(state->manifest, entry, path.parent_path()));
    state->shards.push_back({std::move(shard), state->windows});
    if (entry.tokens > 0) state->windows += (entry.tokens - 1) / sequence;
  }
  if (state->windows == 0)
    return fail(ErrorCode::kInvalidArgument,
                path.string() + ": expected at least one shard of " +
                    std::to_string(order.sequence + 1) + " tokens, found " +
                    std::to_string(state->manifest.tokens()) + " tokens in all");
  return TokenSource(std::move(state));
}

TokenSource::TokenSource(std::unique_ptr<const State> state) : state_(std::move(state)) {}
TokenSource::TokenSource(TokenSource&&) noexcept = default;
TokenSource& TokenSource::operator=(TokenSource&&) noexcept = default;
TokenSource::~TokenSource() = default;

std::uint64_t TokenSource::windows() const { return state_->windows; }
std::uint64_t TokenSource::tokens() const { return state_->manifest.tokens(); }

Result<TokenBatch> TokenSource::batch(StepId step, MicrobatchIndex microbatch) const {
  const TokenOrder& order = state_->order;
  if (step.value < 1 || step.value > limits::kStepsMax || microbatch.value >= order.microbatches)
    return fail(ErrorCode::kInvalidArgument, "step " + std::to_string(step.value) + " microbatch " +
                                                 std::to_string(microbatch.value) +
                                                 " is outside the round");
  TokenBatch batch{order.microbatch_sequences, order.sequence, {}, {}};
  const auto tokens = static_cast<std::size_t>(batch.target_tokens());
  batch.inputs.reserve(tokens);
  batch.targets.reserve(tokens);
  // The samples of all steps are numbered in order; each pass over the data permutes its windows
  // anew.
  const std::uint64_t first =
      ((step.value - 1) * order.microbatches + microbatch.value) * order.microbatch_sequences;
  for (std::uint64_t sample = first; sample < first + order.microbatch_sequences; ++sample) {
    const KeyedPermutation permutation(order.seed, sample / state_->windows, state_->windows);
    COSHARD_TRY(state_->append_window(permutation(sample % state_->windows), batch));
  }
  return batch;
}

/// Appends inputs (all tokens of the window but its last) and targets (all but its first).
Result<void> TokenSource::State::append_window(std::uint64_t window, TokenBatch& batch) const {
  const auto after =
      std::upper_bound(shards.begin(), shards.end(), window,
                       [](std::uint64_t w, const Shard& shard) { return w < shard.first_window; });
  const Shard& shard = *std::prev(after);
  const std::size_t item = item_bytes(manifest.dtype);
  const auto count = static_cast<std::size_t>(order.sequence) + 1;
  const std::uint64_t position =
      (window - shard.first_window) * static_cast<std::uint64_t>(order.sequence);
  Bytes bytes(count * item);
  COSHARD_TRY(
      shard.on_disk.file.read_at(shard.on_disk.header.data_offset + position * item, bytes));
  for (std::size_t i = 0; i < count; ++i) {
    std::uint32_t token = 0;
    for (std::size_t b = 0; b < item; ++b)
      token |= static_cast<std::uint32_t>(bytes[i * item + b]) << (8 * b);
    if (token >= static_cast<std::uint64_t>(manifest.vocab))
      return fail(ErrorCode::kCorruption,
                  "data shard " + shard.on_disk.file.path().string() + ": token " +
                      std::to_string(position + i) + " is " + std::to_string(token) +
                      ", expected it below the vocabulary of " + std::to_string(manifest.vocab));
    if (i + 1 < count) batch.inputs.push_back(static_cast<std::int32_t>(token));
    if (i > 0) batch.targets.push_back(static_cast<std::int32_t>(token));
  }
  return {};
}

}  // namespace coshard::shard
