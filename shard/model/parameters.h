// Where each parameter of a stage lies in one flat vector, and the names that the math knows them
// by. Weights, moments, gradient sums and averages are flat vectors of one layout, so that an
// update, a chunk or a digest is a range. cs-engine.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <string_view>
#include <vector>

#include "shard/plan/gradient_layout.h"
#include "shard/plan/spec.h"

namespace coshard::shard {

/// The plan's parameters with their places. Differs from ParameterSpec::offset in that every
/// parameter, or group of neighbours that is multiplied as one matrix, starts at a 64-byte
/// boundary: BLAS may round differently elsewhere, and a cut must not move a bit.
class ParameterLayout {
 public:
  ParameterLayout(const ModelSpec& spec, const StageSlice& slice);

  const std::vector<ParameterSpec>& specs() const { return specs_; }
  /// Elements of a flat vector, padding included.
  std::int64_t elements() const { return elements_; }
  std::int64_t offset(std::size_t index) const { return offsets_[index]; }
  std::optional<std::size_t> find(std::string_view name) const;
  /// First element of a chunk in a flat vector.
  std::int64_t offset(const GradientChunk& chunk) const;

  /// View of one parameter in its own shape.
  at::Tensor view(const at::Tensor& flat, std::size_t index) const;
  /// View of `count` neighbouring matrices of equal width, from `index`, as one.
  at::Tensor stacked(const at::Tensor& flat, std::size_t index, std::size_t count) const;

 private:
  std::vector<ParameterSpec> specs_;
  std::vector<std::int64_t> offsets_;
  std::int64_t elements_ = 0;
};

/// One transformer layer; linear maps are (out, in). As weights or as their gradient sums.
struct LayerTensors {
  at::Tensor attention_norm;  ///< (hidden)
  at::Tensor qkv;             ///< (hidden + 2 * kv_width, hidden): queries, keys, values
  at::Tensor attention_out;   ///< (hidden, hidden)
  at::Tensor mlp_norm;        ///< (hidden)
  at::Tensor gate_up;         ///< (2 * ffn_hidden, hidden): gate, up
  at::Tensor down;            ///< (hidden, ffn_hidden)
};

struct HeadTensors {
  at::Tensor norm;        ///< (hidden)
  at::Tensor projection;  ///< (vocab, hidden)
};

/// All of a stage; undefined tensors where the slice has no embedding or head.
struct StageTensors {
  at::Tensor embedding;  ///< (vocab, hidden)
  std::vector<LayerTensors> layers;
  HeadTensors head;
};

/// Views into flat vectors of one layout: matrices into the first, norm gains into the second.
StageTensors stage_tensors(const ParameterLayout& layout, const StageSlice& slice,
                           const at::Tensor& matrices, const at::Tensor& gains);

}  // namespace coshard::shard
