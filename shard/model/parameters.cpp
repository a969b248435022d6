// See parameters.h.
// SPDX-License-Identifier: Apache-2.0
#include "shard/model/parameters.h"

#include <ATen/ATen.h>

#include "protocol/base/check.h"

namespace coshard::shard {
namespace {

constexpr std::int64_t kAlignment = 16;  // floats: 64 bytes

/// Keys, values and the up projection follow the matrix that they are multiplied together with.
bool continues_group(std::string_view name) {
  return name.ends_with(".k_proj.weight") || name.ends_with(".v_proj.weight") ||
         name.ends_with(".up_proj.weight");
}

}  // namespace

ParameterLayout::ParameterLayout(const ModelSpec& spec, const StageSlice& slice)
    : specs_(parameters(spec, slice)) {
  for (const ParameterSpec& parameter : specs_) {
    if (!continues_group(parameter.name))
      elements_ = (elements_ + kAlignment - 1) / kAlignment * kAlignment;
    offsets_.push_back(elements_);
    elements_ += static_cast<std::int64_t>(parameter.elements);
  }
}

std::optional<std::size_t> ParameterLayout::find(std::string_view name) const {
  for (std::size_t i = 0; i < specs_.size(); ++i)
    if (specs_[i].name == name) return i;
  return std::nullopt;
}

std::int64_t ParameterLayout::offset(const GradientChunk& chunk) const {
  const std::uint64_t inside = chunk.offset - specs_[chunk.parameter].offset;
  return offsets_[chunk.parameter] + static_cast<std::int64_t>(inside);
}

at::Tensor ParameterLayout::view(const at::Tensor& flat, std::size_t index) const {
  return flat.narrow(0, offsets_[index], static_cast<std::int64_t>(specs_[index].elements))
      .view(specs_[index].shape);
}

at::Tensor ParameterLayout::stacked(const at::Tensor& flat, std::size_t index,
                                    std::size_t count) const {
  const std::int64_t width = specs_[index].shape.at(1);
  std::int64_t rows = 0;
  for (std::size_t i = index; i < index + count; ++i) {
    COSHARD_CHECK_OP(specs_[i].shape.at(1), ==, width);
    COSHARD_CHECK_OP(offsets_[i], ==, offsets_[index] + rows * width);
    rows += specs_[i].shape[0];
  }
  return flat.narrow(0, offsets_[index], rows * width).view({rows, width});
}

StageTensors stage_tensors(const ParameterLayout& layout, const StageSlice& slice,
                           const at::Tensor& matrices, const at::Tensor& gains) {
  StageTensors tensors;
  std::size_t next = 0;
  const auto gain = [&] { return layout.view(gains, next++); };
  const auto matrix = [&](std::size_t count) {
    next += count;
    return layout.stacked(matrices, next - count, count);
  };
  if (slice.has_embedding) tensors.embedding = matrix(1);
  for (std::int64_t layer = slice.first_layer; layer < slice.last_layer; ++layer) {
    LayerTensors& t = tensors.layers.emplace_back();
    t.attention_norm = gain();
    t.qkv = matrix(3);
    t.attention_out = matrix(1);
    t.mlp_norm = gain();
    t.gate_up = matrix(2);
    t.down = matrix(1);
  }
  if (slice.has_head) {
    tensors.head.norm = gain();
    tensors.head.projection = matrix(1);
  }
  COSHARD_CHECK_OP(next, ==, layout.specs().size());
  return tensors;
}

}  // namespace coshard::shard
