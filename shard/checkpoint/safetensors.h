// safetensors files: an 8-byte little-endian header length, a JSON header, the tensors' bytes.
// Written as a stream, so that a stage is never copied whole, and only ever complete; read with
// every bound checked before anything is allocated. Pickles are refused. SafetensorsFile is
// immutable: any thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "protocol/base/bytes.h"
#include "protocol/base/error.h"
#include "protocol/base/tensor_blob.h"
#include "shard/data/file.h"

namespace coshard::shard {

/// Element types that we read; we write kF32 and kBF16.
enum class StorageType { kF32, kF16, kBF16, kI64, kI32, kU8 };

std::size_t item_bytes(StorageType type);
/// As in the file: "F32", "BF16", ...
std::string_view to_string(StorageType type);

/// One tensor of a file. `begin` and `end` are byte offsets in the data part.
struct TensorEntry {
  std::string name;
  StorageType type = StorageType::kF32;
  Shape shape;
  std::uint64_t begin = 0;
  std::uint64_t end = 0;

  std::uint64_t bytes() const { return end - begin; }
  std::uint64_t elements() const { return bytes() / item_bytes(type); }
};

using SafetensorsMetadata = std::map<std::string, std::string>;

struct SafetensorsHeader {
  std::vector<TensorEntry> tensors;  ///< in the order of their bytes
  SafetensorsMetadata metadata;
};

/// The JSON header of a file whose data part has `data_bytes` bytes. kCorruption unless every
/// tensor has a known type, a shape whose product matches its bytes, and the tensors fill the data
/// part one after the other exactly.
Result<SafetensorsHeader> parse_safetensors_header(std::string_view json, std::uint64_t data_bytes);

class SafetensorsFile {
 public:
  /// kNotFound, kPermissionDenied (a symbolic link where none may be), kCorruption for everything
  /// about the bytes.
  static Result<SafetensorsFile> open(const std::filesystem::path& path,
                                      Symlinks symlinks = Symlinks::kRefuse);

  const std::vector<TensorEntry>& tensors() const { return header_.tensors; }
  const SafetensorsMetadata& metadata() const { return header_.metadata; }
  const std::filesystem::path& path() const { return file_.path(); }
  /// The tensor of that name; kNotFound naming file and tensor.
  Result<const TensorEntry*> find(std::string_view name) const;

  /// Raw bytes [offset, offset + out.size()) of a tensor of this file.
  Result<void> read_bytes(const TensorEntry& tensor, std::uint64_t offset,
                          std::span<std::uint8_t> out) const;
  /// Elements [first, first + out.size()) as fp32: kF32 as they are, kBF16 and kF16 widened
  /// exactly; kInvalidArgument for integers.
  Result<void> read_floats(const TensorEntry& tensor, std::uint64_t first,
                           std::span<float> out) const;
  /// SHA-256 of the whole file.
  Result<Hash> hash() const { return file_.hash(); }

 private:
  SafetensorsFile(ReadFile file, SafetensorsHeader header, std::uint64_t data_begin);

  ReadFile file_;
  SafetensorsHeader header_;
  std::uint64_t data_begin_;
  std::map<std::string, std::size_t, std::less<>> by_name_;
};

/// Takes the next bytes of a tensor.
using ByteSink = std::function<Result<void>(ByteView)>;

/// A tensor to be written: `stream` hands its bytes to the sink, row-major and little-endian, in as
/// many pieces as it likes.
struct TensorSource {
  std::string name;
  StorageType type = StorageType::kF32;
  Shape shape;
  std::function<Result<void>(const ByteSink&)> stream;
};

/// Writes all tensors in the order given; the SHA-256 of the file. Complete and durable under
/// `path`, or an error that names it and no file (kResourceExhausted: disk full). A stream that
/// yields another number of bytes than its shape says is kInternal.
Result<Hash> write_safetensors(const std::filesystem::path& path,
                               std::span<const TensorSource> tensors,
                               const SafetensorsMetadata& metadata);

}  // namespace coshard::shard
