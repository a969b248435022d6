// See spec.h.
// SPDX-License-Identifier: Apache-2.0
#include "shard/plan/spec.h"

#include <array>
#include <cmath>
#include <utility>

#include "protocol/base/check.h"

namespace coshard::shard {
namespace {

constexpr double kInitialStd = 0.02;
constexpr std::int64_t kParametersPerLayer = 9;
constexpr std::int64_t kDimensionMax = std::int64_t{1} << 24;
// A checkpoint's header names the layers before anything else is known of it: bound what is built
// for them.
constexpr std::int64_t kLayersMax = 4096;
// So that FLOPs per token of any slice fit in 64 bits.
constexpr std::int64_t kParametersMax = std::int64_t{1} << 50;

struct Preset {
  std::string_view name;
  ModelSpec spec;
};

// "1b" has the shape of LLaMA-3.2-1B with a head of its own (untied).
constexpr std::array<Preset, 4> kPresets{{
    {"tiny", {128, 4, 4, 4, 344, 256, 128, 10000.0, 1e-5}},
    {"small", {384, 6, 6, 6, 1024, 256, 256, 10000.0, 1e-5}},
    {"160m", {768, 12, 12, 12, 2048, 50304, 1024, 10000.0, 1e-5}},
    {"1b", {2048, 16, 32, 8, 8192, 128256, 2048, 500000.0, 1e-5}},
}};

tl::unexpected<Error> invalid(std::string message) {
  return fail(ErrorCode::kInvalidArgument, std::move(message));
}

Result<void> check_range(std::string_view name, std::int64_t value) {
  if (value >= 1 && value <= kDimensionMax) return {};
  return invalid("model " + std::string(name) + ": expected 1 to " + std::to_string(kDimensionMax) +
                 ", found " + std::to_string(value));
}

Result<void> check_divides(std::string_view divisor_name, std::int64_t divisor,
                           std::string_view name, std::int64_t value) {
  if (value % divisor == 0) return {};
  return invalid("model " + std::string(divisor_name) + ": expected a divisor of " +
                 std::string(name) + " = " + std::to_string(value) + ", found " +
                 std::to_string(divisor));
}

/// Collects parameters in order while keeping the flat offset.
class ParameterList {
 public:
  void add(std::string name, Shape shape, std::int64_t global_index, double std) {
    const std::uint64_t elements = element_count(shape).value();
    list_.push_back({std::move(name), std::move(shape), static_cast<std::uint64_t>(global_index),
                     elements, offset_, std});
    offset_ += elements;
  }
  std::vector<ParameterSpec> take() { return std::move(list_); }

 private:
  std::vector<ParameterSpec> list_;
  std::uint64_t offset_ = 0;
};

void add_layer(const ModelSpec& spec, std::int64_t layer, ParameterList& list) {
  const std::string prefix = "model.layers." + std::to_string(layer) + ".";
  // Projections back into the residual stream start smaller, so that its variance does not grow
  // with depth.
  const double residual_std = kInitialStd / std::sqrt(2.0 * static_cast<double>(spec.layers));
  const std::int64_t h = spec.hidden, kv = spec.kv_width(), f = spec.ffn_hidden;
  std::int64_t index = 1 + layer * kParametersPerLayer;
  list.add(prefix + "input_layernorm.weight", {h}, index++, 0);
  list.add(prefix + "self_attn.q_proj.weight", {h, h}, index++, kInitialStd);
  list.add(prefix + "self_attn.k_proj.weight", {kv, h}, index++, kInitialStd);
  list.add(prefix + "self_attn.v_proj.weight", {kv, h}, index++, kInitialStd);
  list.add(prefix + "self_attn.o_proj.weight", {h, h}, index++, residual_std);
  list.add(prefix + "post_attention_layernorm.weight", {h}, index++, 0);
  list.add(prefix + "mlp.gate_proj.weight", {f, h}, index++, kInitialStd);
  list.add(prefix + "mlp.up_proj.weight", {f, h}, index++, kInitialStd);
  list.add(prefix + "mlp.down_proj.weight", {h, f}, index++, residual_std);
}

/// All parameters in closed form; at most 2^63 - 1 for sizes in range.
std::int64_t count_parameters(const ModelSpec& spec) {
  const std::int64_t h = spec.hidden;
  const std::int64_t layer = 2 * h * h + 2 * h * spec.kv_width() + 3 * h * spec.ffn_hidden + 2 * h;
  return spec.layers * layer + 2 * spec.vocab * h + h;
}

}  // namespace

std::vector<std::string_view> preset_names() {
  std::vector<std::string_view> names;
  for (const Preset& known : kPresets) names.push_back(known.name);
  return names;
}

Result<ModelSpec> preset(std::string_view name) {
  std::string names;
  for (const Preset& known : kPresets) {
    if (known.name == name) return known.spec;
    names += (names.empty() ? "" : ", ") + std::string(known.name);
  }
  return fail(ErrorCode::kNotFound,
              "model preset: expected one of " + names + "; found \"" + std::string(name) + "\"");
}

Result<void> validate(const ModelSpec& spec) {
  const std::pair<std::string_view, std::int64_t> sizes[] = {
      {"hidden", spec.hidden},     {"layers", spec.layers},         {"heads", spec.heads},
      {"kv_heads", spec.kv_heads}, {"ffn_hidden", spec.ffn_hidden}, {"vocab", spec.vocab},
      {"sequence", spec.sequence}};
  for (const auto& [name, value] : sizes) COSHARD_TRY(check_range(name, value));
  if (spec.layers > kLayersMax)
    return invalid("model layers: expected 1 to " + std::to_string(kLayersMax) + ", found " +
                   std::to_string(spec.layers));
  COSHARD_TRY(check_divides("heads", spec.heads, "hidden", spec.hidden));
  COSHARD_TRY(check_divides("kv_heads", spec.kv_heads, "heads", spec.heads));
  if (spec.head_dim() % 2 != 0)
    return invalid(
        "model heads: expected an even head width hidden / heads (rotary pairs), found " +
        std::to_string(spec.head_dim()));
  if (count_parameters(spec) > kParametersMax)
    return invalid("model: expected at most 2^50 parameters, found " +
                   std::to_string(count_parameters(spec)));
  if (!(spec.rope_theta > 0) || !std::isfinite(spec.rope_theta))
    return invalid("model rope_theta: expected a positive number, found " +
                   std::to_string(spec.rope_theta));
  if (!(spec.norm_eps > 0) || !(spec.norm_eps < 1))
    return invalid("model norm_eps: expected a number between 0 and 1, found " +
                   std::to_string(spec.norm_eps));
  return {};
}

StageSlice whole_model(const ModelSpec& spec) { return {0, spec.layers, true, true}; }

std::vector<ParameterSpec> parameters(const ModelSpec& spec, const StageSlice& slice) {
  COSHARD_CHECK_OP(slice.first_layer, >=, 0);
  COSHARD_CHECK_OP(slice.first_layer, <=, slice.last_layer);
  COSHARD_CHECK_OP(slice.last_layer, <=, spec.layers);
  ParameterList list;
  if (slice.has_embedding)
    list.add("model.embed_tokens.weight", {spec.vocab, spec.hidden}, 0, kInitialStd);
  for (std::int64_t layer = slice.first_layer; layer < slice.last_layer; ++layer)
    add_layer(spec, layer, list);
  const std::int64_t after_layers = 1 + spec.layers * kParametersPerLayer;
  if (slice.has_head) {
    list.add("model.norm.weight", {spec.hidden}, after_layers, 0);
    list.add("lm_head.weight", {spec.vocab, spec.hidden}, after_layers + 1, kInitialStd);
  }
  return list.take();
}

std::uint64_t parameter_count(const ModelSpec& spec, const StageSlice& slice) {
  std::uint64_t count = 0;
  for (const ParameterSpec& parameter : parameters(spec, slice)) count += parameter.elements;
  return count;
}

std::uint64_t forward_flops_per_token(const ModelSpec& spec, const StageSlice& slice) {
  StageSlice multiplied = slice;
  multiplied.has_embedding = false;
  const auto attention = static_cast<std::uint64_t>(slice.layers()) *
                         static_cast<std::uint64_t>(spec.hidden) *  // H q: heads times head width
                         static_cast<std::uint64_t>(spec.sequence);
  return 2 * parameter_count(spec, multiplied) + 4 * attention;
}

std::uint64_t flops_per_token(const ModelSpec& spec, const StageSlice& slice) {
  return 3 * forward_flops_per_token(spec, slice);
}

}  // namespace coshard::shard
