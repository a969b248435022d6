// SPDX-License-Identifier: Apache-2.0
#include "ledger/files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <set>
#include <system_error>

namespace coshard::ledger {
namespace {

namespace fs = std::filesystem;
constexpr std::string_view kTemporary = ".tmp";

tl::unexpected<Error> failed(const std::string& what, int reason) {
  const ErrorCode code = reason == ENOSPC || reason == EDQUOT  ? ErrorCode::kResourceExhausted
                         : reason == ENOENT                    ? ErrorCode::kNotFound
                         : reason == EACCES || reason == EROFS ? ErrorCode::kPermissionDenied
                                                               : ErrorCode::kUnavailable;
  return fail(code, what + ": " + std::generic_category().message(reason));
}

class Descriptor {
 public:
  Descriptor(const fs::path& path, int flags, mode_t mode = 0)
      : value_(::open(path.c_str(), flags | O_CLOEXEC, mode)) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (value_ >= 0) ::close(value_);
  }
  bool is_open() const { return value_ >= 0; }
  int get() const { return value_; }

 private:
  int value_;
};

class RealFileSystem final : public FileSystem {
 public:
  Result<void> write_and_sync(const fs::path& path, ByteView bytes) override;
  Result<void> sync_folder(const fs::path& path) override;
  Result<void> rename(const fs::path& from, const fs::path& to) override;
  Result<void> unlink(const fs::path& path) override;
  bool is_folder(const fs::path& path) const override;
  Result<void> make_folder(const fs::path& path) override;
  Result<Bytes> read(const fs::path& path, std::size_t max) const override;
  Result<std::vector<std::string>> list(const fs::path& root, std::string_view path) const override;
};

Result<void> RealFileSystem::write_and_sync(const fs::path& path, ByteView bytes) {
  const Descriptor file(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0644);
  if (!file.is_open()) return failed("cannot create " + path.string(), errno);
  while (!bytes.empty()) {
    const ssize_t written = ::write(file.get(), bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return failed("cannot write " + path.string(), errno);
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
  if (::fsync(file.get()) != 0) return failed("cannot sync " + path.string(), errno);
  return {};
}

Result<void> RealFileSystem::sync_folder(const fs::path& path) {
  const Descriptor folder(path, O_RDONLY | O_DIRECTORY);
  if (!folder.is_open() || ::fsync(folder.get()) != 0) {
    return failed("cannot sync " + path.string(), errno);
  }
  return {};
}

Result<void> RealFileSystem::rename(const fs::path& from, const fs::path& to) {
  if (::rename(from.c_str(), to.c_str()) == 0) return {};
  return failed("cannot rename " + from.string(), errno);
}

Result<void> RealFileSystem::unlink(const fs::path& path) {
  if (::unlink(path.c_str()) == 0 || errno == ENOENT) return {};
  return failed("cannot remove " + path.string(), errno);
}

bool RealFileSystem::is_folder(const fs::path& path) const {
  std::error_code error;
  return fs::is_directory(path, error);
}

Result<void> RealFileSystem::make_folder(const fs::path& path) {
  if (::mkdir(path.c_str(), 0755) == 0 || errno == EEXIST) return {};
  return failed("cannot create " + path.string(), errno);
}

Result<Bytes> RealFileSystem::read(const fs::path& source, std::size_t max) const {
  const Descriptor file(source, O_RDONLY | O_NOFOLLOW);
  if (!file.is_open()) return failed("cannot read " + source.string(), errno);
  struct stat status {};
  if (::fstat(file.get(), &status) != 0) return failed("cannot read " + source.string(), errno);
  if (!S_ISREG(status.st_mode) || static_cast<std::uint64_t>(status.st_size) > max) {
    return fail(ErrorCode::kCorruption, source.string() + ": a regular file of at most " +
                                            std::to_string(max) + " bytes was expected");
  }
  Bytes out(static_cast<std::size_t>(status.st_size));
  std::size_t used = 0;
  while (used < out.size()) {
    const ssize_t got = ::read(file.get(), out.data() + used, out.size() - used);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return failed("cannot read " + source.string(), errno);
    if (got == 0) break;
    used += static_cast<std::size_t>(got);
  }
  out.resize(used);
  return out;
}

Result<std::vector<std::string>> RealFileSystem::list(const fs::path& root,
                                                      std::string_view path) const {
  std::vector<std::string> out;
  std::error_code error;
  fs::recursive_directory_iterator at(root / path, error);
  if (error == std::errc::no_such_file_or_directory) return out;
  for (; !error && at != fs::recursive_directory_iterator(); at.increment(error)) {
    const fs::file_status status = at->symlink_status(error);
    const std::string name = at->path().lexically_relative(root).generic_string();
    if (fs::is_regular_file(status)) {
      out.push_back(name);
    } else if (!fs::is_directory(status)) {
      return fail(ErrorCode::kCorruption,
                  (root / name).string() + ": neither a regular file nor a folder");
    }
  }
  if (error) return failed("cannot list " + (root / path).string(), error.value());
  std::sort(out.begin(), out.end());
  return out;
}

/// Creates missing folders and makes their names durable, outermost first.
Result<void> make_folders(FileSystem& files, const fs::path& path) {
  if (path.empty() || files.is_folder(path)) return {};
  COSHARD_TRY(make_folders(files, path.parent_path()));
  COSHARD_TRY(files.make_folder(path));
  return files.sync_folder(path.has_parent_path() ? path.parent_path() : fs::path("."));
}

}  // namespace

FileSystem& real_file_system() {
  static RealFileSystem files;
  return files;
}

Result<void> LogFolder::write_all(std::vector<PublicFile> files) {
  for (const PublicFile& file : files) COSHARD_TRY(write(file.path, file.bytes));
  return {};
}

bool is_temporary(std::string_view path) { return path.ends_with(kTemporary); }

std::string DiskFolder::describe(std::string_view path) const { return (root_ / path).string(); }

fs::path DiskFolder::temporary_of(std::string_view path) const {
  return (root_ / path).string() + std::string(kTemporary);
}

Result<void> DiskFolder::write_temporary(std::string_view path, ByteView bytes) {
  const fs::path temporary = temporary_of(path);
  COSHARD_TRY(make_folders(*files_, temporary.parent_path()));
  auto written = files_->write_and_sync(temporary, bytes);
  if (!written) (void)files_->unlink(temporary);
  return written;
}

Result<void> DiskFolder::write(std::string_view path, ByteView bytes) {
  COSHARD_TRY(write_temporary(path, bytes));
  COSHARD_TRY(files_->rename(temporary_of(path), root_ / path));
  return files_->sync_folder((root_ / path).parent_path());
}

/// Renames come after all syncs of bytes, and each folder is synced once: on a journalling disk
/// that is a third of the time.
Result<void> DiskFolder::write_all(std::vector<PublicFile> files) {
  std::set<fs::path> folders;
  for (const PublicFile& file : files) COSHARD_TRY(write_temporary(file.path, file.bytes));
  for (const PublicFile& file : files) {
    COSHARD_TRY(files_->rename(temporary_of(file.path), root_ / file.path));
    folders.insert((root_ / file.path).parent_path());
  }
  for (const fs::path& folder : folders) COSHARD_TRY(files_->sync_folder(folder));
  return {};
}

Result<Bytes> DiskFolder::read(std::string_view path, std::size_t max) const {
  return files_->read(root_ / path, max);
}

Result<void> DiskFolder::remove(std::string_view path) { return files_->unlink(root_ / path); }

Result<std::vector<std::string>> DiskFolder::list(std::string_view path) const {
  return files_->list(root_, path);
}

}  // namespace coshard::ledger
