// Files as this folder uses them: positional reads with every bound checked, and writes that either
// appear complete and durable under their name or not at all. One thread per AtomicFile; ReadFile
// is immutable, any thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <utility>

#include "crypto/hash.h"
#include "protocol/base/bytes.h"
#include "protocol/base/error.h"

namespace coshard::shard {

/// Whether the last component of a path may be a symbolic link. What a peer or another process
/// could have planted is opened with kRefuse; what the user named, with kFollow.
enum class Symlinks { kFollow, kRefuse };

/// An owned file descriptor.
class Descriptor {
 public:
  explicit Descriptor(int fd = -1) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Descriptor();
  int get() const { return fd_; }
  int release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

/// A regular file open for reading. Its size is that at opening.
class ReadFile {
 public:
  /// kNotFound, kPermissionDenied (rights, or a symbolic link where none may be), kInvalidArgument
  /// (not a regular file), kUnavailable.
  static Result<ReadFile> open(const std::filesystem::path& path, Symlinks symlinks);

  const std::filesystem::path& path() const { return path_; }
  std::uint64_t size() const { return size_; }
  /// Fills `out` from byte `offset`. kCorruption when the file ends before.
  Result<void> read_at(std::uint64_t offset, std::span<std::uint8_t> out) const;
  /// SHA-256 of the whole file.
  Result<Hash> hash() const;

 private:
  ReadFile(std::filesystem::path path, Descriptor descriptor, std::uint64_t size)
      : path_(std::move(path)), descriptor_(std::move(descriptor)), size_(size) {}

  std::filesystem::path path_;
  Descriptor descriptor_;
  std::uint64_t size_;
};

/// The whole file, if it has at most `bytes_max` bytes; kInvalidArgument naming it otherwise.
Result<Bytes> read_whole(const std::filesystem::path& path, std::size_t bytes_max,
                         Symlinks symlinks);

/// A file that appears under its name complete and durable, or not at all: written to a temporary
/// file of this process next to it, fsynced, renamed, folder fsynced. The temporary file goes with
/// the object unless published.
class AtomicFile {
 public:
  /// kNotFound, kPermissionDenied, kResourceExhausted (no space), kUnavailable; all name the file.
  static Result<AtomicFile> create(const std::filesystem::path& path);
  AtomicFile(AtomicFile&& other) noexcept;
  AtomicFile& operator=(AtomicFile&&) = delete;
  ~AtomicFile();

  /// Appends. kResourceExhausted when the disk is full.
  Result<void> write(ByteView bytes);
  std::uint64_t size() const { return size_; }
  /// Makes the file durable under its name; the SHA-256 of its bytes. Call once.
  Result<Hash> publish();

 private:
  AtomicFile(std::filesystem::path path, std::filesystem::path temporary, Descriptor descriptor)
      : path_(std::move(path)),
        temporary_(std::move(temporary)),
        descriptor_(std::move(descriptor)) {}

  std::filesystem::path path_;
  std::filesystem::path temporary_;  ///< empty once published or moved from
  Descriptor descriptor_;
  crypto::Sha256 hash_;
  std::uint64_t size_ = 0;
};

/// Makes durable which names lie beside `path`, its own included.
Result<void> sync_folder_of(const std::filesystem::path& path);

/// AtomicFile in one call.
Result<Hash> write_atomically(const std::filesystem::path& path, ByteView bytes);

}  // namespace coshard::shard
