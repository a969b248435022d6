// The model's shape: counts in closed form, names as Hugging Face has them, chunks, prices and
// memory.
// SPDX-License-Identifier: Apache-2.0
#include "shard/plan/spec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "shard/plan/gradient_layout.h"
#include "shard/plan/memory.h"

namespace coshard::shard {
namespace {

using ::testing::HasSubstr;

std::uint64_t count_in_closed_form(const ModelSpec& s) {
  const std::int64_t layer = s.hidden * s.hidden * 2 + 2 * s.hidden * s.kv_width() +
                             3 * s.hidden * s.ffn_hidden + 2 * s.hidden;
  return static_cast<std::uint64_t>(s.layers * layer + 2 * s.vocab * s.hidden + s.hidden);
}

TEST(ModelSpec, PresetsAreValidAndHaveTheirSizes) {
  for (const auto name : preset_names()) {
    const ModelSpec spec = preset(name).value();
    EXPECT_TRUE(validate(spec)) << name;
    EXPECT_EQ(parameter_count(spec, whole_model(spec)), count_in_closed_form(spec)) << name;
  }
  // Design 3.1: 0.9 M parameters.
  const ModelSpec tiny = preset("tiny").value();
  EXPECT_EQ(parameter_count(tiny, whole_model(tiny)), 857'216U);
  const auto unknown = preset("huge");
  ASSERT_FALSE(unknown);
  EXPECT_THAT(unknown.error().message, HasSubstr("tiny, small, 160m, 1b"));
}

TEST(ModelSpec, ParametersKeepTheirGlobalOrderWhateverTheCut) {
  const ModelSpec spec = preset("tiny").value();
  const auto whole = parameters(spec, whole_model(spec));
  EXPECT_EQ(whole.front().name, "model.embed_tokens.weight");
  EXPECT_EQ(whole[1].name, "model.layers.0.input_layernorm.weight");
  EXPECT_EQ(whole.back().name, "lm_head.weight");
  std::vector<ParameterSpec> joined;
  for (const StageSlice& slice : {StageSlice{0, 1, true, false}, StageSlice{1, 3, false, false},
                                  StageSlice{3, 4, false, true}}) {
    std::uint64_t offset = 0;
    for (ParameterSpec parameter : parameters(spec, slice)) {
      EXPECT_EQ(parameter.offset, offset);
      offset += parameter.elements;
      parameter.offset = whole[joined.size()].offset;
      joined.push_back(parameter);
    }
    EXPECT_EQ(offset, parameter_count(spec, slice));
  }
  EXPECT_EQ(joined, whole);
  std::set<std::string> names;
  for (std::size_t i = 0; i < whole.size(); ++i) {
    EXPECT_EQ(whole[i].global_index, i);
    EXPECT_EQ(whole[i].decays(), whole[i].name.find("norm") == std::string::npos);
    EXPECT_EQ(whole[i].initial_std == 0, !whole[i].decays());
    names.insert(whole[i].name);
  }
  EXPECT_EQ(names.size(), whole.size());
}

TEST(ModelSpec, GroupedQueryShapes) {
  ModelSpec spec = preset("tiny").value();
  spec.kv_heads = 2;
  const auto list = parameters(spec, {1, 2, false, false});
  EXPECT_EQ(list[2].name, "model.layers.1.self_attn.k_proj.weight");
  EXPECT_EQ(list[2].shape, (Shape{64, 128}));
  EXPECT_EQ(list[8].shape, (Shape{128, 344}));
}

TEST(ModelSpec, EachBrokenRuleIsNamed) {
  const ModelSpec tiny = preset("tiny").value();
  const auto broken = [&](auto change) {
    ModelSpec spec = tiny;
    change(spec);
    const auto result = validate(spec);
    return result ? std::string("valid") : result.error().message;
  };
  EXPECT_THAT(broken([](ModelSpec& s) { s.hidden = 0; }), HasSubstr("hidden: expected 1 to"));
  EXPECT_THAT(broken([](ModelSpec& s) { s.heads = 3; }), HasSubstr("divisor of hidden = 128"));
  EXPECT_THAT(broken([](ModelSpec& s) { s.kv_heads = 3; }), HasSubstr("divisor of heads = 4"));
  EXPECT_THAT(broken([](ModelSpec& s) { s.heads = s.kv_heads = 128; }),
              HasSubstr("even head width"));
  EXPECT_THAT(broken([](ModelSpec& s) { s.layers = 5000; }), HasSubstr("layers"));
  EXPECT_THAT(broken([](ModelSpec& s) {
                s.hidden = s.ffn_hidden = s.vocab = std::int64_t{1} << 24;
                s.layers = 4096;
                s.heads = s.kv_heads = 4096;
              }),
              HasSubstr("2^50 parameters"));
  EXPECT_THAT(broken([](ModelSpec& s) { s.rope_theta = 0; }), HasSubstr("rope_theta"));
  EXPECT_THAT(broken([](ModelSpec& s) { s.norm_eps = -1; }), HasSubstr("norm_eps"));
}

TEST(Flops, AreTheFormulaOfTheDesign) {
  const ModelSpec spec = preset("tiny").value();
  // 2P + 4 L H q T: P of two layers of tiny = 2 * 197,888; H q = 128, T = 128.
  const StageSlice middle{1, 3, false, false};
  EXPECT_EQ(parameter_count(spec, middle), 2 * 197'888U);
  EXPECT_EQ(forward_flops_per_token(spec, middle), 2 * 2 * 197'888U + 4 * 2 * 128 * 128U);
  EXPECT_EQ(flops_per_token(spec, middle), 3 * forward_flops_per_token(spec, middle));
  // The embedding is free, the head is not.
  EXPECT_EQ(flops_per_token(spec, {0, 2, true, false}), flops_per_token(spec, middle));
  EXPECT_EQ(forward_flops_per_token(spec, {3, 4, false, true}) -
                forward_flops_per_token(spec, {3, 4, false, false}),
            2 * (256U * 128U + 128U));
}

TEST(GradientLayout, CoversEachParameterInChunksOfItsOwn) {
  const ModelSpec spec = preset("tiny").value();
  for (const std::uint64_t size : {std::uint64_t{1000}, limits::kChunkElements}) {
    const auto list = parameters(spec, {2, 4, false, true});
    std::uint64_t next = 0;
    for (const GradientChunk& chunk : gradient_layout(list, size)) {
      EXPECT_EQ(chunk.offset, next);
      EXPECT_LE(chunk.count, size);
      const ParameterSpec& parameter = list[chunk.parameter];
      EXPECT_GE(chunk.offset, parameter.offset);
      EXPECT_LE(chunk.offset + chunk.count, parameter.offset + parameter.elements);
      next += chunk.count;
    }
    EXPECT_EQ(next, parameter_count(spec, {2, 4, false, true}));
  }
}

TEST(GradientLayout, DoesNotDependOnTheCut) {
  const ModelSpec spec = preset("small").value();
  const auto whole = parameters(spec, whole_model(spec));
  std::vector<std::pair<std::uint64_t, std::uint64_t>> of_whole, of_cut;
  for (const GradientChunk& chunk : gradient_layout(whole))
    of_whole.emplace_back(whole[chunk.parameter].global_index, chunk.count);
  for (const StageSlice& slice : {StageSlice{0, 2, true, false}, StageSlice{2, 6, false, true}}) {
    const auto list = parameters(spec, slice);
    for (const GradientChunk& chunk : gradient_layout(list))
      of_cut.emplace_back(list[chunk.parameter].global_index, chunk.count);
  }
  EXPECT_EQ(of_cut, of_whole);
}

TEST(MemoryPlan, CountsWhatTheStageKeeps) {
  const ModelSpec spec = preset("tiny").value();
  const StageSlice slice{0, 2, true, false};
  const std::uint64_t count = parameter_count(spec, slice);
  const MemoryPlan plan =
      memory_plan(spec, slice, {.microbatch_sequences = 8, .microbatches_in_flight = 2});
  EXPECT_EQ(plan.parameters + plan.gradients + plan.average + plan.moments, count * 20);
  const MemoryPlan lean = memory_plan(
      spec, slice, {.microbatch_sequences = 8, .microbatches_in_flight = 2, .recompute = true});
  EXPECT_EQ(lean.stash_per_microbatch, 8U * 128 * 128 * 4);
  EXPECT_LT(lean.stash_per_microbatch, plan.stash_per_microbatch);
  const MemoryPlan saves = memory_plan(
      spec, slice, {.microbatch_sequences = 8, .microbatches_in_flight = 2, .snapshot = true});
  EXPECT_EQ(saves.total(), plan.total() + count * 12);
  EXPECT_THAT(memory_bill(saves, 0), HasSubstr("a checkpoint's copy"));
  EXPECT_TRUE(check_memory(plan, plan.total()));
  const auto refused = check_memory(plan, plan.total() - 1);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kResourceExhausted);
  EXPECT_THAT(refused.error().message, HasSubstr("this stage needs"));
  EXPECT_THAT(refused.error().message, HasSubstr("AdamW moments"));
}

}  // namespace
}  // namespace coshard::shard
