// Small engines of every kind, and inputs for them: what the contract tests of StageEngine share.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>

#include "protocol/base/rng.h"
#include "shard/engine/stage_engine.h"
#include "shard/plan/partition.h"

namespace coshard::shard {

struct Kind {
  const char* name;
  bool fused, recompute;
  Precision precision;
};

inline constexpr std::int64_t kSequences = 2;
inline const ModelSpec kSpec{.hidden = 32,
                             .layers = 2,
                             .heads = 4,
                             .kv_heads = 2,
                             .ffn_hidden = 40,
                             .vocab = 50,
                             .sequence = 8};

class StageEngineContract : public ::testing::TestWithParam<Kind> {
 protected:
  StageConfig config(const StageSlice& slice, std::uint64_t seed = 1) const {
    StageConfig config;
    config.spec = kSpec;
    config.slice = slice;
    config.seed = seed;
    config.fused = GetParam().fused;
    config.recompute_activations = GetParam().recompute;
    config.precision = GetParam().precision;
    config.stashes_max = 3;
    return config;
  }
  std::unique_ptr<StageEngine> make(const StageSlice& slice, std::uint64_t seed = 1) const {
    auto engine = make_stage_engine(config(slice, seed));
    EXPECT_TRUE(engine) << engine.error().message;
    return std::move(*engine);
  }
  std::unique_ptr<StageEngine> first() const { return make({0, 1, true, false}); }
  std::unique_ptr<StageEngine> last() const { return make({1, 2, false, true}); }
  std::unique_ptr<StageEngine> whole() const { return make(whole_model(kSpec)); }
};

/// Plain, fused and recomputed in fp32; bf16 takes the paths that a GPU takes.
inline const auto kKinds = ::testing::Values(Kind{"plain", false, false, Precision::kFp32},
                                             Kind{"fused", true, false, Precision::kFp32},
                                             Kind{"recomputed", true, true, Precision::kFp32},
                                             Kind{"plain_bf16", false, false, Precision::kBf16},
                                             Kind{"fused_bf16", true, false, Precision::kBf16});
inline std::string name_of(const ::testing::TestParamInfo<Kind>& chosen) {
  return chosen.param.name;
}

inline TokenBatch tokens(std::uint64_t seed = 1, std::int64_t length = 8) {
  TokenBatch batch{kSequences, length, {}, {}};
  Rng rng(seed);
  for (std::int64_t i = 0; i < batch.target_tokens(); ++i) {
    batch.inputs.push_back(static_cast<std::int32_t>(rng.below(50)));
    batch.targets.push_back(static_cast<std::int32_t>(rng.below(50)));
  }
  return batch;
}

inline TensorBlob boundary(std::uint64_t seed, double scale = 1, std::int64_t length = 8) {
  Rng rng(seed);
  std::vector<float> values(static_cast<std::size_t>(kSequences * length * kSpec.hidden));
  for (float& value : values) value = static_cast<float>((rng.unit() - 0.5) * scale);
  Bytes bytes(values.size() * sizeof(float));
  std::memcpy(bytes.data(), values.data(), bytes.size());
  return {DType::kF32,
          BoundaryEncoding::kNone,
          {kSequences, length, kSpec.hidden},
          share(std::move(bytes))};
}

inline std::vector<SharedBytes> sums(StageEngine& engine) {
  std::vector<SharedBytes> all;
  for (std::uint32_t c = 0; c < engine.layout().size(); ++c) {
    auto bytes = engine.gradient_chunk(ChunkIndex(c));
    EXPECT_TRUE(bytes) << bytes.error().message;
    all.push_back(*bytes);
  }
  return all;
}

inline bool same(const std::vector<SharedBytes>& a, const std::vector<SharedBytes>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](const auto& x, const auto& y) { return *x == *y; });
}

inline bool all_zero(const std::vector<SharedBytes>& all) {
  for (const auto& bytes : all)
    for (const std::uint8_t byte : *bytes)
      if (byte != 0) return false;
  return true;
}

template <class T>
ErrorCode code_of(const Result<T>& result) {
  EXPECT_FALSE(result) << "expected a refusal";
  return result ? ErrorCode::kInternal : result.error().code;
}

inline void average_own(StageEngine& engine, float scale = 1.0F / 16) {
  for (std::uint32_t c = 0; c < engine.layout().size(); ++c)
    ASSERT_TRUE(engine.reduce_chunk(ChunkIndex(c), {}, scale));
}

inline CommitScalars scalars() {
  return {.step = StepId(1),
          .step_size = 1e-2F,
          .decay_factor = 0.999F,
          .sqrt_bias_correction2 = 0.2F,
          .beta1 = 0.9F,
          .one_minus_beta1 = 0.1F,
          .beta2 = 0.95F,
          .one_minus_beta2 = 0.05F,
          .fingerprint_key = {5}};
}

}  // namespace coshard::shard
