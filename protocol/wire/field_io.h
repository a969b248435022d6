// One description of a message for both directions: describe() of each message names its fields in
// the order of the .proto file, with their ranges; FieldIo either writes them to a Protobuf message
// or reads them from it, and checks the ranges both ways. Private to codec*.cpp. One thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstring>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "protocol/base/error.h"
#include "protocol/base/ids.h"
#include "protocol/base/limits.h"

namespace google::protobuf {
class Descriptor;
class FieldDescriptor;
class Message;
class Reflection;
}  // namespace google::protobuf

namespace coshard::wire {

class FieldIo {
 public:
  enum class Direction { kWrite, kRead };
  static constexpr std::uint64_t kAny = std::numeric_limits<std::uint64_t>::max();

  FieldIo(Direction direction, google::protobuf::Message& message);

  bool reading() const { return direction_ == Direction::kRead; }

  /// An unsigned number or enumeration of at most `max`.
  template <class T>
  void number(T& value, std::uint64_t max = kAny) {
    const auto* field = next();
    if (error_) return;
    std::uint64_t raw = reading() ? get_number(field) : static_cast<std::uint64_t>(value);
    if (raw > max || raw > number_max(field)) return refuse_number(field, max, raw);
    reading() ? void(value = static_cast<T>(raw)) : set_number(field, raw);
  }
  template <class Tag, class T>
  void number(StrongInt<Tag, T>& id, std::uint64_t max = kAny) {
    number(id.value, max);
  }

  void flag(bool& value);
  /// Any double, finite or not.
  void real(double& value);
  /// A double that is no negative number; it may be infinite or not a number.
  void magnitude(double& value);
  /// A finite float.
  void finite(float& value);
  void text(std::string& value);
  void blob(Bytes& value, std::size_t bytes_max);
  void magnitudes(std::vector<double>& values);
  void shape(std::vector<std::int64_t>& values);

  template <std::size_t N>
  void array(std::array<std::uint8_t, N>& value) {
    const auto* field = next();
    if (error_) return;
    if (!reading()) return set_bytes(field, value);
    const std::string& raw = get_bytes(field);
    if (raw.size() != N) return refuse_size(field, N, raw.size());
    std::memcpy(value.data(), raw.data(), N);
  }
  template <class Tag>
  void key(StrongKey<Tag>& value) {
    array(value.bytes);
  }

  template <class T>
  void nested(T& value) {
    const auto* field = next();
    if (error_) return;
    within(child(field), value);
  }

  template <class T>
  void list(std::vector<T>& values, std::size_t items_max = limits::kListItemsMax) {
    const auto* field = next();
    if (error_ || !count_fits(field, values.size(), items_max)) return;
    if (reading()) values.resize(count(field));
    for (std::size_t i = 0; i < values.size() && !error_; ++i) {
      within(item(field, i), values[i]);
    }
  }

  /// Numbers below `bound`, strictly ascending.
  template <class Tag>
  void ascending(std::vector<StrongInt<Tag, std::uint32_t>>& values, std::uint32_t bound) {
    const auto* field = next();
    if (error_ || !count_fits(field, values.size(), limits::kListItemsMax)) return;
    if (reading()) values.resize(count(field));
    for (std::size_t i = 0; i < values.size() && !error_; ++i) {
      repeated_number(field, i, values[i].value);
      if (values[i].value >= bound) refuse_number(field, bound - 1, values[i].value);
      require(i == 0 || values[i - 1] < values[i], field, "is not strictly ascending");
    }
  }

  void keys(std::vector<NodeId>& values, std::size_t items_max);

  /// A rule over several fields, named as a property of the whole message.
  void require(bool holds, const char* otherwise);

  std::optional<Error> take_error() && { return std::move(error_); }
  /// Every field was named: anything else is our bug.
  void finish() const;

 private:
  using Field = google::protobuf::FieldDescriptor;

  const Field* next();
  google::protobuf::Message& child(const Field* field);
  /// Reading: the item at `index`; writing: a new one.
  google::protobuf::Message& item(const Field* field, std::size_t index);
  std::size_t count(const Field* field) const;
  void repeated_number(const Field* field, std::size_t index, std::uint32_t& value);
  template <class T>
  void within(google::protobuf::Message& message, T& value) {
    FieldIo inner(direction_, message);
    describe(inner, value);
    inner.finish();
    if (inner.error_) error_ = inner.error_->within(name());
  }
  const std::string& name() const;
  bool count_fits(const Field* field, std::size_t writing, std::size_t items_max);
  void require(bool holds, const Field* field, const char* otherwise);
  void refuse(const Field* field, const std::string& why);
  void refuse_number(const Field* field, std::uint64_t max, std::uint64_t found);
  void refuse_size(const Field* field, std::size_t expected, std::size_t found);

  static std::uint64_t number_max(const Field* field);
  std::uint64_t get_number(const Field* field) const;
  void set_number(const Field* field, std::uint64_t value);
  const std::string& get_bytes(const Field* field);
  void set_bytes(const Field* field, ByteView value);

  const Direction direction_;
  google::protobuf::Message& message_;
  const google::protobuf::Descriptor& type_;
  const google::protobuf::Reflection& access_;
  std::string scratch_;
  int next_ = 0;
  std::optional<Error> error_;
};

}  // namespace coshard::wire
