// SPDX-License-Identifier: Apache-2.0
#include "protocol/wire/prescan.h"

#include <google/protobuf/descriptor.h>

#include <limits>
#include <optional>

#include "protocol/base/limits.h"
#include "protocol/wire/clean_text.h"

namespace coshard::wire {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;

enum WireType : std::uint32_t { kVarint = 0, kFixed64 = 1, kLength = 2, kFixed32 = 5 };

WireType wire_type_of(const FieldDescriptor& field) {
  if (field.is_packed()) return kLength;
  switch (field.type()) {
    case FieldDescriptor::TYPE_DOUBLE:
      return kFixed64;
    case FieldDescriptor::TYPE_FLOAT:
      return kFixed32;
    case FieldDescriptor::TYPE_MESSAGE:
    case FieldDescriptor::TYPE_STRING:
    case FieldDescriptor::TYPE_BYTES:
      return kLength;
    default:
      return kVarint;
  }
}

// A cursor over bytes that never reads past their end.
class Scanner {
 public:
  Result<void> message(const Descriptor& type, ByteView bytes, std::size_t depth) {
    if (depth > limits::kBodyDepthMax) return refuse(type, "is nested too deep");
    std::uint64_t seen = 0;  // field numbers are under 64: checked below
    while (!bytes.empty()) {
      const auto tag = varint(bytes);
      if (!tag) return refuse(type, "ends or has a malformed number within a tag");
      const FieldDescriptor* field =
          *tag >> 3 < 64 ? type.FindFieldByNumber(static_cast<int>(*tag >> 3)) : nullptr;
      if (field == nullptr) return refuse(type, "has an unknown field");
      if ((*tag & 7) != wire_type_of(*field)) return refuse(*field, "has a foreign wire type");
      const std::uint64_t bit = std::uint64_t{1} << (*tag >> 3);
      const bool many = field->is_repeated() && !field->is_packed();
      if (!many && (seen & bit) != 0) return refuse(*field, "occurs twice");
      seen |= bit;
      COSHARD_TRY(value(*field, bytes, depth));
    }
    return {};
  }

 private:
  template <class Named>
  static tl::unexpected<Error> refuse(const Named& what, const char* why) {
    return fail(ErrorCode::kInvalidArgument, what.name() + " " + why);
  }

  // Consumes a minimal varint of at most 64 bits.
  static std::optional<std::uint64_t> varint(ByteView& bytes) {
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < 10 && i < bytes.size(); ++i) {
      const std::uint8_t byte = bytes[i];
      if (i == 9 && byte > 1) return std::nullopt;
      value |= static_cast<std::uint64_t>(byte & 0x7F) << (7 * i);
      if ((byte & 0x80) != 0) continue;
      if (byte == 0 && i > 0) return std::nullopt;
      bytes = bytes.subspan(i + 1);
      return value;
    }
    return std::nullopt;
  }

  Result<void> value(const FieldDescriptor& field, ByteView& bytes, std::size_t depth) {
    switch (wire_type_of(field)) {
      case kVarint:
        return number(field, bytes);
      case kFixed32:
        return skip(field, bytes, 4);
      case kFixed64:
        return skip(field, bytes, 8);
      case kLength:
        break;
    }
    const auto length = varint(bytes);
    if (!length || *length > bytes.size()) return refuse(field, "is longer than its message");
    const ByteView inside = bytes.first(static_cast<std::size_t>(*length));
    bytes = bytes.subspan(inside.size());
    if (field.is_packed()) return packed(field, inside);
    if (field.is_repeated() && ++items_ > limits::kBodyItemsMax) {
      return refuse(field, "has too many items");
    }
    // Protobuf would refuse broken UTF-8 too, but with a log line that any peer could cause.
    if (field.type() == FieldDescriptor::TYPE_STRING &&
        clean_text(as_text(inside)) != as_text(inside)) {
      return refuse(field, "is too long, or has control characters or broken UTF-8");
    }
    if (field.message_type() == nullptr) return {};
    return message(*field.message_type(), inside, depth + 1);
  }

  // Protobuf would cut a number that is too wide for its field down to its lower bits.
  static Result<void> number(const FieldDescriptor& field, ByteView& bytes) {
    const auto value = varint(bytes);
    if (!value) return refuse(field, "is cut short or malformed");
    const bool narrow = field.type() == FieldDescriptor::TYPE_UINT32;
    const std::uint64_t max = field.type() == FieldDescriptor::TYPE_BOOL ? 1
                              : narrow ? std::numeric_limits<std::uint32_t>::max()
                                       : std::numeric_limits<std::uint64_t>::max();
    return *value <= max ? Result<void>() : refuse(field, "is too large");
  }

  static Result<void> packed(const FieldDescriptor& field, ByteView bytes) {
    if (field.type() == FieldDescriptor::TYPE_DOUBLE) {
      return bytes.size() % 8 == 0 ? Result<void>() : refuse(field, "is cut short");
    }
    while (!bytes.empty()) COSHARD_TRY(number(field, bytes));
    return {};
  }

  static Result<void> skip(const FieldDescriptor& field, ByteView& bytes, std::size_t count) {
    if (bytes.size() < count) return refuse(field, "is cut short");
    bytes = bytes.subspan(count);
    return {};
  }

  std::size_t items_ = 0;
};

}  // namespace

Result<void> prescan(const Descriptor& type, ByteView bytes) {
  return Scanner().message(type, bytes, 1);
}

}  // namespace coshard::wire
