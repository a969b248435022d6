// The few file operations of the ledger, behind an interface so that tests can fail or stop at each
// one. Used by the log's thread; readers anywhere.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/base/bytes.h"
#include "protocol/base/error.h"

namespace coshard::ledger {

/// A file that is published: where, relative to the folder and '/'-separated, and what it holds.
struct PublicFile {
  std::string path;
  Bytes bytes;
  bool operator==(const PublicFile&) const = default;
};

/// A folder into which files are published.
class LogFolder {
 public:
  virtual ~LogFolder() = default;
  /// Makes `path` (relative, '/'-separated) hold exactly `bytes`, durably: temporary file in the
  /// same folder, fsync, rename, fsync of the folder. A reader sees the old file or the new one.
  virtual Result<void> write(std::string_view path, ByteView bytes) = 0;
  /// The same for several files, in any order: durable when all of it is done.
  virtual Result<void> write_all(std::vector<PublicFile> files);
  /// The file's bytes; kNotFound when there is none, kCorruption when it is longer than `max`.
  virtual Result<Bytes> read(std::string_view path, std::size_t max) const = 0;
  /// Removes a file; none being there is success.
  virtual Result<void> remove(std::string_view path) = 0;
  /// Relative paths of the regular files below `path`, sorted; links and devices are an error.
  virtual Result<std::vector<std::string>> list(std::string_view path) const = 0;
  /// For messages.
  virtual std::string describe(std::string_view path) const = 0;
};

/// What DiskFolder asks of the operating system, so that a test can put a disk below it that loses
/// its power (tests/support/virtual_disk.h). Errors carry the path.
class FileSystem {
 public:
  virtual ~FileSystem() = default;
  /// Creates or empties the file, writes all of it and syncs it; its name is not durable yet.
  virtual Result<void> write_and_sync(const std::filesystem::path& path, ByteView bytes) = 0;
  /// Makes names in this folder durable.
  virtual Result<void> sync_folder(const std::filesystem::path& path) = 0;
  virtual Result<void> rename(const std::filesystem::path& from,
                              const std::filesystem::path& to) = 0;
  /// None being there is success.
  virtual Result<void> unlink(const std::filesystem::path& path) = 0;
  virtual bool is_folder(const std::filesystem::path& path) const = 0;
  /// One level; one being there is success.
  virtual Result<void> make_folder(const std::filesystem::path& path) = 0;
  virtual Result<Bytes> read(const std::filesystem::path& path, std::size_t max) const = 0;
  /// As LogFolder::list, relative to `root`.
  virtual Result<std::vector<std::string>> list(const std::filesystem::path& root,
                                                std::string_view path) const = 0;
};
FileSystem& real_file_system();

/// A folder on disk, created on the first write.
class DiskFolder final : public LogFolder {
 public:
  explicit DiskFolder(std::filesystem::path root, FileSystem& files = real_file_system())
      : root_(std::move(root)), files_(&files) {}
  Result<void> write(std::string_view path, ByteView bytes) override;
  Result<void> write_all(std::vector<PublicFile> files) override;
  Result<Bytes> read(std::string_view path, std::size_t max) const override;
  Result<void> remove(std::string_view path) override;
  Result<std::vector<std::string>> list(std::string_view path) const override;
  std::string describe(std::string_view path) const override;

 private:
  std::filesystem::path temporary_of(std::string_view path) const;
  Result<void> write_temporary(std::string_view path, ByteView bytes);

  std::filesystem::path root_;
  FileSystem* files_;
};

/// Names that a write which was cut short may leave behind.
bool is_temporary(std::string_view path);

}  // namespace coshard::ledger
