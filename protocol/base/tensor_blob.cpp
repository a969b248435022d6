// SPDX-License-Identifier: Apache-2.0
#include "protocol/base/tensor_blob.h"

namespace coshard {

std::optional<std::uint64_t> element_count(const Shape& shape) {
  constexpr std::uint64_t kCountMax = std::uint64_t{1} << 62;
  std::uint64_t count = 1;
  for (const std::int64_t dimension : shape) {
    if (dimension < 0) return std::nullopt;
    const auto size = static_cast<std::uint64_t>(dimension);
    if (size != 0 && count > kCountMax / size) return std::nullopt;
    count *= size;
  }
  return count;
}

std::optional<std::uint64_t> dense_bytes(DType dtype, const Shape& shape) {
  const auto count = element_count(shape);
  const std::size_t item = item_bytes(dtype);
  if (!count || item == 0 || *count > (std::uint64_t{1} << 62) / item) return std::nullopt;
  return *count * item;
}

}  // namespace coshard
