// What a model of the LLaMA family is, without a tensor in sight: its hyper-parameters, its
// parameters in their one global order with Hugging Face names, what a contiguous slice of it
// costs. Pure functions, any thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/base/error.h"
#include "protocol/base/tensor_blob.h"

namespace coshard::shard {

/// RMSNorm, rotary positions, SwiGLU, grouped-query attention, untied head.
struct ModelSpec {
  std::int64_t hidden = 0;
  std::int64_t layers = 0;
  std::int64_t heads = 0;
  std::int64_t kv_heads = 0;
  std::int64_t ffn_hidden = 0;
  std::int64_t vocab = 0;
  std::int64_t sequence = 0;  ///< tokens of one training sequence
  double rope_theta = 10000.0;
  double norm_eps = 1e-5;

  std::int64_t head_dim() const { return hidden / heads; }
  std::int64_t kv_width() const { return kv_heads * head_dim(); }
  bool operator==(const ModelSpec&) const = default;
};

/// Names that preset() knows, smallest model first.
std::vector<std::string_view> preset_names();
/// kNotFound with the list of known names.
Result<ModelSpec> preset(std::string_view name);
/// kInvalidArgument with what was expected and found for the first rule that the spec breaks.
Result<void> validate(const ModelSpec& spec);

/// Transformer layers [first_layer, last_layer) and, at the ends of the model, embedding and head.
struct StageSlice {
  std::int64_t first_layer = 0;
  std::int64_t last_layer = 0;  ///< exclusive
  bool has_embedding = false;
  bool has_head = false;

  std::int64_t layers() const { return last_layer - first_layer; }
  bool operator==(const StageSlice&) const = default;
};

/// The whole model as one slice.
StageSlice whole_model(const ModelSpec& spec);

/// One trainable tensor. The global index counts all parameters of the model in forward order, so
/// that it does not depend on the cut.
struct ParameterSpec {
  std::string name;
  Shape shape;
  std::uint64_t global_index = 0;
  std::uint64_t elements = 0;
  std::uint64_t offset = 0;   ///< first element in the flat vector of the slice that was asked for
  double initial_std = 0.02;  ///< 0: initialised to ones (norm gains)

  bool is_matrix() const { return shape.size() == 2; }
  bool decays() const { return is_matrix(); }  ///< weight decay applies to matrices alone
  bool operator==(const ParameterSpec&) const = default;
};

/// Parameters of `slice` in global order. The spec is valid and the slice lies inside it.
std::vector<ParameterSpec> parameters(const ModelSpec& spec, const StageSlice& slice);
std::uint64_t parameter_count(const ModelSpec& spec, const StageSlice& slice);

/// Price of one token of forward through the slice: 2P + 4LHqT, P without the embedding table
/// (which is looked up, not multiplied).
std::uint64_t forward_flops_per_token(const ModelSpec& spec, const StageSlice& slice);
/// Forward plus backward (twice forward): the integer price of a stage, fixed when the round opens
/// (design 4).
std::uint64_t flops_per_token(const ModelSpec& spec, const StageSlice& slice);

}  // namespace coshard::shard
