// A whole pipeline in one thread: stages x replicas of real engines that hand each other
// TensorBlobs, in GPipe or 1F1B order, with averaging and the whole model's clipping. What the
// network does between engines is left out, so that numerics can be tested alone.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "protocol/round/lr_schedule.h"
#include "shard/engine/stage_engine.h"

namespace coshard::test {

enum class Order { kGPipe, k1F1B };

struct PipelineOptions {
  shard::ModelSpec spec;
  std::vector<std::int64_t> layers_per_stage;  ///< empty: the whole model is one stage
  std::uint32_t replicas = 1;
  std::uint32_t microbatches = 4;
  std::int64_t sequences = 2;  ///< of one microbatch
  Order order = Order::k1F1B;
  round::OptimizerConfig optimizer;
  shard::StageConfig engine;  ///< seed, precision, fused, recompute: the rest is filled in
};

/// What one step came to; equal runs have equal records, bit for bit.
struct StepRecord {
  double loss = 0;  ///< per token
  double grad_norm = 0;
  std::vector<Fingerprint> digests;  ///< by stage
  bool operator==(const StepRecord&) const = default;
};

class Pipeline {
 public:
  explicit Pipeline(const PipelineOptions& options);

  /// Runs the next step on tokens that depend on (seed, step, microbatch) alone. Fails the current
  /// test where an engine refuses or replicas disagree.
  StepRecord step();
  StepRecord steps(std::uint64_t count);  ///< the last of them

  /// fp32 bytes of every parameter in global order, stage by stage.
  std::vector<std::string> parameters();

  std::size_t stages() const { return engines_.size(); }
  shard::StageEngine& engine(std::size_t stage, std::size_t replica = 0) {
    return *engines_[stage][replica];
  }
  /// The next step is the one after `last`: resuming.
  void set_last_step(StepId last) { last_ = last; }
  shard::TokenBatch batch(StepId step, std::uint32_t microbatch) const;

 private:
  struct Operation {
    bool forward;
    std::uint32_t microbatch;
  };
  struct Run;  // tensors in flight of one step

  std::vector<Operation> order_of(std::size_t stage) const;
  bool run_one(Run& run, std::size_t stage);
  std::vector<std::vector<double>> average(float inv_tokens);

  PipelineOptions options_;
  std::vector<shard::StageSlice> slices_;
  std::vector<std::vector<std::unique_ptr<shard::StageEngine>>> engines_;  // [stage][replica]
  StepId last_{};
};

}  // namespace coshard::test
