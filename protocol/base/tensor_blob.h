// TensorBlob: dtype, shape, encoding and bytes: the only form in which a tensor leaves shard/.
// Value type, any thread. Contiguous, row-major, little-endian. `bytes` is shared and immutable
// once made, so that a blob that is kept for repair, hashed and being sent is one allocation.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "protocol/base/bytes.h"
#include "protocol/base/error.h"

namespace coshard {

/// Element types that may travel or be stored. The numbers are part of the wire format.
enum class DType : std::uint8_t {
  kF32 = 1,
  kBF16 = 2,
  kI64 = 3,
  kU8 = 4,
  kU16 = 5,
  kU32 = 6,
  kI32 = 7
};

/// Bytes of one element; 0 for a value outside the enumeration (peer input).
constexpr std::size_t item_bytes(DType dtype) {
  switch (dtype) {
    case DType::kF32:
      return 4;
    case DType::kBF16:
      return 2;
    case DType::kI64:
      return 8;
    case DType::kU8:
      return 1;
    case DType::kU16:
      return 2;
    case DType::kU32:
      return 4;
    case DType::kI32:
      return 4;
  }
  return 0;
}

/// How `bytes` encodes the tensor. The numbers are part of the wire format.
enum class BoundaryEncoding : std::uint8_t { kNone = 0, kBF16 = 1, kInt8 = 2, kSubspace = 3 };

using Shape = std::vector<std::int64_t>;
using SharedBytes = std::shared_ptr<const Bytes>;

inline SharedBytes share(Bytes bytes) { return std::make_shared<const Bytes>(std::move(bytes)); }

struct TensorBlob {
  DType dtype = DType::kF32;
  BoundaryEncoding encoding = BoundaryEncoding::kNone;
  Shape shape;
  SharedBytes bytes;

  ByteView view() const { return bytes ? ByteView(*bytes) : ByteView{}; }
};

/// Product of the dimensions; nothing on a negative dimension or overflow of 2^62.
std::optional<std::uint64_t> element_count(const Shape& shape);

/// Bytes of an unencoded tensor of that dtype and shape; nothing when element_count is nothing or
/// dtype unknown.
std::optional<std::uint64_t> dense_bytes(DType dtype, const Shape& shape);

}  // namespace coshard
