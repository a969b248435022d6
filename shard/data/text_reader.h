// Text files as a stream of pieces, plain or compressed with gzip (so also dictzip's .dict.dz). The
// only user of zlib.
// One thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include "protocol/base/error.h"

namespace coshard::shard {

class TextReader {
 public:
  /// kNotFound, kPermissionDenied, kInvalidArgument (not a regular file).
  static Result<TextReader> open(const std::filesystem::path& path);
  TextReader(TextReader&&) noexcept;
  ~TextReader();

  /// The next piece of at most limits::kTextPieceBytesMax bytes; empty at the end. A piece ends
  /// after the last line feed that fits, or, in a longer line, before a UTF-8 character; so the cut
  /// depends on the text alone. kCorruption naming the file when its compressed data is damaged or
  /// ends early.
  Result<std::string> next();

  /// Bytes of the file, as stored, that have been read, and its size: for progress.
  std::uint64_t bytes_read() const;
  std::uint64_t bytes_total() const { return bytes_total_; }

 private:
  struct Stream;
  TextReader(std::filesystem::path path, std::unique_ptr<Stream> stream, std::uint64_t bytes_total);

  std::filesystem::path path_;
  std::unique_ptr<Stream> stream_;
  std::uint64_t bytes_total_;
  std::string buffer_;  ///< read but not yet handed out
};

}  // namespace coshard::shard
