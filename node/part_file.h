// A file that comes over the network in pieces, in any order within a window: what has come without
// a gap lies beside it under another name, so that a copy that was broken off goes on where it
// ended, and nothing has the file's name before its hash is right. Any one thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <fstream>
#include <map>
#include <string>

#include "protocol/base/bytes.h"
#include "protocol/base/error.h"
#include "protocol/base/ids.h"
#include "protocol/base/tensor_blob.h"

namespace coshard::node {

class PartFile {
 public:
  /// Goes on with what is there of `part`, unless that is longer than `bytes_max`.
  /// kResourceExhausted: it cannot be written.
  static Result<PartFile> open(const std::filesystem::path& part, std::uint64_t bytes_max);

  /// Bytes from the start that have come without a gap.
  std::uint64_t size() const { return size_; }
  /// A piece that was not taken before. kResourceExhausted: it cannot be written.
  Result<void> take(std::uint64_t offset, SharedBytes bytes);
  /// All has come; nothing is taken any more.
  Result<void> close();

  /// Gives `part` the name `file`. kCorruption when its SHA-256 is not `wanted`: it is removed.
  /// Reads the whole file; any thread, after close().
  static Result<void> accept(const std::filesystem::path& part, const std::filesystem::path& file,
                             const Hash& wanted);
  /// Forgets what has come.
  static void discard(const std::filesystem::path& part);
  /// "FILE.part"; or "FILE.WHOSE.part", where several may copy the same file at once.
  static std::filesystem::path part_of(const std::filesystem::path& file,
                                       const std::string& whose = "") {
    return file.string() + (whose.empty() ? "" : "." + whose) + ".part";
  }
  /// Whether a file of that name is what part_of() makes of `file`, whosever.
  static bool is_part_of(const std::string& name, const std::string& file) {
    return name.starts_with(file + ".") && name.ends_with(".part");
  }

 private:
  PartFile(std::filesystem::path part, std::uint64_t size);
  Result<void> cannot_write() const;

  std::filesystem::path part_;
  std::ofstream out_;
  std::uint64_t size_ = 0;
  std::map<std::uint64_t, SharedBytes> early_;  ///< behind a gap
};

}  // namespace coshard::node
