// The header of a safetensors file: parsing under limits (safetensors.h).
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <utility>

#include "protocol/base/check.h"
#include "protocol/base/limits.h"
#include "shard/checkpoint/safetensors.h"
#include "shard/data/json.h"

namespace coshard::shard {
namespace {

struct TypeRow {
  StorageType type;
  std::string_view name;
  std::size_t bytes;
};
constexpr std::array<TypeRow, 6> kTypes{{{StorageType::kF32, "F32", 4},
                                         {StorageType::kF16, "F16", 2},
                                         {StorageType::kBF16, "BF16", 2},
                                         {StorageType::kI64, "I64", 8},
                                         {StorageType::kI32, "I32", 4},
                                         {StorageType::kU8, "U8", 1}}};

const TypeRow& row_of(StorageType type) {
  for (const TypeRow& row : kTypes)
    if (row.type == type) return row;
  COSHARD_UNREACHABLE();
}

tl::unexpected<Error> corrupt(std::string message) {
  return fail(ErrorCode::kCorruption, std::move(message));
}

Result<StorageType> type_of(const std::string& name) {
  for (const TypeRow& row : kTypes)
    if (row.name == name) return row.type;
  return corrupt("expected dtype F32, F16, BF16, I64, I32 or U8, found \"" + name.substr(0, 16) +
                 "\"");
}

Result<Shape> shape_of(const Json::Array& dimensions) {
  if (dimensions.size() > limits::kDimensionsMax)
    return corrupt("expected at most " + std::to_string(limits::kDimensionsMax) +
                   " dimensions, found " + std::to_string(dimensions.size()));
  Shape shape;
  for (const Json& dimension : dimensions) {
    const std::uint64_t* size = dimension.natural();
    if (size == nullptr || *size > std::uint64_t{1} << 62)
      return corrupt("expected a dimension from 0 to 2^62, found " + dimension.text());
    shape.push_back(static_cast<std::int64_t>(*size));
  }
  return shape;
}

Result<TensorEntry> tensor_of(const std::string& name, const Json& json) {
  TensorEntry tensor;
  tensor.name = name;
  COSHARD_ASSIGN(const std::string type, json.string_at("dtype"));
  COSHARD_ASSIGN(tensor.type, type_of(type));
  COSHARD_ASSIGN(const Json::Array* shape, json.array_at("shape"));
  COSHARD_ASSIGN(tensor.shape, shape_of(*shape));
  COSHARD_ASSIGN(const Json::Array* offsets, json.array_at("data_offsets"));
  if (offsets->size() != 2 || (*offsets)[0].natural() == nullptr ||
      (*offsets)[1].natural() == nullptr)
    return corrupt("expected data_offsets of two non-negative integers");
  tensor.begin = *(*offsets)[0].natural();
  tensor.end = *(*offsets)[1].natural();
  const auto elements = element_count(tensor.shape);
  if (!elements || tensor.end < tensor.begin ||
      *elements > (tensor.end - tensor.begin) / item_bytes(tensor.type) ||
      *elements * item_bytes(tensor.type) != tensor.end - tensor.begin)
    return corrupt("its shape does not match its data_offsets");
  return tensor;
}

Result<SafetensorsMetadata> metadata_of(const Json& json) {
  if (json.object() == nullptr) return corrupt("__metadata__: expected an object");
  SafetensorsMetadata metadata;
  for (const auto& [key, value] : *json.object()) {
    if (value.string() == nullptr) return corrupt("__metadata__: expected texts, found " + key);
    metadata.emplace(key, *value.string());
  }
  return metadata;
}

}  // namespace

std::size_t item_bytes(StorageType type) { return row_of(type).bytes; }
std::string_view to_string(StorageType type) { return row_of(type).name; }

Result<SafetensorsHeader> parse_safetensors_header(std::string_view json,
                                                   std::uint64_t data_bytes) {
  const auto parsed = Json::parse(json);
  if (!parsed) return corrupt("header: " + parsed.error().message);
  if (parsed->object() == nullptr) return corrupt("header: expected an object");
  SafetensorsHeader header;
  for (const auto& [name, value] : *parsed->object()) {
    if (name == "__metadata__") {
      COSHARD_ASSIGN(header.metadata, metadata_of(value));
      continue;
    }
    if (name.empty() || name.size() > limits::kTextBytesMax)
      return corrupt("header: expected tensor names of 1 to " +
                     std::to_string(limits::kTextBytesMax) + " bytes");
    auto tensor = tensor_of(name, value);
    if (!tensor) return corrupt("tensor " + name + ": " + tensor.error().message);
    header.tensors.push_back(std::move(*tensor));
  }
  std::stable_sort(header.tensors.begin(), header.tensors.end(), [](const auto& a, const auto& b) {
    return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
  });
  std::uint64_t covered = 0;
  for (const TensorEntry& tensor : header.tensors) {
    if (tensor.begin != covered)
      return corrupt("tensor " + tensor.name + ": expected it to begin at byte " +
                     std::to_string(covered) + ", found " + std::to_string(tensor.begin));
    covered = tensor.end;
  }
  if (covered != data_bytes)
    return corrupt("header: the tensors have " + std::to_string(covered) + " bytes, the file has " +
                   std::to_string(data_bytes));
  return header;
}

}  // namespace coshard::shard
