// StageEngine on libtorch: checks inputs, moves them to the device, drives the module and the
// optimizer, keeps activations between forward and backward. Private to shard/engine: others see
// stage_engine.h. cs-engine.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "protocol/base/thread_role.h"
#include "shard/engine/activation_stash.h"
#include "shard/engine/optimizer.h"
#include "shard/engine/stage_engine.h"
#include "shard/model/stage_module.h"

namespace coshard::shard {

class TorchEngine final : public StageEngine {
 public:
  TorchEngine(const StageConfig& config, DeviceKernels& kernels);

  const std::vector<GradientChunk>& layout() const override { return optimizer_.chunks(); }
  Result<TensorBlob> forward(MicrobatchIndex microbatch, const StageInput& input) override;
  Result<TensorBlob> forward_only(const StageInput& input) override;
  Result<LossResult> forward_loss(MicrobatchIndex microbatch, const StageInput& input,
                                  const TokenBatch& targets, Accumulate accumulate) override;
  Result<TensorBlob> backward(MicrobatchIndex microbatch, const TensorBlob& output_grad,
                              Accumulate accumulate) override;
  void drop_stash(MicrobatchIndex microbatch) override;
  Result<TensorBlob> logits(const StageInput& input) override;
  Result<SharedBytes> gradient_chunk(ChunkIndex chunk) override;
  Result<AveragedChunk> reduce_chunk(ChunkIndex chunk, std::span<const SharedBytes> contributions,
                                     float inv_tokens) override;
  Result<double> set_average(ChunkIndex chunk, const SharedBytes& average) override;
  Result<StepReport> apply_update(const CommitScalars& scalars) override;
  void abort_step() override;
  Result<StageSnapshot> snapshot(StepId step) override;
  Result<StepId> load(const std::filesystem::path& path) override;
  Result<void> load_hugging_face(const std::filesystem::path& directory) override;
  Result<TensorBlob> parameter(std::string_view name) override;
  Result<TensorBlob> gradient(std::string_view name) override;
  Result<Fingerprint> fingerprint(const std::array<std::uint8_t, 16>& key) override;
  MemoryBytes memory_bytes() const override;

  void initialise_weights();

 private:
  struct Placed {
    BatchShape shape;
    at::Tensor tensor;
  };
  /// The input on the device, after every check.
  Result<Placed> place(const StageInput& input) const;
  Result<TensorBlob> leave(const at::Tensor& tensor, const BatchShape& shape,
                           std::string_view what) const;
  Result<TensorBlob> view_of(const at::Tensor& flat, std::string_view name) const;

  StageConfig config_;
  at::Device device_;
  StageModule module_;
  DeviceKernels& kernels_;
  Optimizer optimizer_;
  ActivationStash stash_;
  ThreadRole role_;
};

}  // namespace coshard::shard
