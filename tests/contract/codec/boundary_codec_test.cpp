// What every boundary codec promises: known size, right shape, bounded error, the same bytes for
// the same tensor, and an error value for whatever a peer may send.
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "protocol/base/rng.h"
#include "shard/boundary/bf16.h"
#include "shard/boundary/codec.h"

namespace coshard::shard {
namespace {

TensorBlob blob_of(const std::vector<float>& values, Shape shape) {
  Bytes bytes(values.size() * sizeof(float));
  std::memcpy(bytes.data(), values.data(), bytes.size());
  return {DType::kF32, BoundaryEncoding::kNone, std::move(shape), share(std::move(bytes))};
}

std::vector<float> floats(const TensorBlob& blob) {
  std::vector<float> values(blob.view().size() / sizeof(float));
  std::memcpy(values.data(), blob.view().data(), blob.view().size());
  return values;
}

struct Promise {
  const char* name;
  double relative_error;   ///< of each value
  double bytes_per_value;  ///< at most
};

class EveryCodec : public ::testing::TestWithParam<Promise> {
 protected:
  const BoundaryCodec& codec() const { return **boundary_codec(std::string_view(GetParam().name)); }
  static TensorBlob activations() {
    Rng rng(3);
    std::vector<float> values(2 * 5 * 24);
    for (float& value : values)
      value =
          static_cast<float>((rng.unit() - 0.5) * std::exp2(static_cast<int>(rng.below(30)) - 15));
    values[7] = 0;
    return blob_of(values, {2, 5, 24});
  }
};

INSTANTIATE_TEST_SUITE_P(Codecs, EveryCodec,
                         ::testing::Values(Promise{"none", 0, 4}, Promise{"bf16", 1.0 / 256, 2}),
                         [](const auto& chosen) { return std::string(chosen.param.name); });

TEST_P(EveryCodec, RoundTripKeepsShapeAndValuesWithinItsPromise) {
  const TensorBlob dense = activations();
  const TensorBlob encoded = codec().encode(dense);
  EXPECT_EQ(encoded.encoding, codec().encoding());
  EXPECT_EQ(encoded.view().size(), codec().encoded_bytes(dense.shape));
  EXPECT_LE(static_cast<double>(encoded.view().size()), GetParam().bytes_per_value * 240);
  const auto decoded = codec().decode(encoded);
  ASSERT_TRUE(decoded) << decoded.error().message;
  EXPECT_EQ(decoded->encoding, BoundaryEncoding::kNone);
  EXPECT_EQ(decoded->dtype, DType::kF32);
  EXPECT_EQ(decoded->shape, dense.shape);
  const std::vector<float> before = floats(dense), after = floats(*decoded);
  for (std::size_t i = 0; i < before.size(); ++i)
    EXPECT_NEAR(after[i], before[i], GetParam().relative_error * std::abs(before[i]));
}

TEST_P(EveryCodec, IsAPureFunctionAndStableUnderASecondTrip) {
  const TensorBlob encoded = codec().encode(activations());
  EXPECT_EQ(*encoded.bytes, *codec().encode(activations()).bytes);
  EXPECT_EQ(*encoded.bytes, *codec().encode(*codec().decode(encoded)).bytes);
}

TEST_P(EveryCodec, WhatIsNotFiniteStaysSo) {
  const float inf = std::numeric_limits<float>::infinity();
  const auto decoded = codec().decode(
      codec().encode(blob_of({inf, -inf, std::numeric_limits<float>::quiet_NaN(), 1}, {1, 1, 4})));
  ASSERT_TRUE(decoded);
  const std::vector<float> values = floats(*decoded);
  EXPECT_EQ(values[0], inf);
  EXPECT_EQ(values[1], -inf);
  EXPECT_TRUE(std::isnan(values[2]));
}

TEST_P(EveryCodec, RefusesWhatAPeerGotWrong) {
  const TensorBlob good = codec().encode(activations());
  const auto refused = [&](const TensorBlob& bad) {
    const auto result = codec().decode(bad);
    return !result && result.error().code == ErrorCode::kInvalidArgument;
  };
  TensorBlob bad = good;
  bad.bytes = share(Bytes(good.bytes->begin(), good.bytes->end() - 1));
  EXPECT_TRUE(refused(bad)) << "truncated";
  bad.bytes = nullptr;
  EXPECT_TRUE(refused(bad)) << "no bytes";
  bad = good;
  bad.shape = {2, 5, 25};
  EXPECT_TRUE(refused(bad)) << "another shape";
  bad.shape = {-2, -5, 24};
  EXPECT_TRUE(refused(bad)) << "negative dimensions";
  bad.shape = {std::int64_t{1} << 40, std::int64_t{1} << 40, 24};
  EXPECT_TRUE(refused(bad)) << "a shape that overflows";
  bad = good;
  bad.dtype = DType::kI64;
  EXPECT_TRUE(refused(bad)) << "another dtype";
  bad = good;
  bad.encoding = BoundaryEncoding::kInt8;
  EXPECT_TRUE(refused(bad)) << "another encoding";
}

TEST(Bf16, RoundsToNearestEven) {
  // Worked by hand: 1 + 2^-8 lies half-way between 1 and 1 + 2^-7, and 1 is even.
  EXPECT_EQ(to_bf16(1.0F), 0x3F80);
  EXPECT_EQ(to_bf16(1.00390625F), 0x3F80);
  EXPECT_EQ(to_bf16(1.0039064F), 0x3F81);
  EXPECT_EQ(to_bf16(1.01171875F), 0x3F82);
  EXPECT_EQ(to_bf16(-0.0F), 0x8000);
  EXPECT_EQ(to_bf16(std::numeric_limits<float>::max()), 0x7F80) << "to infinity";
  for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
    const auto half = static_cast<std::uint16_t>(bits);
    if (std::isnan(from_bf16(half))) continue;
    ASSERT_EQ(to_bf16(from_bf16(half)), half);
  }
}

TEST(BoundaryCodec, NamesWhatItKnows) {
  EXPECT_EQ(boundary_codec("int9").error().code, ErrorCode::kInvalidArgument);
  EXPECT_FALSE(boundary_codec(BoundaryEncoding::kSubspace));
  EXPECT_EQ((*boundary_codec("bf16"))->encoding(), BoundaryEncoding::kBF16);
}

}  // namespace
}  // namespace coshard::shard
