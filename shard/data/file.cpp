// See file.h.
// SPDX-License-Identifier: Apache-2.0
#include "shard/data/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <string>
#include <system_error>

namespace coshard::shard {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kHashStepBytes = std::size_t{1} << 20;
constexpr int kTemporaryNamesTried = 16;

ErrorCode code_of(int error) {
  switch (error) {
    case ENOENT:
    case ENOTDIR:
      return ErrorCode::kNotFound;
    case EACCES:
    case EPERM:
    case ELOOP:
    case EROFS:
      return ErrorCode::kPermissionDenied;
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
      return ErrorCode::kResourceExhausted;
    default:
      return ErrorCode::kUnavailable;
  }
}

tl::unexpected<Error> fail_errno(const fs::path& path, std::string_view doing, int error) {
  const std::string reason = error == ELOOP ? "it is a symbolic link, expected a file"
                                            : std::generic_category().message(error);
  return fail(code_of(error), path.string() + ": " + std::string(doing) + ": " + reason);
}

}  // namespace

Result<void> sync_folder_of(const fs::path& path) {
  const fs::path folder = path.has_parent_path() ? path.parent_path() : fs::path(".");
  const Descriptor descriptor(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (descriptor.get() < 0 || ::fsync(descriptor.get()) != 0)
    return fail_errno(folder, "making the folder durable", errno);
  return {};
}

Descriptor::~Descriptor() {
  if (fd_ >= 0) ::close(fd_);
}

Result<ReadFile> ReadFile::open(const fs::path& path, Symlinks symlinks) {
  const int link_flag = symlinks == Symlinks::kRefuse ? O_NOFOLLOW : 0;
  // Non-blocking, so that a named pipe in the file's place is refused below instead of waited for.
  Descriptor descriptor(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | link_flag));
  if (descriptor.get() < 0) return fail_errno(path, "opening", errno);
  struct stat status {};
  if (::fstat(descriptor.get(), &status) != 0) return fail_errno(path, "opening", errno);
  if (!S_ISREG(status.st_mode))
    return fail(ErrorCode::kInvalidArgument, path.string() + ": expected a regular file");
  return ReadFile(path, std::move(descriptor), static_cast<std::uint64_t>(status.st_size));
}

Result<void> ReadFile::read_at(std::uint64_t offset, std::span<std::uint8_t> out) const {
  if (offset > size_ || out.size() > size_ - offset)
    return fail(ErrorCode::kCorruption,
                path_.string() + ": expected " + std::to_string(out.size()) + " bytes at " +
                    std::to_string(offset) + ", the file has " + std::to_string(size_));
  while (!out.empty()) {
    const ssize_t got =
        ::pread(descriptor_.get(), out.data(), out.size(), static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail_errno(path_, "reading", errno);
    if (got == 0)
      return fail(ErrorCode::kCorruption, path_.string() + ": it became shorter while open");
    out = out.subspan(static_cast<std::size_t>(got));
    offset += static_cast<std::uint64_t>(got);
  }
  return {};
}

Result<Hash> ReadFile::hash() const {
  crypto::Sha256 sha;
  Bytes buffer(static_cast<std::size_t>(std::min<std::uint64_t>(size_, kHashStepBytes)));
  for (std::uint64_t at = 0; at < size_;) {
    const auto step = static_cast<std::size_t>(std::min<std::uint64_t>(buffer.size(), size_ - at));
    COSHARD_TRY(read_at(at, std::span(buffer).first(step)));
    sha.update(ByteView(buffer).first(step));
    at += step;
  }
  return sha.finish();
}

Result<Bytes> read_whole(const fs::path& path, std::size_t bytes_max, Symlinks symlinks) {
  COSHARD_ASSIGN(const ReadFile file, ReadFile::open(path, symlinks));
  if (file.size() > bytes_max)
    return fail(ErrorCode::kInvalidArgument, path.string() + ": expected at most " +
                                                 std::to_string(bytes_max) + " bytes, found " +
                                                 std::to_string(file.size()));
  Bytes bytes(static_cast<std::size_t>(file.size()));
  COSHARD_TRY(file.read_at(0, bytes));
  return bytes;
}

Result<AtomicFile> AtomicFile::create(const fs::path& path) {
  static std::atomic<std::uint64_t> counter{0};
  for (int attempt = 0;; ++attempt) {
    fs::path temporary = path;
    temporary += ".tmp." + std::to_string(::getpid()) + "." + std::to_string(counter++);
    Descriptor descriptor(
        ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644));
    if (descriptor.get() >= 0) return AtomicFile(path, std::move(temporary), std::move(descriptor));
    // A leftover of an earlier process with our number: take the next name.
    if (errno != EEXIST || attempt == kTemporaryNamesTried)
      return fail_errno(path, "creating", errno);
  }
}

AtomicFile::AtomicFile(AtomicFile&& other) noexcept
    : path_(std::move(other.path_)),
      temporary_(std::exchange(other.temporary_, {})),
      descriptor_(std::move(other.descriptor_)),
      hash_(other.hash_),
      size_(other.size_) {}

AtomicFile::~AtomicFile() {
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

Result<void> AtomicFile::write(ByteView bytes) {
  hash_.update(bytes);
  size_ += bytes.size();
  while (!bytes.empty()) {
    const ssize_t put = ::write(descriptor_.get(), bytes.data(), bytes.size());
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return fail_errno(path_, "writing", errno);
    bytes = bytes.subspan(static_cast<std::size_t>(put));
  }
  return {};
}

Result<Hash> AtomicFile::publish() {
  if (::fsync(descriptor_.get()) != 0) return fail_errno(path_, "making it durable", errno);
  if (::close(descriptor_.release()) != 0) return fail_errno(path_, "closing", errno);
  if (::rename(temporary_.c_str(), path_.c_str()) != 0)
    return fail_errno(path_, "renaming into place", errno);
  temporary_.clear();
  COSHARD_TRY(sync_folder_of(path_));
  return hash_.finish();
}

Result<Hash> write_atomically(const fs::path& path, ByteView bytes) {
  COSHARD_ASSIGN(AtomicFile file, AtomicFile::create(path));
  COSHARD_TRY(file.write(bytes));
  return file.publish();
}

}  // namespace coshard::shard
