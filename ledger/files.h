// The few file operations of the ledger, behind an interface so that tests can fail or stop at each
// one. Used by the log's thread; readers anywhere.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string_view>
#include <vector>

#include "protocol/base/bytes.h"
#include "protocol/base/error.h"

namespace coshard::ledger {

/// A folder into which files are published.
class LogFolder {
 public:
  virtual ~LogFolder() = default;
  /// Makes `path` (relative, '/'-separated) hold exactly `bytes`, durably: temporary file in the
  /// same folder, fsync, rename, fsync of the folder. A reader sees the old file or the new one.
  virtual Result<void> write(std::string_view path, ByteView bytes) = 0;
  /// The file's bytes; kNotFound when there is none, kCorruption when it is longer than `max`.
  virtual Result<Bytes> read(std::string_view path, std::size_t max) const = 0;
  /// Removes a file; none being there is success.
  virtual Result<void> remove(std::string_view path) = 0;
  /// Relative paths of the regular files below `path`, sorted; links and devices are an error.
  virtual Result<std::vector<std::string>> list(std::string_view path) const = 0;
  /// For messages.
  virtual std::string describe(std::string_view path) const = 0;
};

/// A folder on disk, created on the first write.
class DiskFolder final : public LogFolder {
 public:
  explicit DiskFolder(std::filesystem::path root) : root_(std::move(root)) {}
  Result<void> write(std::string_view path, ByteView bytes) override;
  Result<Bytes> read(std::string_view path, std::size_t max) const override;
  Result<void> remove(std::string_view path) override;
  Result<std::vector<std::string>> list(std::string_view path) const override;
  std::string describe(std::string_view path) const override;

 private:
  std::filesystem::path root_;
};

/// Names that a write which was cut short may leave behind.
bool is_temporary(std::string_view path);

}  // namespace coshard::ledger
