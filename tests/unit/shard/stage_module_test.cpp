// GPU code without a GPU: shapes and dtypes of the module on torch's meta device, which computes
// nothing and complains about what would not fit; and the number of copies, casts and
// synchronisations of a step, so that no hidden one creeps in. In bf16 the CPU takes the paths that
// a GPU takes.
// SPDX-License-Identifier: Apache-2.0
#include "shard/model/stage_module.h"

#include <ATen/ATen.h>
#include <ATen/record_function.h>
#include <gtest/gtest.h>

#include <map>
#include <numeric>
#include <string>

#include "tests/support/pipeline.h"

namespace coshard::shard {
namespace {

const ModelSpec kSpec{.hidden = 64,
                      .layers = 3,
                      .heads = 4,
                      .kv_heads = 2,
                      .ffn_hidden = 96,
                      .vocab = 128,
                      .sequence = 32};
constexpr BatchShape kShape{2, 32};

struct Variant {
  const char* name;
  at::ScalarType compute;
  bool fused;
};

class OnMeta : public ::testing::TestWithParam<Variant> {
 protected:
  StageModule module(const StageSlice& slice) const {
    return {kSpec, slice, {at::kMeta, GetParam().compute, GetParam().fused}};
  }
  static at::Tensor tokens() {
    return at::empty({kShape.rows()}, at::TensorOptions(at::kInt).device(at::kMeta));
  }
  static void expect(const at::Tensor& tensor, at::IntArrayRef sizes, at::ScalarType dtype) {
    EXPECT_TRUE(tensor.is_meta()) << "left its device";
    EXPECT_EQ(tensor.sizes(), sizes);
    EXPECT_EQ(tensor.scalar_type(), dtype);
  }
};

INSTANTIATE_TEST_SUITE_P(Variants, OnMeta,
                         ::testing::Values(Variant{"fp32", at::kFloat, true},
                                           Variant{"bf16", at::kBFloat16, true},
                                           Variant{"plain_fp32", at::kFloat, false},
                                           Variant{"plain_bf16", at::kBFloat16, false}),
                         [](const auto& chosen) { return std::string(chosen.param.name); });

TEST_P(OnMeta, EveryStageKeepsShapeDtypeAndDevice) {
  const at::ScalarType compute = GetParam().compute;
  const std::vector<std::int64_t> activations{kShape.rows(), kSpec.hidden};
  // Without the embedding: libtorch has no meta kernels for table lookups in C++.
  StageModule middle = module({0, 2, false, false});
  StageModule last = module({2, 3, false, true});
  SavedTensors saved;
  const at::Tensor x = at::empty(activations, at::TensorOptions(at::kFloat).device(at::kMeta));
  const at::Tensor y = middle.forward(kShape, x, &saved);
  expect(y, activations, compute);
  expect(last.logits(kShape, y), {kShape.rows(), kSpec.vocab}, compute);
  const HeadResult head = last.forward_loss(kShape, y, tokens());
  expect(head.dx, activations, compute);
  expect(middle.backward(kShape, x, saved, head.dx.to(at::kFloat)), activations, compute);
  for (const StageModule* stage : {&middle, &last}) {
    expect(stage->weights(), {stage->layout().elements()}, at::kFloat);
    expect(stage->gradients(), {stage->layout().elements()}, at::kFloat);
  }
}

/// Calls of the operators that move, cast or wait, while `body` runs.
template <class Body>
std::map<std::string, int> count_calls(const Body& body) {
  static std::map<std::string, int> calls;
  calls = {{"aten::item", 0}, {"aten::_to_copy", 0}, {"aten::copy_", 0}};
  const at::CallbackHandle handle = at::addThreadLocalCallback(
      at::RecordFunctionCallback([](const at::RecordFunction& function)
                                     -> std::unique_ptr<at::ObserverContext> {
        const auto found = calls.find(function.name());
        if (found != calls.end()) ++found->second;
        return nullptr;
      }).scopes({at::RecordScope::FUNCTION}));
  body();
  at::removeCallback(handle);
  return calls;
}

std::map<std::string, int> calls_of_a_step(Precision precision,
                                           const std::vector<std::int64_t>& layers) {
  test::PipelineOptions options;
  options.spec = kSpec;
  options.spec.kv_heads = kSpec.heads;
  options.spec.layers = std::accumulate(layers.begin(), layers.end(), std::int64_t{0});
  options.layers_per_stage = layers;
  options.microbatches = 2;
  options.engine.precision = precision;
  test::Pipeline pipeline(options);
  pipeline.step();  // what happens once is over
  return count_calls([&] { pipeline.step(); });
}

using Calls = std::map<std::string, int>;

constexpr int kMicrobatches = 2, kLayers = 3;
constexpr int kCastsOfALayer = 24, kCopiesOfALayer = 29, kCastsBesides = 28;

TEST(HiddenTransfers, AStepInFp32OnTheCpu) {
  // Of each layer and microbatch two residuals that products are added to. Nothing is cast, nothing
  // waits.
  const Calls expected{
      {"aten::item", 0}, {"aten::_to_copy", 0}, {"aten::copy_", 2 * kLayers * kMicrobatches}};
  EXPECT_EQ(calls_of_a_step(Precision::kFp32, {3}), expected);
  EXPECT_EQ(calls_of_a_step(Precision::kFp32, {1, 2}), expected) << "a cut adds none";
}

TEST(HiddenTransfers, AStepInBf16) {
  const Calls whole = calls_of_a_step(Precision::kBf16, {3});
  const Calls cut = calls_of_a_step(Precision::kBf16, {1, 2});
  const Calls shorter = calls_of_a_step(Precision::kBf16, {2});
  for (const Calls& calls : {whole, cut, shorter})
    EXPECT_EQ(calls.at("aten::item"), kMicrobatches) << "the loss of each microbatch, nothing else";
  const auto of_a_layer = [&](const char* name) {
    return (whole.at(name) - shorter.at(name)) / kMicrobatches;
  };
  // Of each layer: norms compute in fp32 (10 casts), rotations too (2 and 2 writes back), the CPU
  // casts weight gradients before it adds them to fp32 sums, and its attention casts inside.
  EXPECT_EQ(of_a_layer("aten::_to_copy"), kCastsOfALayer);
  EXPECT_EQ(of_a_layer("aten::copy_"), kCopiesOfALayer);
  EXPECT_EQ(whole.at("aten::_to_copy"), kLayers * kMicrobatches * kCastsOfALayer + kCastsBesides);
  // Each boundary tensor is cast to fp32 where it leaves and to bf16 where it arrives; each engine
  // refreshes its working copy of the weights once.
  EXPECT_EQ(cut.at("aten::_to_copy") - whole.at("aten::_to_copy"), 4 * kMicrobatches);
  EXPECT_EQ(cut.at("aten::copy_") - whole.at("aten::copy_"), 4 * kMicrobatches + 1);
}

}  // namespace
}  // namespace coshard::shard
