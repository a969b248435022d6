// See shard_file.h.
// SPDX-License-Identifier: Apache-2.0
#include "shard/data/shard_file.h"

#include <algorithm>

#include "protocol/base/limits.h"

namespace coshard::shard {
namespace {

namespace fs = std::filesystem;

Result<ShardHeader> parse_header(ShardFormat format, DType flat_dtype, const ReadFile& file) {
  if (format == ShardFormat::kLlmC) {
    Bytes header(std::min<std::uint64_t>(kLlmCHeaderBytes, file.size()));
    COSHARD_TRY(file.read_at(0, header));
    return parse_llm_c_header(header);
  }
  if (format == ShardFormat::kMegatron) {
    const fs::path index = fs::path(file.path()).replace_extension(".idx");
    COSHARD_ASSIGN(const Bytes bytes,
                   read_whole(index, limits::kTokenIndexBytesMax, Symlinks::kFollow));
    return parse_megatron_index(bytes, file.size());
  }
  return ShardHeader{flat_dtype, file.size() / item_bytes(flat_dtype), 0};
}

tl::unexpected<Error> corrupt(const ReadFile& file, const std::string& message) {
  return fail(ErrorCode::kCorruption, "data shard " + file.path().string() + ": " + message);
}

}  // namespace

Result<ShardHeader> read_shard_header(ShardFormat format, DType flat_dtype, const ReadFile& file) {
  const auto header = parse_header(format, flat_dtype, file);
  if (!header) return corrupt(file, header.error().message);
  const std::uint64_t bytes = header->data_offset + header->tokens * item_bytes(header->dtype);
  if (bytes != file.size())
    return corrupt(file, "expected " + std::to_string(bytes) + " bytes for " +
                             std::to_string(header->tokens) + " tokens, found " +
                             std::to_string(file.size()));
  return header;
}

Result<ShardFile> open_shard(const Manifest& manifest, const ShardEntry& entry,
                             const fs::path& folder) {
  auto opened = ReadFile::open(folder / entry.path, Symlinks::kFollow);
  if (!opened) return tl::unexpected(opened.error().within("data shard"));
  ReadFile file = std::move(*opened);
  COSHARD_ASSIGN(const ShardHeader header,
                 read_shard_header(manifest.format, manifest.dtype, file));
  if (header.dtype != manifest.dtype)
    return corrupt(file, "its header has another token type than the manifest's dtype");
  if (header.tokens != entry.tokens)
    return corrupt(file, "expected " + std::to_string(entry.tokens) + " tokens, found " +
                             std::to_string(header.tokens));
  COSHARD_ASSIGN(const Hash hash, file.hash());
  if (hash != entry.sha256)
    return corrupt(file, "expected SHA-256 " + to_hex(entry.sha256) + ", found " + to_hex(hash));
  return ShardFile{std::move(file), header};
}

}  // namespace coshard::shard
