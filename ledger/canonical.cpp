// SPDX-License-Identifier: Apache-2.0
#include "ledger/canonical.h"

#include <algorithm>

namespace coshard::ledger {
namespace {

constexpr std::uint64_t kWireNumber = 0;
constexpr std::uint64_t kWireBytes = 2;

void put_varint(Bytes& out, std::uint64_t value) {
  for (; value >= 0x80; value >>= 7) out.push_back(static_cast<std::uint8_t>(value | 0x80));
  out.push_back(static_cast<std::uint8_t>(value));
}

}  // namespace

void Encoder::number(std::uint32_t field, std::uint64_t value) {
  if (value == 0) return;
  put_varint(out_, std::uint64_t{field} << 3 | kWireNumber);
  put_varint(out_, value);
}

void Encoder::bytes(std::uint32_t field, ByteView value) {
  if (!value.empty()) element(field, value);
}

void Encoder::element(std::uint32_t field, ByteView value) {
  put_varint(out_, std::uint64_t{field} << 3 | kWireBytes);
  put_varint(out_, value.size());
  append(out_, value);
}

void Encoder::wide(std::uint32_t field, uint128_t value) {
  Bytes digits;
  for (; value != 0; value >>= 8) digits.push_back(static_cast<std::uint8_t>(value & 0xff));
  std::reverse(digits.begin(), digits.end());
  bytes(field, digits);
}

void Encoder::packed(std::uint32_t field, const std::vector<std::uint64_t>& values) {
  Bytes run;
  for (const std::uint64_t value : values) put_varint(run, value);
  bytes(field, run);
}

bool Decoder::varint(std::uint64_t& value) {
  value = 0;
  for (int shift = 0; shift < 64; shift += 7) {
    if (in_.empty()) return false;
    const std::uint8_t byte = in_.front();
    in_ = in_.subspan(1);
    value |= std::uint64_t{byte & 0x7fu} << shift;
    if (byte >= 0x80) continue;
    if (byte == 0 && shift > 0) canonical_ = false;
    return shift < 63 || byte <= 1;
  }
  return false;
}

void Decoder::advance() {
  const std::uint32_t previous = field_;
  field_ = 0;
  if (failed_ || in_.empty()) return;
  std::uint64_t key = 0;
  std::uint64_t value = 0;
  failed_ = !varint(key) || !varint(value) || key >> 3 == 0 || key >> 3 < previous ||
            key >> 3 > std::numeric_limits<std::uint32_t>::max();
  if (failed_) return;
  is_bytes_ = (key & 7) == kWireBytes;
  if (is_bytes_) {
    failed_ = value > in_.size();
    if (failed_) return;
    bytes_ = in_.first(static_cast<std::size_t>(value));
    in_ = in_.subspan(static_cast<std::size_t>(value));
  } else {
    failed_ = (key & 7) != kWireNumber;
    number_ = value;
  }
  field_ = static_cast<std::uint32_t>(key >> 3);
}

bool Decoder::at_number(std::uint32_t field) { return !failed_ && field_ == field && !is_bytes_; }

bool Decoder::at_bytes(std::uint32_t field) { return !failed_ && field_ == field && is_bytes_; }

/// A byte string or text; nothing where there is none.
ByteView Decoder::text(std::uint32_t field) {
  if (!at_bytes(field)) return {};
  const ByteView out = bytes_;
  if (out.empty()) canonical_ = false;
  advance();
  return out;
}

void Decoder::fixed(std::uint32_t field, std::span<std::uint8_t> to) {
  if (!at_bytes(field)) {
    canonical_ = false;
    return;
  }
  if (bytes_.size() != to.size()) {
    failed_ = true;
    return;
  }
  std::copy(bytes_.begin(), bytes_.end(), to.begin());
  advance();
}

void Decoder::wide(std::uint32_t field, uint128_t& value) {
  if (!at_bytes(field)) return;
  if (bytes_.size() > sizeof(uint128_t)) failed_ = true;
  if (bytes_.empty() || bytes_.front() == 0) canonical_ = false;
  for (const std::uint8_t byte : bytes_) value = value << 8 | byte;
  advance();
}

void Decoder::packed(std::uint32_t field, std::vector<std::uint64_t>& values) {
  if (!at_bytes(field)) return;
  if (bytes_.empty()) canonical_ = false;
  const ByteView rest = in_;
  in_ = bytes_;
  while (!in_.empty() && !failed_) {
    std::uint64_t value = 0;
    failed_ = !varint(value);
    values.push_back(value);
  }
  in_ = rest;
  advance();
}

}  // namespace coshard::ledger
