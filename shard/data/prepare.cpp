// See prepare.h.
// SPDX-License-Identifier: Apache-2.0
#include "shard/data/prepare.h"

#include <algorithm>
#include <cstdio>
#include <optional>
#include <system_error>

#include "shard/data/file.h"
#include "shard/data/shard_file.h"
#include "shard/data/text_reader.h"
#include "shard/data/tokenizer.h"

namespace coshard::shard {
namespace {

namespace fs = std::filesystem;

tl::unexpected<Error> invalid(std::string message) {
  return fail(ErrorCode::kInvalidArgument, std::move(message));
}

/// Cuts a stream of tokens into shard files.
class ShardWriter {
 public:
  ShardWriter(fs::path folder, DType dtype, std::uint64_t shard_tokens)
      : folder_(std::move(folder)), dtype_(dtype), shard_tokens_(shard_tokens) {}

  Result<void> append(std::span<const std::uint32_t> tokens) {
    while (!tokens.empty()) {
      if (!file_) COSHARD_TRY(begin_shard());
      const auto count = static_cast<std::size_t>(
          std::min<std::uint64_t>(tokens.size(), shard_tokens_ - in_shard_));
      COSHARD_TRY(write(tokens.first(count)));
      tokens = tokens.subspan(count);
      if (in_shard_ == shard_tokens_) COSHARD_TRY(end_shard());
    }
    return {};
  }

  Result<std::vector<ShardEntry>> finish() {
    if (file_) COSHARD_TRY(end_shard());
    return std::move(entries_);
  }

 private:
  Result<void> begin_shard() {
    char name[32];
    std::snprintf(name, sizeof name, "shard-%05zu.bin", entries_.size());
    COSHARD_ASSIGN(AtomicFile file, AtomicFile::create(folder_ / name));
    file_.emplace(std::move(file));
    name_ = name;
    in_shard_ = 0;
    return {};
  }

  Result<void> write(std::span<const std::uint32_t> tokens) {
    bytes_.clear();
    for (const std::uint32_t token : tokens) {
      if (dtype_ == DType::kU16)
        put_le(bytes_, static_cast<std::uint16_t>(token));
      else
        put_le(bytes_, token);
    }
    in_shard_ += tokens.size();
    return file_->write(bytes_);
  }

  Result<void> end_shard() {
    COSHARD_ASSIGN(const Hash hash, file_->publish());
    entries_.push_back({name_, in_shard_, hash});
    file_.reset();
    return {};
  }

  fs::path folder_;
  DType dtype_;
  std::uint64_t shard_tokens_;
  std::optional<AtomicFile> file_;
  std::string name_;
  std::uint64_t in_shard_ = 0;
  Bytes bytes_;
  std::vector<ShardEntry> entries_;
};

Result<void> check_options(const PrepareOptions& options) {
  if (options.inputs.empty()) return invalid("data prepare: expected at least one input file");
  if (options.out.empty()) return invalid("data prepare: expected an output folder");
  if (options.shard_tokens < 1) return invalid("data prepare: expected shards of at least 1 token");
  return {};
}

/// All inputs are opened before anything is written, so that a misspelt name costs nothing.
Result<std::vector<TextReader>> open_inputs(const PrepareOptions& options) {
  std::vector<TextReader> readers;
  for (const fs::path& input : options.inputs) {
    COSHARD_ASSIGN(TextReader reader, TextReader::open(input));
    readers.push_back(std::move(reader));
  }
  return readers;
}

Result<TokenizerIdentity> write_tokenizer(const Tokenizer& tokenizer, const fs::path& folder) {
  TokenizerIdentity identity{tokenizer.id(), "", tokenizer_hash(tokenizer)};
  if (tokenizer.model().empty()) return identity;
  identity.file = "tokenizer.model";
  COSHARD_TRY(write_atomically(folder / identity.file, tokenizer.model()));
  return identity;
}

/// Tokenises one input to its end and adds its bytes of text to `text_bytes`.
Result<void> append_document(TextReader& reader, const Tokenizer& tokenizer, ShardWriter& writer,
                             PrepareProgress& done, std::uint64_t& text_bytes,
                             const PrepareProgressFn& progress) {
  const std::uint64_t read_before = done.bytes_read;
  std::vector<std::uint32_t> tokens;
  while (true) {
    COSHARD_ASSIGN(const std::string piece, reader.next());
    tokens.clear();
    if (!piece.empty()) COSHARD_TRY(tokenizer.encode(piece, tokens));
    if (piece.empty() && tokenizer.end_of_document())
      tokens.push_back(*tokenizer.end_of_document());
    COSHARD_TRY(writer.append(tokens));
    text_bytes += piece.size();
    done.tokens += tokens.size();
    done.bytes_read = read_before + (piece.empty() ? reader.bytes_total() : reader.bytes_read());
    if (progress) progress(done);
    if (piece.empty()) return {};
  }
}

}  // namespace

Result<PrepareReport> prepare(const PrepareOptions& options, const PrepareProgressFn& progress) {
  COSHARD_TRY(check_options(options));
  COSHARD_ASSIGN(const auto tokenizer, make_tokenizer(options.tokenizer));
  COSHARD_ASSIGN(std::vector<TextReader> readers, open_inputs(options));
  std::error_code failure;
  fs::create_directories(options.out, failure);
  if (failure)
    return fail(ErrorCode::kPermissionDenied,
                options.out.string() + ": cannot be made: " + failure.message());

  PrepareReport report;
  report.manifest.vocab = tokenizer->vocab();
  report.manifest.dtype = token_dtype(tokenizer->vocab());
  PrepareProgress done;
  for (const TextReader& reader : readers) done.bytes_total += reader.bytes_total();
  ShardWriter writer(options.out, report.manifest.dtype, options.shard_tokens);
  for (TextReader& reader : readers)
    COSHARD_TRY(append_document(reader, *tokenizer, writer, done, report.text_bytes, progress));
  if (report.text_bytes == 0)
    return invalid("data prepare: expected text, found only empty files, first " +
                   options.inputs[0].string());
  COSHARD_ASSIGN(report.manifest.shards, writer.finish());
  COSHARD_ASSIGN(report.manifest.tokenizer, write_tokenizer(*tokenizer, options.out));
  report.manifest_path = options.out / "manifest.json";
  COSHARD_TRY(write_atomically(report.manifest_path, as_bytes(manifest_text(report.manifest))));
  return report;
}

Result<Manifest> adopt_shards(ShardFormat format, const std::vector<fs::path>& shards,
                              std::int64_t vocab, const std::string& tokenizer_id) {
  if (shards.empty()) return invalid("expected at least one shard");
  Manifest manifest;
  manifest.format = format;
  manifest.vocab = vocab;
  manifest.dtype = token_dtype(vocab);
  manifest.tokenizer = {tokenizer_id, "", crypto::sha256(as_bytes(tokenizer_id))};
  for (const fs::path& path : shards) {
    COSHARD_ASSIGN(const ReadFile file, ReadFile::open(path, Symlinks::kFollow));
    COSHARD_ASSIGN(const ShardHeader header, read_shard_header(format, manifest.dtype, file));
    if (manifest.shards.empty()) manifest.dtype = header.dtype;
    if (header.dtype != manifest.dtype)
      return invalid(path.string() + ": expected the same token type in all shards");
    COSHARD_ASSIGN(const Hash hash, file.hash());
    manifest.shards.push_back({fs::absolute(path).string(), header.tokens, hash});
  }
  return manifest;
}

}  // namespace coshard::shard
