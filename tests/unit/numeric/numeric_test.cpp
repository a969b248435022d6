// Arithmetic that must give the same bits everywhere: against constants of a second implementation
// in Python (golden.py), exactly rounded operations emulated in double, and, where order must not
// matter, other orders.
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>
#include <vector>

#include "protocol/base/bytes.h"
#include "protocol/base/rng.h"
#include "shard/numeric/adamw.h"
#include "shard/numeric/fingerprint.h"
#include "shard/numeric/init.h"
#include "shard/numeric/reduce.h"
#include "shard/numeric/squared_norm.h"

namespace coshard::shard {
namespace {

/// golden.py: sample().
float sample(std::uint32_t i) {
  return static_cast<float>(static_cast<double>(i * 2654435761U) * 0x1p-30 - 2.0);
}

std::vector<float> samples(std::size_t count) {
  std::vector<float> values;
  for (std::uint32_t i = 0; i < count; ++i) values.push_back(sample(i));
  return values;
}

CommitScalars golden_scalars() {
  CommitScalars s;
  s.clip_factor = 0.7F;
  s.beta1 = 0.9F;
  s.one_minus_beta1 = 0.1F;
  s.beta2 = 0.95F;
  s.one_minus_beta2 = 0.05F;
  s.sqrt_bias_correction2 = 0.3F;
  s.eps = 1e-8F;
  s.decay_factor = 0.9999F;
  s.step_size = 1e-3F;
  return s;
}

TEST(Philox, IsTheGeneratorOfBase) {
  std::mt19937_64 random(1);
  for (int i = 0; i < 1000; ++i) {
    const std::uint64_t key = random(), counter = random(), stream = random();
    const PhiloxBlock expected = philox(key, counter, stream);
    const PhiloxWords found = philox_words(key, counter, stream);
    EXPECT_EQ(expected, (PhiloxBlock{found.w0, found.w1, found.w2, found.w3}));
  }
}

TEST(Adamw, TenStepsGiveTheBitsOfThePythonImplementation) {
  std::vector<float> w{0.5F, -1.5F, 1e-3F}, m(3), v(3);
  const double scale[] = {1e-3, 1.0, 1e-22};  // the last one makes subnormal moments
  for (std::uint32_t t = 0; t < 10; ++t) {
    std::vector<float> average;
    for (std::uint32_t i = 0; i < 3; ++i)
      average.push_back(static_cast<float>(double{sample(3 * t + i)} * scale[i]));
    adamw_update(w, m, v, average, golden_scalars(), true);
  }
  const auto bits = [](float x) { return std::bit_cast<std::uint32_t>(x); };
  EXPECT_EQ(bits(w[0]), 0x3effc940U);
  EXPECT_EQ(bits(m[0]), 0x39107677U);
  EXPECT_EQ(bits(v[0]), 0x34a6413bU);
  EXPECT_EQ(bits(w[1]), 0xbfbfc4bbU);
  EXPECT_EQ(bits(m[1]), 0xbd800812U);
  EXPECT_EQ(bits(v[1]), 0x3e46df3aU);
  EXPECT_EQ(bits(w[2]), 0x3a82f0e3U);
  EXPECT_EQ(bits(m[2]), 0x98702f4cU);
  EXPECT_EQ(bits(v[2]), 0x00000003U) << "subnormals must be kept";
}

/// One fp32 operation as a double operation rounded to float: the same bits (53 >= 2 * 24 + 2), by
/// another path.
float rounded(double value) { return static_cast<float>(value); }

TEST(Adamw, EveryOperationRoundsOnceInTheDocumentedOrder) {
  const CommitScalars s = golden_scalars();
  std::mt19937 random(2);
  std::normal_distribution<float> normal;
  std::vector<float> w, m, v, average;
  for (int i = 0; i < 10'007; ++i) {
    w.push_back(normal(random));
    m.push_back(normal(random) * 1e-2F);
    v.push_back(std::abs(normal(random)) * 1e-4F);
    average.push_back(normal(random));
  }
  for (const bool decays : {true, false}) {
    auto w2 = w, m2 = m, v2 = v;
    adamw_update(w2, m2, v2, average, s, decays);
    for (std::size_t i = 0; i < w.size(); ++i) {
      const double g = rounded(double{average[i]} * s.clip_factor);
      const double em =
          rounded(double{rounded(double{s.beta1} * m[i])} + rounded(double{s.one_minus_beta1} * g));
      const double ev = rounded(double{rounded(double{s.beta2} * v[i])} +
                                rounded(double{s.one_minus_beta2} * rounded(g * g)));
      const double root = rounded(double{rounded(std::sqrt(ev))} / s.sqrt_bias_correction2);
      const double quotient = rounded(em / rounded(root + s.eps));
      const double decay = decays ? s.decay_factor : 1.0F;
      const float ew = rounded(double{rounded(w[i] * decay)} - rounded(s.step_size * quotient));
      ASSERT_EQ(w2[i], ew) << i;
      ASSERT_EQ(double{m2[i]}, em) << i;
      ASSERT_EQ(double{v2[i]}, ev) << i;
    }
  }
}

TEST(Adamw, FollowsTheAlgorithmInDouble) {
  // Loshchilov and Hutter in double; fp32 stays within a few units in the last place per step.
  const double lr = 1e-2, beta1 = 0.9, beta2 = 0.95, decay = 0.1, eps = 1e-8;
  std::vector<float> w{1.0F}, m{0.0F}, v{0.0F};
  double dw = 1, dm = 0, dv = 0;
  for (int t = 1; t <= 100; ++t) {
    const float gradient = std::sin(static_cast<float>(t));
    CommitScalars s;
    s.beta1 = rounded(beta1);
    s.one_minus_beta1 = rounded(1 - beta1);
    s.beta2 = rounded(beta2);
    s.one_minus_beta2 = rounded(1 - beta2);
    s.eps = rounded(eps);
    s.step_size = rounded(lr / (1 - std::pow(beta1, t)));
    s.sqrt_bias_correction2 = rounded(std::sqrt(1 - std::pow(beta2, t)));
    s.decay_factor = rounded(1 - lr * decay);
    adamw_update(w, m, v, std::span<const float>(&gradient, 1), s, true);
    dw -= lr * decay * dw;
    dm = beta1 * dm + (1 - beta1) * gradient;
    dv = beta2 * dv + (1 - beta2) * gradient * gradient;
    dw -= lr * (dm / (1 - std::pow(beta1, t))) / (std::sqrt(dv / (1 - std::pow(beta2, t))) + eps);
  }
  EXPECT_NEAR(w[0], dw, 2e-6);
}

TEST(Adamw, ASkippedCommitChangesNothing) {
  std::vector<float> w{1.0F}, m{2.0F}, v{3.0F};
  CommitScalars s = golden_scalars();
  s.skip = true;
  const std::vector<float> average{std::numeric_limits<float>::quiet_NaN()};
  adamw_update(w, m, v, average, s, true);
  EXPECT_EQ(w[0], 1.0F);
  EXPECT_EQ(m[0], 2.0F);
  EXPECT_EQ(v[0], 3.0F);
}

TEST(SquaredNorm, GivesTheBitsOfThePythonImplementation) {
  EXPECT_EQ(squared_norm(samples(1000)), 0x1.4d66c79fb45ecp+10);
}

TEST(SquaredNorm, LanesAloneGiveTheSameBits) {
  for (const std::size_t count : {0U, 1U, 255U, 256U, 257U, 5000U}) {
    const std::vector<float> values = samples(count);
    std::vector<double> lanes;
    for (std::size_t l = 0; l < kNormLanes; ++l)
      lanes.push_back(squared_norm_lane(values.data(), values.size(), l));
    for (std::size_t stride = kNormLanes / 2; stride > 0; stride /= 2)
      for (std::size_t l = 0; l < stride; ++l) lanes[l] += lanes[l + stride];
    EXPECT_EQ(squared_norm(values), lanes[0]) << count;
    double plain = 0;
    for (const float value : values) plain += double{value} * value;
    EXPECT_NEAR(squared_norm(values), plain, 1e-12 * plain);
  }
}

TEST(SquaredNorm, SpansTheWholeRangeOfFloat) {
  const std::vector<float> huge(1000, std::numeric_limits<float>::max());
  EXPECT_TRUE(std::isfinite(squared_norm(huge)));
  const std::vector<float> tiny(1, std::numeric_limits<float>::denorm_min());
  EXPECT_EQ(squared_norm(tiny), 0x1p-298);
  const std::vector<float> bad{1.0F, std::numeric_limits<float>::infinity()};
  EXPECT_FALSE(std::isfinite(squared_norm(bad)));
}

TEST(SumInOrder, AddsInTheOrderGivenThenScales) {
  // (1 + 2^-24) rounds to 1, so the order shows: ((1 + e) + e) = 1, ((e + e) + 1) = 1 + 2^-23.
  const std::vector<float> one{1.0F}, e{0x1p-24F};
  std::vector<float> out(1);
  const std::vector<std::span<const float>> forward{one, e, e}, backward{e, e, one};
  sum_in_order(out, forward, 1.0F);
  EXPECT_EQ(out[0], 1.0F);
  sum_in_order(out, backward, 1.0F);
  EXPECT_EQ(out[0], 1.0F + 0x1p-23F);
  sum_in_order(out, backward, 0.5F);
  EXPECT_EQ(out[0], 0.5F + 0x1p-24F);
  std::vector<float> own{3.0F};
  const std::vector<std::span<const float>> in_place{own, one};
  sum_in_order(own, in_place, 0.25F);
  EXPECT_EQ(own[0], 1.0F);
}

std::array<std::uint8_t, 16> golden_key() {
  std::array<std::uint8_t, 16> key{};
  std::iota(key.begin(), key.end(), std::uint8_t{0});
  return key;
}

TEST(FingerprintHash, GivesTheBitsOfThePythonImplementation) {
  const FingerprintKey key = fingerprint_key(golden_key());
  FingerprintLanes lanes = fingerprint_part(key, 0, 0, samples(10));
  lanes.add(fingerprint_part(key, 7, 0, samples(8)));
  EXPECT_EQ(to_hex(to_fingerprint(lanes)), "62432ec872375b7d4fa69b075eff8046");
}

TEST(FingerprintHash, PartsInAnyOrderGiveTheWhole) {
  const FingerprintKey key = fingerprint_key(golden_key());
  const std::vector<float> values = samples(10'001);
  const FingerprintLanes whole = fingerprint_part(key, 3, 0, values);
  std::vector<std::size_t> starts;
  for (std::size_t i = 0; i < values.size(); i += 400) starts.push_back(i);
  std::shuffle(starts.begin(), starts.end(), std::mt19937(3));
  FingerprintLanes sum;
  for (const std::size_t start : starts) {
    const std::size_t count = std::min<std::size_t>(400, values.size() - start);
    sum.add(fingerprint_part(key, 3, start, std::span(values).subspan(start, count)));
  }
  EXPECT_EQ(sum, whole);
}

TEST(FingerprintHash, SeesEveryBitThePlaceTheParameterAndTheKey) {
  const FingerprintKey key = fingerprint_key(golden_key());
  const std::vector<float> values = samples(64);
  const FingerprintLanes whole = fingerprint_part(key, 3, 0, values);
  for (std::size_t i = 0; i < values.size(); ++i) {
    for (int bit = 0; bit < 32; ++bit) {
      auto changed = values;
      changed[i] = std::bit_cast<float>(std::bit_cast<std::uint32_t>(changed[i]) ^
                                        (std::uint32_t{1} << bit));
      const FingerprintLanes other = fingerprint_part(key, 3, 0, changed);
      ASSERT_NE(other.a, whole.a) << i << " " << bit;
      ASSERT_NE(other.b, whole.b) << i << " " << bit;
    }
  }
  auto swapped = values;
  std::swap(swapped[0], swapped[5]);
  EXPECT_NE(fingerprint_part(key, 3, 0, swapped), whole);
  EXPECT_NE(fingerprint_part(key, 4, 0, values), whole);
  EXPECT_NE(fingerprint_part({key.a + 1, key.b + 1}, 3, 0, values), whole);
}

TEST(InitialValues, GiveTheBitsOfThePythonImplementation) {
  const std::string name = "model.layers.0.self_attn.q_proj.weight";
  std::vector<float> values(3);
  initial_values(values, 1, name, 0.02);
  EXPECT_EQ(values[0], -0x1.180cd8p-8F);
  EXPECT_EQ(values[1], 0x1.0c60dcp-5F);
  EXPECT_EQ(values[2], 0x1.f39912p-10F);
  std::vector<float> far(1);
  initial_values(far, 1, name, 0.02, std::uint64_t{1} << 32);
  EXPECT_EQ(far[0], -0x1.40e85cp-7F);
}

TEST(InitialValues, StreamsAreFnv1a) {
  EXPECT_EQ(parameter_stream(""), 0xcbf29ce484222325U);
  EXPECT_EQ(parameter_stream("a"), 0xaf63dc4c8601ec8cU);
  EXPECT_EQ(parameter_stream("foobar"), 0x85944171f73967e8U);
}

TEST(InitialValues, HaveTheMomentsOfANormal) {
  std::vector<float> values(200'000);
  initial_values(values, 42, "x", 0.02);
  double mean = 0, square = 0, fourth = 0;
  for (const float value : values) {
    mean += value;
    square += double{value} * value;
    fourth += std::pow(double{value}, 4);
  }
  const auto count = static_cast<double>(values.size());
  EXPECT_NEAR(mean / count, 0, 4 * 0.02 / std::sqrt(count));
  EXPECT_NEAR(std::sqrt(square / count), 0.02, 0.0002);
  // Irwin-Hall of eight: excess kurtosis -6/5/8.
  EXPECT_NEAR(fourth / count / std::pow(square / count, 2), 3 - 0.15, 0.05);
  EXPECT_LT(*std::max_element(values.begin(), values.end()), 0.1F);
}

TEST(InitialValues, DoNotDependOnHowTheyAreCut) {
  std::vector<float> whole(100), part(30), ones(5);
  initial_values(whole, 9, "y", 0.01);
  initial_values(part, 9, "y", 0.01, 50);
  EXPECT_TRUE(std::equal(part.begin(), part.end(), whole.begin() + 50));
  initial_values(ones, 9, "y", 0);
  EXPECT_EQ(ones, std::vector<float>(5, 1.0F));
  initial_values(part, 10, "y", 0.01, 50);
  EXPECT_FALSE(std::equal(part.begin(), part.end(), whole.begin() + 50));
}

}  // namespace
}  // namespace coshard::shard
