// StageEngine: one pipeline stage of a LLaMA model as a thing that computes. The only door to the
// tensors: everything goes in and out as TensorBlob, TokenBatch or bytes, so nothing outside shard/
// sees libtorch. Home thread: cs-engine; every method is called from the thread that made the first
// call. Numeric promises: shard/README.md; order of calls: design 3.2.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string_view>
#include <variant>
#include <vector>

#include "protocol/base/bytes.h"
#include "protocol/base/commit_scalars.h"
#include "protocol/base/error.h"
#include "protocol/base/ids.h"
#include "protocol/base/tensor_blob.h"
#include "shard/checkpoint/stage_snapshot.h"
#include "shard/data/token_batch.h"
#include "shard/engine/device.h"
#include "shard/model/accumulate.h"
#include "shard/plan/gradient_layout.h"
#include "shard/plan/spec.h"

namespace coshard::shard {

/// What the stage computes in. Weights, moments and gradient sums are fp32 in both.
enum class Precision : std::uint8_t {
  kFp32,
  kBf16,  ///< matrix products and activations in bf16, master weights and sums in fp32
};

/// Everything that decides what an engine is; constant for its life.
struct StageConfig {
  ModelSpec spec;
  StageSlice slice;  ///< which layers, and whether embedding and head belong to it
  StageIndex stage;  ///< for checkpoints and messages alone
  std::uint64_t seed = 1;
  Precision precision = Precision::kFp32;
  Device device;
  int threads = 1;  ///< of libtorch's pool; process-wide, so the first engine decides
  bool recompute_activations = false;  ///< keep inputs only, run the forward again in backward
  bool fused = true;                   ///< false: the plain reference version of every operation
  std::uint32_t stashes_max = 64;      ///< microbatches whose activations may be held at a time
};

/// Stage 0 takes tokens; every other stage a (sequences, tokens, hidden) fp32 blob.
using StageInput = std::variant<TokenBatch, TensorBlob>;

/// What the last stage says of one microbatch.
struct LossResult {
  double loss_sum = 0;       ///< of the token losses (nats), added in double
  std::uint64_t tokens = 0;  ///< targets that were counted
  TensorBlob input_grad;     ///< of the sum; no bytes at a model of one stage
};

/// The average of one chunk over the whole step.
struct AveragedChunk {
  SharedBytes bytes;  ///< fp32; null when the engine's own sum was the only contribution
  double squared_norm = 0;
};

struct StepReport {
  Fingerprint digest{};  ///< of the parameters after the update, under the commit's key
};

struct MemoryBytes {
  std::uint64_t parameters = 0;  ///< master weights, and their bf16 copies
  std::uint64_t optimizer = 0;   ///< both moments
  std::uint64_t gradients = 0;   ///< own sum and average
  std::uint64_t stashes = 0;     ///< kept inputs of microbatches between forward and backward
};

/// One stage. A step is: any order of forward and backward over its microbatches; then, chunk by
/// chunk, gradient_chunk, reduce_chunk or set_average; then apply_update or abort_step.
///
/// Errors of every method: kInvalidArgument for an input whose shape, dtype, tokens or values
/// (NaN, Inf, absurd norm) are not what this stage takes, with nothing accumulated;
/// kUnavailable for a result that is not finite, with nothing accumulated; kCorruption for one that
/// is in the sum all the same, which is of no use until the step ends;
/// kFailedPrecondition for a call out of order (backward without forward, a second forward of the
/// same microbatch, apply_update before every chunk has its average); kResourceExhausted when
/// memory or stashes_max is spent; kInternal for an unexpected failure of libtorch.
class StageEngine {
 public:
  virtual ~StageEngine() = default;

  /// The chunks that gradients travel in, ChunkIndex by ChunkIndex: the same on every replica.
  virtual const std::vector<GradientChunk>& layout() const = 0;

  /// Runs a stage that is not the last, keeps what backward needs. Result: (sequences, tokens,
  /// hidden), fp32.
  virtual Result<TensorBlob> forward(MicrobatchIndex microbatch, const StageInput& input) = 0;

  /// What forward would return, bit for bit, with nothing kept: what is held of any microbatch
  /// stays held, and stashes_max does not matter. For repair.
  virtual Result<TensorBlob> forward_only(const StageInput& input) = 0;

  /// Forward and backward of the last stage in one. The gradient of the *sum* of token losses is
  /// added to the stage's sum, unless `accumulate` says no.
  virtual Result<LossResult> forward_loss(MicrobatchIndex microbatch, const StageInput& input,
                                          const TokenBatch& targets,
                                          Accumulate accumulate = Accumulate::kYes) = 0;

  /// Takes the gradient of what forward returned, and what forward kept; adds to the stage's sum,
  /// unless `accumulate` says no; returns the gradient of the input, without bytes at stage 0. Sums
  /// are in the order of these calls.
  virtual Result<TensorBlob> backward(MicrobatchIndex microbatch, const TensorBlob& output_grad,
                                      Accumulate accumulate = Accumulate::kYes) = 0;

  /// Drops what forward kept for one microbatch (relieved of it, or its peer died). No-op if none.
  virtual void drop_stash(MicrobatchIndex microbatch) = 0;

  /// Logits (sequences, tokens, vocab) of the last stage, nothing kept: evaluation and tests.
  virtual Result<TensorBlob> logits(const StageInput& input) = 0;

  /// A copy of the own sum of one chunk, fp32 little-endian.
  virtual Result<SharedBytes> gradient_chunk(ChunkIndex chunk) = 0;

  /// Adds the contributions of all replicas in the given order, own one included, times
  /// `inv_tokens`; keeps the result as this engine's average of the chunk and returns it. No
  /// contributions: the own sum is the only one, no bytes are copied. kInvalidArgument when a
  /// contribution has the wrong size. A squared norm that is not finite is that of an average that
  /// is not: only a skipped update may follow. Until the update, this and
  /// set_average may come again for a chunk, in any mixture, also after more units were added to
  /// the sum (a later averaging attempt): the last one holds.
  virtual Result<AveragedChunk> reduce_chunk(ChunkIndex chunk,
                                             std::span<const SharedBytes> contributions,
                                             float inv_tokens) = 0;

  /// Takes the average of a chunk as its reducer made it. Returns the squared norm of those bytes,
  /// to compare with what the reducer signed. The own sum stays untouched.
  virtual Result<double> set_average(ChunkIndex chunk, const SharedBytes& average) = 0;

  /// AdamW on every parameter from the averages, then a fresh step: sums zero, stashes and averages
  /// gone. A skipped update leaves weights and moments as they are but still ends the step.
  virtual Result<StepReport> apply_update(const CommitScalars& scalars) = 0;

  /// A fresh step without an update.
  virtual void abort_step() = 0;

  /// A copy of weights and moments, which are those after `step`.
  virtual Result<StageSnapshot> snapshot(StepId step) = 0;
  /// The same as one safetensors file: written beside, fsynced, renamed.
  Result<StageCheckpointHashes> save(const std::filesystem::path& path, StepId step) {
    COSHARD_ASSIGN(const StageSnapshot copy, snapshot(step));
    return copy.write(path);
  }

  /// The state that save wrote, bit for bit; returns the step it stands for. kCorruption for a
  /// damaged file, kInvalidArgument for one of another model or slice: the engine is unchanged
  /// then. After a failure in the middle of reading, only another load makes it whole.
  virtual Result<StepId> load(const std::filesystem::path& path) = 0;

  /// Reads this stage's own tensors, and no others, from a Hugging Face LLaMA directory. Moments
  /// start at zero.
  virtual Result<void> load_hugging_face(const std::filesystem::path& directory) = 0;

  /// fp32 bytes of one parameter by its name (export, joins, tests).
  virtual Result<TensorBlob> parameter(std::string_view name) = 0;
  /// The same of the own gradient sum.
  virtual Result<TensorBlob> gradient(std::string_view name) = 0;

  /// Digest of the parameters as they are, under `key`.
  virtual Result<Fingerprint> fingerprint(const std::array<std::uint8_t, 16>& key) = 0;

  virtual MemoryBytes memory_bytes() const = 0;
};

/// FLOPs per second of matrix products on `device`, the best of a tenth of a second: what else runs
/// only slows it. 0: unknown. Main, before there is an engine.
std::uint64_t measure_speed(const Device& device, int threads);

/// Makes an engine with weights from (seed, parameter name). kInvalidArgument for an impossible
/// configuration, kResourceExhausted where the stage does not fit the device.
Result<std::unique_ptr<StageEngine>> make_stage_engine(const StageConfig& config);

/// The one on libtorch, which is what make_stage_engine makes. Apart from it, so that a program of
/// tests may put something of its own around it.
Result<std::unique_ptr<StageEngine>> make_torch_engine(const StageConfig& config);

}  // namespace coshard::shard
