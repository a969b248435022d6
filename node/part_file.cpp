// See part_file.h.
// SPDX-License-Identifier: Apache-2.0
#include "node/part_file.h"

#include "shard/data/file.h"

namespace coshard::node {

namespace fs = std::filesystem;

Result<PartFile> PartFile::open(const fs::path& part, std::uint64_t bytes_max) {
  std::error_code ec;
  fs::create_directories(part.parent_path(), ec);
  const auto there = fs::file_size(part, ec);
  PartFile opened(part, ec || there > bytes_max ? 0 : there);
  if (!opened.out_) return tl::unexpected<Error>(opened.cannot_write().error());
  return opened;
}

PartFile::PartFile(fs::path part, std::uint64_t size)
    : part_(std::move(part)),
      out_(part_, std::ios::binary | (size == 0 ? std::ios::trunc : std::ios::app)),
      size_(size) {}

Result<void> PartFile::cannot_write() const {
  return fail(ErrorCode::kResourceExhausted,
              part_.string() + ": cannot be written; is the disk full?");
}

Result<void> PartFile::take(std::uint64_t offset, SharedBytes bytes) {
  early_.emplace(offset, std::move(bytes));
  while (!early_.empty() && early_.begin()->first == size_) {
    const Bytes& next = *early_.begin()->second;
    out_.write(reinterpret_cast<const char*>(next.data()),
               static_cast<std::streamsize>(next.size()));
    size_ += next.size();
    early_.erase(early_.begin());
  }
  return out_ ? Result<void>{} : cannot_write();
}

Result<void> PartFile::close() {
  out_.close();
  return out_ ? Result<void>{} : cannot_write();
}

void PartFile::discard(const fs::path& part) {
  std::error_code ignored;
  fs::remove(part, ignored);
}

Result<void> PartFile::accept(const fs::path& part, const fs::path& file, const Hash& wanted) {
  std::error_code ec;
  {
    COSHARD_ASSIGN(const shard::ReadFile read,
                   shard::ReadFile::open(part, shard::Symlinks::kRefuse));
    COSHARD_ASSIGN(const Hash found, read.hash());
    if (found != wanted) {
      discard(part);
      return fail(ErrorCode::kCorruption, "expected the state that the ledger recorded (SHA-256 " +
                                              to_hex(wanted) + "), its holders sent " +
                                              to_hex(found));
    }
  }
  fs::rename(part, file, ec);
  if (ec)
    return fail(ErrorCode::kResourceExhausted,
                file.string() + ": cannot be written: " + ec.message());
  return {};
}

}  // namespace coshard::node
