// One description of each record's fields, used to write and to read.
// SPDX-License-Identifier: Apache-2.0
#include "node/coordinator/journal_record.h"

#include <algorithm>
#include <array>
#include <bit>
#include <type_traits>
#include <utility>

namespace coshard::node {

namespace {

constexpr std::uint8_t kRecordVersion = 1;

class Writer {
 public:
  template <class T>
  void integer(T value) {
    put_le(out_, value);
  }
  void raw(ByteView bytes) { append(out_, bytes); }
  std::uint32_t count(std::size_t size) {
    put_le(out_, static_cast<std::uint32_t>(size));
    return static_cast<std::uint32_t>(size);
  }
  Bytes take() { return std::move(out_); }
  static constexpr bool kReads = false;

 private:
  Bytes out_;
};

class Reader {
 public:
  explicit Reader(ByteView bytes) : left_(bytes) {}
  template <class T>
  void integer(T& value) {
    if (left_.size() < sizeof(T)) return refuse();
    value = get_le<T>(left_);
    left_ = left_.subspan(sizeof(T));
  }
  void raw(std::span<std::uint8_t> out) {
    if (left_.size() < out.size()) return refuse();
    std::copy_n(left_.begin(), out.size(), out.begin());
    left_ = left_.subspan(out.size());
  }
  /// Every item takes a byte at least, so a false count cannot ask for more memory than the record.
  std::uint32_t count(std::size_t) {
    std::uint32_t size = 0;
    integer(size);
    if (size <= left_.size()) return size;
    refuse();
    return 0;
  }
  void refuse() {
    good_ = false;
    left_ = {};
  }
  bool is_complete() const { return good_ && left_.empty(); }
  static constexpr bool kReads = true;

 private:
  ByteView left_;
  bool good_ = true;
};

template <class Archive, class Tag, class T>
void field(Archive& archive, StrongInt<Tag, T>& id) {
  archive.integer(id.value);
}
template <class Archive, class Tag>
void field(Archive& archive, StrongKey<Tag>& key) {
  archive.raw(key.bytes);
}
template <class Archive, std::size_t N>
void field(Archive& archive, std::array<std::uint8_t, N>& bytes) {
  archive.raw(bytes);
}
template <class Archive>
void field(Archive& archive, std::uint64_t& value) {
  archive.integer(value);
}
template <class Archive, class Bits, class Float>
void float_bits(Archive& archive, Float& value) {
  Bits bits = std::bit_cast<Bits>(value);
  archive.integer(bits);
  value = std::bit_cast<Float>(bits);
}
template <class Archive>
void field(Archive& archive, float& value) {
  float_bits<Archive, std::uint32_t>(archive, value);
}
template <class Archive>
void field(Archive& archive, double& value) {
  float_bits<Archive, std::uint64_t>(archive, value);
}
template <class Archive>
void field(Archive& archive, bool& value) {
  std::uint8_t byte = value ? 1 : 0;
  archive.integer(byte);
  if constexpr (Archive::kReads) {
    if (byte > 1) archive.refuse();
    value = byte == 1;
  }
}
template <class Archive>
void field(Archive& archive, EndReason& reason) {
  auto byte = static_cast<std::uint8_t>(reason);
  archive.integer(byte);
  if constexpr (Archive::kReads) {
    if (byte > static_cast<std::uint8_t>(EndReason::kInternal)) archive.refuse();
    reason = static_cast<EndReason>(byte);
  }
}
template <class Archive>
void field(Archive& archive, std::string& text) {
  text.resize(archive.count(text.size()));
  archive.raw({reinterpret_cast<std::uint8_t*>(text.data()), text.size()});
}

template <class Archive, class... Fields>
void all(Archive& archive, Fields&... fields) {
  (field(archive, fields), ...);
}

template <class Archive>
void field(Archive& archive, round::UnitRecord& unit) {
  all(archive, unit.stage, unit.microbatch, unit.attempt, unit.node);
}
template <class Archive>
void field(Archive& archive, round::StageCheckpoint& stage) {
  all(archive, stage.file_hash, stage.bytes);
}
template <class Archive>
void field(Archive& archive, ShardFile& file) {
  all(archive, file.step, file.stage, file.file_hash, file.bytes);
}
template <class Archive, class Item>
void field(Archive& archive, std::vector<Item>& items) {
  items.resize(archive.count(items.size()));
  for (Item& item : items) field(archive, item);
}
template <class Archive>
void field(Archive& archive, CommitScalars& scalars) {
  all(archive, scalars.step, scalars.learning_rate, scalars.step_size, scalars.decay_factor,
      scalars.sqrt_bias_correction2, scalars.beta1, scalars.one_minus_beta1, scalars.beta2,
      scalars.one_minus_beta2, scalars.eps, scalars.clip_factor, scalars.skip,
      scalars.fingerprint_key);
}

template <class Archive>
void fields(Archive& archive, round::RoundOpened& record) {
  all(archive, record.generation);
}
template <class Archive>
void fields(Archive& archive, round::NodeAssigned& record) {
  all(archive, record.node, record.stage, record.replica, record.incarnation);
}
template <class Archive>
void fields(Archive& archive, round::StepRecord& record) {
  all(archive, record.scalars, record.ledger_epoch, record.ends_ledger_epoch, record.checkpoint,
      record.loss_sum, record.tokens, record.grad_norm, record.seconds, record.units);
}
template <class Archive>
void fields(Archive& archive, round::EpochClosed& record) {
  all(archive, record.epoch);
}
template <class Archive>
void fields(Archive& archive, round::CheckpointRecord& record) {
  all(archive, record.step, record.stages);
}
template <class Archive>
void fields(Archive& archive, round::RolledBack& record) {
  all(archive, record.to_step, record.next_epoch);
}
template <class Archive>
void fields(Archive& archive, round::RoundEnded& record) {
  all(archive, record.reason, record.text, record.last_step, record.resumable_step);
}

template <class Archive>
void fields(Archive& archive, round::NodeGone& record) {
  all(archive, record.node);
}
template <class Archive>
void fields(Archive& archive, round::DigestsAgreed& record) {
  all(archive, record.step, record.digests);
}
template <class Archive>
void fields(Archive& archive, round::RoundEnding& record) {
  all(archive, record.end.reason, record.end.last_step, record.end.checkpoint, record.end.text);
}

template <class Archive>
void fields(Archive& archive, round::ShardKept& record) {
  all(archive, record.sealed, record.keeper);
}

template <std::size_t Kind = 0>
bool read_kind(std::size_t kind, Reader& reader, round::JournalRecord& record) {
  if constexpr (Kind == std::variant_size_v<round::JournalRecord>) {
    return false;
  } else {
    if (kind != Kind) return read_kind<Kind + 1>(kind, reader, record);
    std::variant_alternative_t<Kind, round::JournalRecord> value;
    fields(reader, value);
    record = std::move(value);
    return true;
  }
}

}  // namespace

Bytes encode_record(const round::JournalRecord& record) {
  Writer writer;
  writer.integer(kRecordVersion);
  writer.integer(static_cast<std::uint8_t>(record.index()));
  round::JournalRecord copy = record;  // the description takes references that reading fills
  std::visit([&](auto& value) { fields(writer, value); }, copy);
  return writer.take();
}

Result<round::JournalRecord> decode_record(ByteView bytes) {
  if (bytes.size() < 2 || bytes[0] != kRecordVersion)
    return fail(ErrorCode::kCorruption, "expected a journal record of version " +
                                            std::to_string(kRecordVersion) + ", found " +
                                            (bytes.empty() ? "none" : std::to_string(bytes[0])));
  Reader reader(bytes.subspan(2));
  round::JournalRecord record;
  if (!read_kind(bytes[1], reader, record))
    return fail(ErrorCode::kCorruption,
                "unknown kind " + std::to_string(bytes[1]) + " of journal record");
  if (!reader.is_complete())
    return fail(ErrorCode::kCorruption, "a journal record of kind " + std::to_string(bytes[1]) +
                                            " is malformed or has the wrong length");
  return record;
}

Result<std::vector<round::JournalRecord>> decode_records(std::span<const Bytes> records) {
  std::vector<round::JournalRecord> decoded;
  decoded.reserve(records.size());
  for (const Bytes& bytes : records) {
    auto record = decode_record(bytes);
    if (!record)
      return tl::unexpected(record.error().within("record " + std::to_string(decoded.size() + 1)));
    decoded.push_back(std::move(*record));
  }
  return decoded;
}

}  // namespace coshard::node
