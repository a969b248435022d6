// The fused version against the plain one, layer by layer: outputs, input gradients and every
// weight gradient.
// SPDX-License-Identifier: Apache-2.0
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "shard/model/stage_module.h"

namespace coshard::shard {
namespace {

struct Case {
  const char* name;
  std::int64_t heads, kv_heads;
  at::ScalarType compute;
  double tolerance;  ///< norm of the difference over norm of the plain result
};

class FusedMath : public ::testing::TestWithParam<Case> {};

// fp32: other orders of summation, a few roundings of 6e-8 each, through two layers. bf16:
// roundings of 2^-9 at other places, about ten on a path; they add like a random walk.
INSTANTIATE_TEST_SUITE_P(Cases, FusedMath,
                         ::testing::Values(Case{"fp32", 4, 4, at::kFloat, 3e-6},
                                           Case{"fp32_groups", 6, 2, at::kFloat, 3e-6},
                                           Case{"fp32_one_kv_head", 4, 1, at::kFloat, 3e-6},
                                           Case{"bf16", 4, 4, at::kBFloat16, 3e-2},
                                           Case{"bf16_groups", 6, 2, at::kBFloat16, 3e-2}),
                         [](const auto& chosen) { return std::string(chosen.param.name); });

void expect_near(const at::Tensor& fused, const at::Tensor& plain, double tolerance,
                 const std::string& what) {
  ASSERT_EQ(fused.sizes(), plain.sizes()) << what;
  const double norm = plain.to(at::kDouble).norm().item<double>();
  const double error = (fused.to(at::kDouble) - plain.to(at::kDouble)).norm().item<double>();
  EXPECT_GT(norm, 0) << what;
  EXPECT_LE(error, tolerance * norm) << what;
}

TEST_P(FusedMath, EqualsThePlainVersionWithinRounding) {
  const Case& c = GetParam();
  const ModelSpec spec{.hidden = c.heads * 8,
                       .layers = 2,
                       .heads = c.heads,
                       .kv_heads = c.kv_heads,
                       .ffn_hidden = 44,
                       .vocab = 53,
                       .sequence = 17};
  const StageSlice slice = whole_model(spec);
  StageModule plain(spec, slice, {at::kCPU, c.compute, false});
  StageModule fused(spec, slice, {at::kCPU, c.compute, true});
  at::manual_seed(1);
  plain.weights().copy_(at::randn_like(plain.weights()) * 0.2);
  fused.weights().copy_(plain.weights());
  plain.weights_changed();
  fused.weights_changed();
  const BatchShape shape{3, 17};
  const auto integers = [&](std::int64_t) {
    return at::randint(spec.vocab, {shape.rows()}, at::kInt);
  };
  const at::Tensor tokens = integers(0), targets = integers(1);
  expect_near(fused.logits(shape, tokens), plain.logits(shape, tokens), c.tolerance, "logits");
  const HeadResult fused_head = fused.forward_loss(shape, tokens, targets);
  const HeadResult plain_head = plain.forward_loss(shape, tokens, targets);
  EXPECT_NEAR(fused_head.loss_sum, plain_head.loss_sum, c.tolerance * plain_head.loss_sum);
  for (std::size_t i = 0; i < plain.layout().specs().size(); ++i)
    expect_near(plain.layout().view(fused.gradients(), i),
                plain.layout().view(plain.gradients(), i), c.tolerance,
                plain.layout().specs()[i].name);
}

}  // namespace
}  // namespace coshard::shard
