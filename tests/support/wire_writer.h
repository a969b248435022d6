// Protobuf's wire format by hand, right or wrong as asked: what an attacker writes, and what the
// codec's bytes are compared with.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstring>

#include "protocol/base/bytes.h"

namespace coshard::testing {

class WireWriter {
 public:
  WireWriter& varint(std::uint64_t value) {
    for (; value >= 0x80; value >>= 7) bytes_.push_back(static_cast<std::uint8_t>(value | 0x80));
    bytes_.push_back(static_cast<std::uint8_t>(value));
    return *this;
  }
  WireWriter& tag(std::uint32_t field, std::uint32_t wire_type) {
    return varint(std::uint64_t{field} << 3 | wire_type);
  }
  WireWriter& number(std::uint32_t field, std::uint64_t value) {
    return tag(field, 0).varint(value);
  }
  WireWriter& fixed64(std::uint32_t field, double value) {
    std::uint64_t bits = 0;
    std::memcpy(&bits, &value, sizeof bits);
    tag(field, 1);
    put_le(bytes_, bits);
    return *this;
  }
  WireWriter& fixed32(std::uint32_t field, float value) {
    std::uint32_t bits = 0;
    std::memcpy(&bits, &value, sizeof bits);
    tag(field, 5);
    put_le(bytes_, bits);
    return *this;
  }
  WireWriter& bytes(std::uint32_t field, ByteView value) {
    tag(field, 2).varint(value.size());
    append(bytes_, value);
    return *this;
  }
  WireWriter& bytes(std::uint32_t field, const WireWriter& nested) {
    return bytes(field, nested.view());
  }
  WireWriter& raw(std::initializer_list<std::uint8_t> more) {
    bytes_.insert(bytes_.end(), more);
    return *this;
  }
  ByteView view() const { return bytes_; }

 private:
  Bytes bytes_;
};

}  // namespace coshard::testing
