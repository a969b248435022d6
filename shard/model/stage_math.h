// The mathematics of a LLaMA stage, in two versions with one interface: `plain` writes each formula
// down and lets autograd differentiate it; `fused` pairs every forward with its own backward, in
// fewer passes over memory. Tests hold the second to the first. cs-engine.
//
// Activations are (rows, hidden) with rows = sequences * tokens, in the dtype of the matrices.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>
#include <vector>

#include "shard/model/parameters.h"

namespace coshard::shard {

struct BatchShape {
  std::int64_t sequences = 0;
  std::int64_t tokens = 0;  ///< of each sequence

  std::int64_t rows() const { return sequences * tokens; }
};

/// What a forward leaves for its backward: pushed in order, popped in reverse.
class SavedTensors {
 public:
  void push(at::Tensor tensor) { tensors_.push_back(std::move(tensor)); }
  at::Tensor pop();
  bool empty() const { return tensors_.empty(); }
  /// Memory that the tensors keep alive, shared storage counted once.
  std::uint64_t bytes() const;

 private:
  std::vector<at::Tensor> tensors_;
};

/// Result of the last stage's forward and backward.
struct HeadResult {
  double loss_sum = 0;  ///< of the token losses, in nats
  at::Tensor dx;        ///< (rows, hidden): gradient of loss_sum
};

class StageMath {
 public:
  virtual ~StageMath() = default;

  /// tokens: (rows) int32 on the device.
  virtual at::Tensor embed(const at::Tensor& table, const at::Tensor& tokens) = 0;
  virtual void embed_backward(const at::Tensor& tokens, const at::Tensor& dx,
                              const at::Tensor& dtable) = 0;

  /// `saved` null: nothing is kept.
  virtual at::Tensor layer_forward(const LayerTensors& weights, const BatchShape& shape,
                                   const at::Tensor& x, SavedTensors* saved) = 0;
  /// Adds to `grads` (fp32; an undefined one takes nothing), returns dx.
  virtual at::Tensor layer_backward(const LayerTensors& weights, const LayerTensors& grads,
                                    const BatchShape& shape, SavedTensors& saved,
                                    const at::Tensor& dy) = 0;

  /// (rows, vocab)
  virtual at::Tensor logits(const HeadTensors& weights, const at::Tensor& x) = 0;
  /// targets: (rows) int32. Adds to `grads` as layer_backward does, unless the loss is not finite:
  /// then it returns before.
  virtual HeadResult head_loss(const HeadTensors& weights, const HeadTensors& grads,
                               const at::Tensor& x, const at::Tensor& targets) = 0;
};

/// cos and sin of the rotary angles, (sequence, head_dim / 2) fp32. Angles are formed in fp32 as
/// Hugging Face's LLaMA forms them.
struct RopeTensors {
  at::Tensor cosines, sines;
};
RopeTensors rope_tensors(const ModelSpec& spec, at::Device device);

std::unique_ptr<StageMath> make_plain_math(const ModelSpec& spec, at::Device device);
std::unique_ptr<StageMath> make_fused_math(const ModelSpec& spec, at::Device device);

}  // namespace coshard::shard
