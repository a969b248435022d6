// Codecs without parameters: fp32 as it is, and bf16. See codec.h.
// SPDX-License-Identifier: Apache-2.0
#include "shard/boundary/codec.h"

#include <bit>
#include <cstring>
#include <string>

#include "protocol/base/check.h"
#include "shard/boundary/bf16.h"

static_assert(std::endian::native == std::endian::little, "blobs are little-endian");

namespace coshard::shard {
namespace {

void check_dense(const TensorBlob& dense) {
  COSHARD_CHECK(dense.dtype == DType::kF32 && dense.encoding == BoundaryEncoding::kNone);
  const std::uint64_t expected = dense_bytes(DType::kF32, dense.shape).value_or(0);
  COSHARD_CHECK_OP(dense.view().size(), ==, expected);
}

Result<void> check_encoded(const BoundaryCodec& codec, const TensorBlob& blob) {
  const auto bytes = codec.encoded_bytes(blob.shape);
  if (blob.dtype == DType::kF32 && blob.encoding == codec.encoding() && bytes &&
      *bytes == blob.view().size())
    return {};
  return fail(ErrorCode::kInvalidArgument,
              "boundary tensor: expected encoding " +
                  std::to_string(static_cast<int>(codec.encoding())) + " of fp32 in " +
                  (bytes ? std::to_string(*bytes) : "countable") + " bytes, found encoding " +
                  std::to_string(static_cast<int>(blob.encoding)) + " of dtype " +
                  std::to_string(static_cast<int>(blob.dtype)) + " in " +
                  std::to_string(blob.view().size()));
}

class NoCodec final : public BoundaryCodec {
 public:
  BoundaryEncoding encoding() const override { return BoundaryEncoding::kNone; }
  std::optional<std::uint64_t> encoded_bytes(const Shape& shape) const override {
    return dense_bytes(DType::kF32, shape);
  }
  TensorBlob encode(const TensorBlob& dense) const override {
    check_dense(dense);
    return dense;
  }
  Result<TensorBlob> decode(const TensorBlob& encoded) const override {
    COSHARD_TRY(check_encoded(*this, encoded));
    return encoded;
  }
};

class Bf16Codec final : public BoundaryCodec {
 public:
  BoundaryEncoding encoding() const override { return BoundaryEncoding::kBF16; }
  std::optional<std::uint64_t> encoded_bytes(const Shape& shape) const override {
    return dense_bytes(DType::kBF16, shape);
  }

  TensorBlob encode(const TensorBlob& dense) const override {
    check_dense(dense);
    const std::size_t count = dense.view().size() / sizeof(float);
    Bytes bytes(count * sizeof(std::uint16_t));
    for (std::size_t i = 0; i < count; ++i) {
      float value = 0;
      std::memcpy(&value, dense.view().data() + i * sizeof value, sizeof value);
      const std::uint16_t half = to_bf16(value);
      std::memcpy(bytes.data() + i * sizeof half, &half, sizeof half);
    }
    return {DType::kF32, BoundaryEncoding::kBF16, dense.shape, share(std::move(bytes))};
  }

  Result<TensorBlob> decode(const TensorBlob& encoded) const override {
    COSHARD_TRY(check_encoded(*this, encoded));
    const std::size_t count = encoded.view().size() / sizeof(std::uint16_t);
    Bytes bytes(count * sizeof(float));
    for (std::size_t i = 0; i < count; ++i) {
      std::uint16_t half = 0;
      std::memcpy(&half, encoded.view().data() + i * sizeof half, sizeof half);
      const float value = from_bf16(half);
      std::memcpy(bytes.data() + i * sizeof value, &value, sizeof value);
    }
    return TensorBlob{DType::kF32, BoundaryEncoding::kNone, encoded.shape, share(std::move(bytes))};
  }
};

}  // namespace

Result<const BoundaryCodec*> boundary_codec(BoundaryEncoding encoding) {
  static const NoCodec none;
  static const Bf16Codec bf16;
  switch (encoding) {
    case BoundaryEncoding::kNone:
      return &none;
    case BoundaryEncoding::kBF16:
      return &bf16;
    case BoundaryEncoding::kInt8:
    case BoundaryEncoding::kSubspace:
      break;
  }
  return fail(ErrorCode::kInvalidArgument,
              "boundary encoding: expected 0 (none) or 1 (bf16), found " +
                  std::to_string(static_cast<int>(encoding)));
}

Result<const BoundaryCodec*> boundary_codec(std::string_view name) {
  if (name == "none") return boundary_codec(BoundaryEncoding::kNone);
  if (name == "bf16") return boundary_codec(BoundaryEncoding::kBF16);
  return fail(ErrorCode::kInvalidArgument,
              "boundary compression: expected none or bf16, found \"" + std::string(name) + "\"");
}

}  // namespace coshard::shard
