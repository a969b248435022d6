// SPDX-License-Identifier: Apache-2.0
#include "protocol/wire/field_io.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <cmath>

#include "protocol/base/check.h"
#include "protocol/wire/clean_text.h"

namespace coshard::wire {
FieldIo::FieldIo(Direction direction, google::protobuf::Message& message)
    : direction_(direction),
      message_(message),
      type_(*message.GetDescriptor()),
      access_(*message.GetReflection()) {}

void FieldIo::finish() const { COSHARD_CHECK(error_.has_value() || next_ == type_.field_count()); }

const FieldIo::Field* FieldIo::next() { return type_.field(next_++); }

const std::string& FieldIo::name() const { return type_.name(); }

google::protobuf::Message& FieldIo::child(const Field* field) {
  return *access_.MutableMessage(&message_, field);
}

google::protobuf::Message& FieldIo::item(const Field* field, std::size_t index) {
  return reading() ? *access_.MutableRepeatedMessage(&message_, field, static_cast<int>(index))
                   : *access_.AddMessage(&message_, field);
}

std::size_t FieldIo::count(const Field* field) const {
  return static_cast<std::size_t>(access_.FieldSize(message_, field));
}

void FieldIo::repeated_number(const Field* field, std::size_t index, std::uint32_t& value) {
  reading() ? void(value = access_.GetRepeatedUInt32(message_, field, static_cast<int>(index)))
            : access_.AddUInt32(&message_, field, value);
}

void FieldIo::flag(bool& value) {
  const auto* field = next();
  if (error_) return;
  reading() ? void(value = access_.GetBool(message_, field))
            : access_.SetBool(&message_, field, value);
}

void FieldIo::real(double& value) {
  const auto* field = next();
  if (error_) return;
  reading() ? void(value = access_.GetDouble(message_, field))
            : access_.SetDouble(&message_, field, value);
}

void FieldIo::magnitude(double& value) {
  real(value);
  if (!error_) require(!(value < 0), type_.field(next_ - 1), "is negative");
}

void FieldIo::finite(float& value) {
  const auto* field = next();
  if (error_) return;
  if (reading()) value = access_.GetFloat(message_, field);
  require(std::isfinite(value), field, "is not finite");
  if (!reading() && !error_) access_.SetFloat(&message_, field, value);
}

void FieldIo::text(std::string& value) {
  const auto* field = next();
  if (error_) return;
  if (!reading()) return access_.SetString(&message_, field, clean_text(value));
  value = get_bytes(field);  // clean: prescan() looked
}

void FieldIo::blob(Bytes& value, std::size_t bytes_max) {
  const auto* field = next();
  if (error_) return;
  const ByteView raw = reading() ? as_bytes(get_bytes(field)) : ByteView(value);
  if (raw.size() > bytes_max) return refuse_size(field, bytes_max, raw.size());
  reading() ? void(value = to_bytes(raw)) : set_bytes(field, value);
}

void FieldIo::magnitudes(std::vector<double>& values) {
  const auto* field = next();
  if (error_ || !count_fits(field, values.size(), limits::kListItemsMax)) return;
  if (reading()) values.resize(count(field));
  for (std::size_t i = 0; i < values.size() && !error_; ++i) {
    reading() ? void(values[i] = access_.GetRepeatedDouble(message_, field, static_cast<int>(i)))
              : access_.AddDouble(&message_, field, values[i]);
    require(!(values[i] < 0), field, "is negative");
  }
}

void FieldIo::shape(std::vector<std::int64_t>& values) {
  const auto* field = next();
  if (error_ || !count_fits(field, values.size(), limits::kDimensionsMax)) return;
  if (reading()) values.resize(count(field));
  for (std::size_t i = 0; i < values.size() && !error_; ++i) {
    if (reading()) {
      values[i] = static_cast<std::int64_t>(
          access_.GetRepeatedUInt64(message_, field, static_cast<int>(i)));
    } else {
      access_.AddUInt64(&message_, field, static_cast<std::uint64_t>(values[i]));
    }
    require(values[i] >= 0, field, "has a negative dimension");
  }
}

void FieldIo::keys(std::vector<NodeId>& values, std::size_t items_max) {
  const auto* field = next();
  if (error_ || !count_fits(field, values.size(), items_max)) return;
  if (reading()) values.resize(count(field));
  for (std::size_t i = 0; i < values.size() && !error_; ++i) {
    if (!reading()) {
      access_.AddString(&message_, field, std::string(as_text(values[i].view())));
      continue;
    }
    const std::string& raw =
        access_.GetRepeatedStringReference(message_, field, static_cast<int>(i), &scratch_);
    if (raw.size() != values[i].bytes.size()) return refuse_size(field, 32, raw.size());
    std::memcpy(values[i].bytes.data(), raw.data(), raw.size());
  }
}

void FieldIo::require(bool holds, const char* otherwise) {
  if (!holds && !error_) {
    error_ = Error{ErrorCode::kInvalidArgument, type_.name() + " " + otherwise};
  }
}

bool FieldIo::count_fits(const Field* field, std::size_t writing, std::size_t items_max) {
  const std::size_t items = reading() ? count(field) : writing;
  if (items <= items_max) return true;
  refuse(field,
         "has " + std::to_string(items) + " items; expected at most " + std::to_string(items_max));
  return false;
}

void FieldIo::require(bool holds, const Field* field, const char* otherwise) {
  if (!holds) refuse(field, otherwise);
}

void FieldIo::refuse(const Field* field, const std::string& why) {
  if (!error_) {
    error_ = Error{ErrorCode::kInvalidArgument, type_.name() + "." + field->name() + " " + why};
  }
}

void FieldIo::refuse_number(const Field* field, std::uint64_t max, std::uint64_t found) {
  refuse(field, "is " + std::to_string(found) + "; expected at most " + std::to_string(max));
}

void FieldIo::refuse_size(const Field* field, std::size_t expected, std::size_t found) {
  refuse(field, "has " + std::to_string(found) + " bytes; expected " + std::to_string(expected));
}

std::uint64_t FieldIo::number_max(const Field* field) {
  return field->type() == Field::TYPE_UINT32 ? std::numeric_limits<std::uint32_t>::max() : kAny;
}

std::uint64_t FieldIo::get_number(const Field* field) const {
  return field->type() == Field::TYPE_UINT32 ? access_.GetUInt32(message_, field)
                                             : access_.GetUInt64(message_, field);
}

void FieldIo::set_number(const Field* field, std::uint64_t value) {
  field->type() == Field::TYPE_UINT32
      ? access_.SetUInt32(&message_, field, static_cast<std::uint32_t>(value))
      : access_.SetUInt64(&message_, field, value);
}

const std::string& FieldIo::get_bytes(const Field* field) {
  return access_.GetStringReference(message_, field, &scratch_);
}

void FieldIo::set_bytes(const Field* field, ByteView value) {
  access_.SetString(&message_, field, std::string(as_text(value)));
}

}  // namespace coshard::wire
