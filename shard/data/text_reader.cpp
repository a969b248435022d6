// See text_reader.h.
// SPDX-License-Identifier: Apache-2.0
#include "shard/data/text_reader.h"

#include <fcntl.h>
#include <zlib.h>

#include <algorithm>

#include "protocol/base/limits.h"
#include "shard/data/file.h"

namespace coshard::shard {

struct TextReader::Stream {
  explicit Stream(gzFile opened) : file(opened) {}
  Stream(const Stream&) = delete;
  ~Stream() { ::gzclose(file); }
  gzFile file;
};

Result<TextReader> TextReader::open(const std::filesystem::path& path) {
  // Opening through ReadFile gives its messages and its check for a regular file.
  COSHARD_ASSIGN(const ReadFile file, ReadFile::open(path, Symlinks::kFollow));
  gzFile stream = ::gzopen(path.c_str(), "rbe");
  if (stream == nullptr) return fail(ErrorCode::kUnavailable, path.string() + ": cannot be opened");
  ::gzbuffer(stream, 1U << 17);
  return TextReader(path, std::make_unique<Stream>(stream), file.size());
}

TextReader::TextReader(std::filesystem::path path, std::unique_ptr<Stream> stream,
                       std::uint64_t bytes_total)
    : path_(std::move(path)), stream_(std::move(stream)), bytes_total_(bytes_total) {}
TextReader::TextReader(TextReader&&) noexcept = default;
TextReader::~TextReader() = default;

std::uint64_t TextReader::bytes_read() const {
  return static_cast<std::uint64_t>(std::max<z_off_t>(0, ::gzoffset(stream_->file)));
}

Result<std::string> TextReader::next() {
  const std::size_t kept = buffer_.size();
  buffer_.resize(limits::kTextPieceBytesMax);
  std::size_t filled = kept;
  while (filled < buffer_.size()) {
    const int got = ::gzread(stream_->file, buffer_.data() + filled,
                             static_cast<unsigned>(buffer_.size() - filled));
    int error = Z_OK;
    const char* reason = ::gzerror(stream_->file, &error);
    // Z_BUF_ERROR with nothing read is how zlib says that the compressed data ends early.
    if (got < 0 || (error != Z_OK && error != Z_STREAM_END))
      return fail(ErrorCode::kCorruption,
                  path_.string() + ": damaged or incomplete gzip data: " + reason);
    if (got == 0) break;
    filled += static_cast<std::size_t>(got);
  }
  const bool at_end = filled < buffer_.size();
  buffer_.resize(filled);
  std::size_t cut = filled;
  if (!at_end) {
    const std::size_t line_feed = buffer_.rfind('\n');
    if (line_feed != std::string::npos) {
      cut = line_feed + 1;
    } else {
      // At most three continuation bytes belong to the character that the end may have split.
      const auto continues = [&](std::size_t i) {
        return (static_cast<unsigned char>(buffer_[i]) & 0xC0U) == 0x80U;
      };
      for (int back = 0; back < 3 && cut > 1 && continues(cut - 1); ++back) --cut;
      --cut;
    }
  }
  std::string piece = buffer_.substr(0, cut);
  buffer_.erase(0, cut);
  return piece;
}

}  // namespace coshard::shard
