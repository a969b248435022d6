// safetensors: the bytes of the format, every lie of a header refused, never half a file.
// SPDX-License-Identifier: Apache-2.0
#include "shard/checkpoint/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <numeric>

#include "crypto/hash.h"
#include "protocol/base/limits.h"
#include "shard/checkpoint/float_convert.h"
#include "tests/unit/data/full_disk.h"
#include "tests/unit/data/temp_folder.h"

namespace coshard::shard {
namespace {

using ::testing::HasSubstr;

TensorSource floats(const std::string& name, Shape shape, std::vector<float> values) {
  return {name, StorageType::kF32, std::move(shape),
          [values = std::move(values)](const ByteSink& sink) -> Result<void> {
            // In two pieces, as a device would hand them over.
            const auto* bytes = reinterpret_cast<const std::uint8_t*>(values.data());
            const std::size_t half = values.size() / 2 * 4;
            COSHARD_TRY(sink({bytes, half}));
            return sink({bytes + half, values.size() * 4 - half});
          }};
}

/// A file with this header text and that much data.
std::string raw_file(const std::string& header, std::size_t data_bytes) {
  Bytes bytes;
  put_le(bytes, std::uint64_t{header.size()});
  return std::string(as_text(bytes)) + header + std::string(data_bytes, '\0');
}

TEST(Safetensors, WritesTheBytesOfTheFormat) {
  const TempFolder folder;
  const std::vector<TensorSource> tensors{floats("w", {2, 1}, {1.0F, -2.0F})};
  const Hash hash = write_safetensors(folder / "a", tensors, {{"k", "v"}}).value();
  const std::string bytes = read_text(folder / "a");
  std::string header =
      R"({"__metadata__":{"k":"v"},"w":{"dtype":"F32","shape":[2,1],"data_offsets":[0,8]}})";
  header.resize((header.size() + 7) / 8 * 8, ' ');
  EXPECT_EQ(bytes, raw_file(header, 0) + std::string("\0\0\x80\x3f\0\0\0\xc0", 8));
  EXPECT_EQ(hash, crypto::sha256(as_bytes(bytes)));
  EXPECT_EQ(SafetensorsFile::open(folder / "a").value().hash().value(), hash);
}

TEST(Safetensors, ReadsWhatItWrites) {
  const TempFolder folder;
  std::vector<float> many(300'000);
  std::iota(many.begin(), many.end(), 0.5F);
  const std::vector<TensorSource> tensors{floats("b", {300, 1000}, many), floats("a", {}, {7.0F}),
                                          floats("none", {0, 3}, {})};
  ASSERT_TRUE(write_safetensors(folder / "x", tensors, {}));
  const SafetensorsFile file = SafetensorsFile::open(folder / "x").value();
  ASSERT_EQ(file.tensors().size(), 3U);
  EXPECT_EQ(file.find("b").value()->shape, (Shape{300, 1000}));
  std::vector<float> back(many.size());
  ASSERT_TRUE(file.read_floats(*file.find("b").value(), 0, back));
  EXPECT_EQ(back, many);
  std::vector<float> part(10);
  ASSERT_TRUE(file.read_floats(*file.find("b").value(), 1234, part));
  EXPECT_EQ(part[9], many[1243]);
  EXPECT_EQ(file.find("c").error().code, ErrorCode::kNotFound);
}

TEST(Safetensors, EveryLieOfAHeaderIsRefused) {
  const auto verdict = [](const std::string& json, std::uint64_t data_bytes) {
    const auto header = parse_safetensors_header(json, data_bytes);
    if (header) return std::string("accepted");
    EXPECT_EQ(header.error().code, ErrorCode::kCorruption);
    return header.error().message;
  };
  const auto tensor = [](const std::string& dtype, const std::string& shape,
                         const std::string& offsets) {
    return "{\"t\":{\"dtype\":\"" + dtype + "\",\"shape\":" + shape +
           ",\"data_offsets\":" + offsets + "}}";
  };
  EXPECT_EQ(verdict(tensor("F32", "[2]", "[0,8]"), 8), "accepted");
  EXPECT_EQ(verdict("{}", 0), "accepted");
  EXPECT_THAT(verdict(tensor("F32", "[2]", "[0,8]"), 9), HasSubstr("8 bytes, the file has 9"));
  EXPECT_THAT(verdict(tensor("F32", "[2]", "[0,8]"), 7), HasSubstr("the file has 7"));
  EXPECT_THAT(verdict(tensor("F32", "[3]", "[0,8]"), 8), HasSubstr("shape"));
  EXPECT_THAT(verdict(tensor("F32", "[2]", "[8,0]"), 8), HasSubstr("shape"));
  EXPECT_THAT(verdict(tensor("F32", "[2]", "[1,9]"), 9), HasSubstr("begin at byte 0"));
  EXPECT_THAT(verdict(tensor("F32", "[-2]", "[0,8]"), 8), HasSubstr("dimension"));
  EXPECT_THAT(verdict(tensor("F32", "[1.5]", "[0,8]"), 8), HasSubstr("dimension"));
  EXPECT_THAT(verdict(tensor("F32", "[4294967296,4294967296]", "[0,0]"), 0), HasSubstr("shape"));
  EXPECT_THAT(verdict(tensor("F32", "[4611686018427387904,4]", "[0,0]"), 0), HasSubstr("shape"));
  EXPECT_THAT(verdict(tensor("F32", "[1,1,1,1,2]", "[0,8]"), 8), HasSubstr("dimensions"));
  EXPECT_THAT(verdict(tensor("F64", "[1]", "[0,8]"), 8), HasSubstr("dtype"));
  EXPECT_THAT(verdict(tensor("F32", "[2]", "[0]"), 8), HasSubstr("data_offsets"));
  EXPECT_THAT(verdict(tensor("F32", "2", "[0,8]"), 8), HasSubstr("list"));
  EXPECT_THAT(verdict("[1]", 0), HasSubstr("object"));
  EXPECT_THAT(verdict("{\"__metadata__\":{\"a\":1}}", 0), HasSubstr("texts"));
  EXPECT_THAT(verdict("{\"\":{}}", 0), HasSubstr("names"));
  const std::string one = R"({"dtype":"U8","shape":[4],"data_offsets":[0,4]})";
  const std::string overlap = R"({"dtype":"U8","shape":[4],"data_offsets":[2,6]})";
  EXPECT_THAT(verdict("{\"a\":" + one + ",\"b\":" + overlap + "}", 6),
              HasSubstr("begin at byte 4"));
  EXPECT_THAT(verdict("{\"a\":" + one + ",\"a\":" + one + "}", 4), HasSubstr("twice"));
}

TEST(Safetensors, EveryTruncationIsRefused) {
  const TempFolder folder;
  const std::vector<TensorSource> tensors{floats("w", {2}, {1.0F, 2.0F})};
  ASSERT_TRUE(write_safetensors(folder / "a", tensors, {}));
  const std::string bytes = read_text(folder / "a");
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    const auto file = SafetensorsFile::open(folder.write("cut", bytes.substr(0, size)));
    ASSERT_FALSE(file) << size;
    EXPECT_EQ(file.error().code, ErrorCode::kCorruption);
    EXPECT_THAT(file.error().message, HasSubstr("cut"));
  }
}

TEST(Safetensors, E6_OtherFilesAreRefusedByTheirMagic) {
  const TempFolder folder;
  const auto message = [&](const std::string& bytes) {
    return SafetensorsFile::open(folder.write("f", bytes)).error().message;
  };
  EXPECT_THAT(message("PK\x03\x04 and more of torch.save"), HasSubstr("pickle"));
  EXPECT_THAT(message(std::string("\x80\x02\x8a\x0al\xfc\x9c\x46", 8) + "rest"),
              HasSubstr("pickle"));
  Bytes huge;
  put_le(huge, std::uint64_t{limits::kSafetensorsHeaderBytesMax + 1});
  EXPECT_THAT(message(std::string(as_text(huge)) + "{}"), HasSubstr("header of at most"));
  EXPECT_THAT(message(std::string(8, '\xff')), HasSubstr("header of at most"));
}

TEST(Safetensors, E4_SymbolicLinksAreRefusedUnlessAskedFor) {
  const TempFolder folder;
  folder.write("a", raw_file("{}", 0));
  std::filesystem::create_symlink(folder / "a", folder / "link");
  EXPECT_EQ(SafetensorsFile::open(folder / "link").error().code, ErrorCode::kPermissionDenied);
  EXPECT_TRUE(SafetensorsFile::open(folder / "link", Symlinks::kFollow));
}

TEST(Safetensors, AFullDiskLeavesNoFile) {
  const TempFolder folder;
  const FullDisk full(10'000);
  const std::vector<TensorSource> tensors{floats("w", {10'000}, std::vector<float>(10'000))};
  const auto result = write_safetensors(folder / "a", tensors, {});
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::kResourceExhausted);
  EXPECT_EQ(folder.files(), 0U);
}

TEST(Safetensors, AStreamOfTheWrongLengthIsOursToReport) {
  const TempFolder folder;
  const std::vector<TensorSource> tensors{floats("w", {3}, {1.0F})};
  EXPECT_EQ(write_safetensors(folder / "a", tensors, {}).error().code, ErrorCode::kInternal);
  EXPECT_EQ(folder.files(), 0U);
}

TEST(FloatConvert, HalfWidthsWidenExactly) {
  for (std::uint32_t bits = 0; bits < 65'536; ++bits) {
    const auto half = static_cast<std::uint16_t>(bits);
    // binary16 by its definition.
    const double sign = (bits & 0x8000U) != 0 ? -1 : 1;
    const int exponent = static_cast<int>((bits >> 10) & 31U);
    const double fraction = static_cast<double>(bits & 1023U) / 1024;
    const float wide = float_of_f16(half);
    if (exponent == 31)
      EXPECT_EQ(std::isnan(wide), fraction != 0);
    else
      EXPECT_EQ(double{wide}, sign * (exponent == 0 ? std::ldexp(fraction, -14)
                                                    : std::ldexp(1 + fraction, exponent - 15)));
    const float brain = float_of_bf16(half);
    if (std::isnan(brain))
      EXPECT_TRUE(std::isnan(float_of_bf16(bf16_of_float(brain))));
    else
      EXPECT_EQ(bf16_of_float(brain), half);
  }
}

TEST(FloatConvert, Bf16RoundsToNearestEven) {
  EXPECT_EQ(bf16_of_float(1.0F), 0x3f80);
  EXPECT_EQ(bf16_of_float(1.0F + 0x1p-8F), 0x3f80) << "a tie goes to even";
  EXPECT_EQ(bf16_of_float(1.0F + 0x1.8p-7F), 0x3f82) << "a tie goes to even";
  EXPECT_EQ(bf16_of_float(1.0F + 0x1.1p-8F), 0x3f81);
  EXPECT_EQ(bf16_of_float(std::numeric_limits<float>::max()), 0x7f80);
  EXPECT_TRUE(std::isnan(float_of_bf16(bf16_of_float(std::bit_cast<float>(0x7f800001U)))));
}

}  // namespace
}  // namespace coshard::shard
