// JSON as a plain value tree, read under limits (depth, values, no duplicate keys) so that a
// hostile header cannot cost more memory than it is worth. The library behind it, nlohmann-json, is
// seen by json.cpp alone. Value type, any thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "protocol/base/error.h"

namespace coshard::shard {

class Json {
 public:
  using Array = std::vector<Json>;
  using Object = std::vector<std::pair<std::string, Json>>;  ///< in the order of the text
  using Value = std::variant<std::nullptr_t, bool, std::int64_t, std::uint64_t, double, std::string,
                             Array, Object>;

  Json() = default;
  Json(bool value) : value_(value) {}                      // NOLINT: literal-like
  Json(std::int64_t value) : value_(value) {}              // NOLINT
  Json(std::uint64_t value) : value_(value) {}             // NOLINT
  Json(double value) : value_(value) {}                    // NOLINT
  Json(std::string value) : value_(std::move(value)) {}    // NOLINT
  Json(const char* value) : value_(std::string(value)) {}  // NOLINT
  Json(Array value) : value_(std::move(value)) {}          // NOLINT
  Json(Object value) : value_(std::move(value)) {}         // NOLINT

  /// kInvalidArgument with the position of the fault. The root may be any value.
  static Result<Json> parse(std::string_view text);
  /// `indent` spaces a level; 0 writes one line.
  std::string text(int indent = 0) const;

  bool is_null() const { return std::holds_alternative<std::nullptr_t>(value_); }
  const Array* array() const { return std::get_if<Array>(&value_); }
  const Object* object() const { return std::get_if<Object>(&value_); }
  const std::string* string() const { return std::get_if<std::string>(&value_); }
  const bool* boolean() const { return std::get_if<bool>(&value_); }
  /// A non-negative integer; nothing for all else.
  const std::uint64_t* natural() const { return std::get_if<std::uint64_t>(&value_); }

  /// The member of an object; null when this is no object or has none of that name.
  const Json* find(std::string_view key) const;

  // Typed members; kInvalidArgument naming the key, what was expected and what was found.
  Result<std::string> string_at(std::string_view key) const;
  Result<std::uint64_t> natural_at(std::string_view key) const;
  Result<double> number_at(std::string_view key) const;
  Result<const Array*> array_at(std::string_view key) const;
  Result<const Object*> object_at(std::string_view key) const;

  bool operator==(const Json&) const = default;

 private:
  friend class JsonBuilder;
  Value value_ = nullptr;
};

}  // namespace coshard::shard
