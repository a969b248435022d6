// See safetensors.h.
// SPDX-License-Identifier: Apache-2.0
#include "shard/checkpoint/safetensors.h"

#include <algorithm>
#include <array>

#include "protocol/base/check.h"
#include "protocol/base/failpoint.h"
#include "protocol/base/limits.h"
#include "shard/checkpoint/float_convert.h"
#include "shard/data/json.h"

namespace coshard::shard {
namespace {

constexpr std::size_t kLengthBytes = 8;
constexpr std::size_t kConvertStepBytes = std::size_t{1} << 20;

tl::unexpected<Error> corrupt(const std::filesystem::path& path, const std::string& message) {
  return fail(ErrorCode::kCorruption, path.string() + ": " + message);
}

/// What `torch.save` has written since 2020 (zip) and before (pickle protocol 2).
bool is_pickle(std::span<const std::uint8_t, kLengthBytes> start) {
  const bool zip = start[0] == 'P' && start[1] == 'K' && start[2] == 3 && start[3] == 4;
  return zip || (start[0] == 0x80 && start[1] >= 2 && start[1] <= 5 && start[2] != 0);
}

std::string header_text(std::span<const TensorSource> tensors, const SafetensorsMetadata& metadata,
                        const std::vector<std::uint64_t>& ends) {
  Json::Object header;
  if (!metadata.empty()) {
    Json::Object texts;
    for (const auto& [key, value] : metadata) texts.emplace_back(key, value);
    header.emplace_back("__metadata__", std::move(texts));
  }
  std::uint64_t begin = 0;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    Json::Array shape;
    for (const std::int64_t dimension : tensors[i].shape) shape.emplace_back(dimension);
    header.emplace_back(tensors[i].name,
                        Json::Object{{"dtype", std::string(to_string(tensors[i].type))},
                                     {"shape", std::move(shape)},
                                     {"data_offsets", Json::Array{begin, ends[i]}}});
    begin = ends[i];
  }
  std::string text = Json(std::move(header)).text();
  // The format lets spaces follow: the tensors begin aligned, for readers that map the file.
  text.resize((text.size() + 7) / 8 * 8, ' ');
  return text;
}

}  // namespace

SafetensorsFile::SafetensorsFile(ReadFile file, SafetensorsHeader header, std::uint64_t data_begin)
    : file_(std::move(file)), header_(std::move(header)), data_begin_(data_begin) {
  for (std::size_t i = 0; i < header_.tensors.size(); ++i)
    by_name_.emplace(header_.tensors[i].name, i);
}

Result<SafetensorsFile> SafetensorsFile::open(const std::filesystem::path& path,
                                              Symlinks symlinks) {
  COSHARD_ASSIGN(ReadFile file, ReadFile::open(path, symlinks));
  std::array<std::uint8_t, kLengthBytes> start{};
  if (file.size() < kLengthBytes) return corrupt(path, "too short to be a safetensors file");
  COSHARD_TRY(file.read_at(0, start));
  if (is_pickle(start))
    return corrupt(path, "it looks like a pickle (torch.save); expected a safetensors file");
  const auto length = get_le<std::uint64_t>(start);
  if (length > limits::kSafetensorsHeaderBytesMax || length > file.size() - kLengthBytes)
    return corrupt(path, "expected a header of at most " +
                             std::to_string(std::min<std::uint64_t>(
                                 limits::kSafetensorsHeaderBytesMax, file.size() - kLengthBytes)) +
                             " bytes, found " + std::to_string(length));
  Bytes text(static_cast<std::size_t>(length));
  COSHARD_TRY(file.read_at(kLengthBytes, text));
  const std::uint64_t data_begin = kLengthBytes + length;
  auto header = parse_safetensors_header(as_text(text), file.size() - data_begin);
  if (!header) return tl::unexpected(header.error().within(path.string()));
  return SafetensorsFile(std::move(file), std::move(*header), data_begin);
}

Result<const TensorEntry*> SafetensorsFile::find(std::string_view name) const {
  const auto found = by_name_.find(name);
  if (found != by_name_.end()) return &header_.tensors[found->second];
  return fail(ErrorCode::kNotFound, path().string() + ": it has no tensor " + std::string(name));
}

Result<void> SafetensorsFile::read_bytes(const TensorEntry& tensor, std::uint64_t offset,
                                         std::span<std::uint8_t> out) const {
  COSHARD_CHECK_OP(offset, <=, tensor.bytes());
  COSHARD_CHECK_OP(out.size(), <=, tensor.bytes() - offset);
  return file_.read_at(data_begin_ + tensor.begin + offset, out);
}

Result<void> SafetensorsFile::read_floats(const TensorEntry& tensor, std::uint64_t first,
                                          std::span<float> out) const {
  const std::size_t item = item_bytes(tensor.type);
  if (tensor.type == StorageType::kF32) {
    // In place: the file's bytes are the floats of a little-endian machine, the only kind that we
    // run on.
    return read_bytes(tensor, first * item,
                      {reinterpret_cast<std::uint8_t*>(out.data()), out.size_bytes()});
  }
  if (tensor.type != StorageType::kBF16 && tensor.type != StorageType::kF16)
    return fail(ErrorCode::kInvalidArgument, path().string() + ": tensor " + tensor.name +
                                                 ": expected floats, found " +
                                                 std::string(to_string(tensor.type)));
  Bytes halves(std::min(out.size() * item, kConvertStepBytes));
  while (!out.empty()) {
    const std::size_t count = std::min(out.size(), halves.size() / item);
    COSHARD_TRY(read_bytes(tensor, first * item, std::span(halves).first(count * item)));
    for (std::size_t i = 0; i < count; ++i) {
      const auto bits = get_le<std::uint16_t>(ByteView(halves).subspan(i * item, item));
      out[i] = tensor.type == StorageType::kBF16 ? float_of_bf16(bits) : float_of_f16(bits);
    }
    out = out.subspan(count);
    first += count;
  }
  return {};
}

Result<Hash> write_safetensors(const std::filesystem::path& path,
                               std::span<const TensorSource> tensors,
                               const SafetensorsMetadata& metadata) {
  std::vector<std::uint64_t> ends;
  std::uint64_t total = 0;
  for (const TensorSource& tensor : tensors) {
    total += element_count(tensor.shape).value() * item_bytes(tensor.type);
    ends.push_back(total);
  }
  const std::string header = header_text(tensors, metadata, ends);
  COSHARD_ASSIGN(AtomicFile file, AtomicFile::create(path));
  Bytes length;
  put_le(length, static_cast<std::uint64_t>(header.size()));
  COSHARD_TRY(file.write(length));
  COSHARD_TRY(file.write(as_bytes(header)));
  const std::uint64_t data_begin = file.size();
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    COSHARD_TRY(tensors[i].stream([&](ByteView bytes) { return file.write(bytes); }));
    COSHARD_FAILPOINT("checkpoint.half");
    if (file.size() - data_begin != ends[i])
      return fail(ErrorCode::kInternal, path.string() + ": tensor " + tensors[i].name +
                                            " did not have as many bytes as its shape says");
  }
  return file.publish();
}

}  // namespace coshard::shard
