// See manifest.h.
// SPDX-License-Identifier: Apache-2.0
#include "shard/data/manifest.h"

#include <array>
#include <utility>

#include "protocol/base/limits.h"
#include "shard/data/json.h"

namespace coshard::shard {
namespace {

constexpr std::string_view kFormatName = "coshard-manifest";
constexpr std::uint64_t kVersion = 1;
constexpr std::uint64_t kVocabMax = std::uint64_t{1} << 31;

constexpr std::array<std::pair<std::string_view, ShardFormat>, 3> kFormats{
    {{"flat", ShardFormat::kFlat},
     {"llm.c", ShardFormat::kLlmC},
     {"megatron", ShardFormat::kMegatron}}};
constexpr std::array<std::pair<std::string_view, DType>, 4> kTypes{
    {{"u8", DType::kU8}, {"u16", DType::kU16}, {"u32", DType::kU32}, {"i32", DType::kI32}}};

tl::unexpected<Error> invalid(std::string message) {
  return fail(ErrorCode::kInvalidArgument, std::move(message));
}

template <class Table>
auto value_of(const Table& table, std::string_view key, const std::string& name)
    -> Result<decltype(table[0].second)> {
  std::string known;
  for (const auto& [text, value] : table) {
    if (text == name) return value;
    known += (known.empty() ? "" : ", ") + std::string(text);
  }
  return invalid("\"" + std::string(key) + "\": expected one of " + known + "; found \"" + name +
                 "\"");
}

template <class Table, class Value>
std::string name_of(const Table& table, Value value) {
  for (const auto& [text, known] : table)
    if (known == value) return std::string(text);
  return "";
}

Result<Hash> hash_at(const Json& json) {
  COSHARD_ASSIGN(const std::string hex, json.string_at("sha256"));
  const auto bytes = from_hex(hex);
  const auto hash = bytes ? to_array<32>(*bytes) : std::nullopt;
  if (!hash) return invalid("\"sha256\": expected 64 lower-case hexadecimal digits, found " + hex);
  return *hash;
}

Result<ShardEntry> shard_of(const Json& json) {
  ShardEntry entry;
  COSHARD_ASSIGN(entry.path, json.string_at("path"));
  if (entry.path.empty() || entry.path.size() > limits::kTextBytesMax ||
      entry.path.find('\0') != std::string::npos)
    return invalid("\"path\": expected a file name of 1 to " +
                   std::to_string(limits::kTextBytesMax) + " bytes");
  if (entry.path.find("://") != std::string::npos)
    return invalid("\"path\": " + entry.path +
                   " is a URL; expected a local file: download the shard first");
  COSHARD_ASSIGN(entry.tokens, json.natural_at("tokens"));
  COSHARD_ASSIGN(entry.sha256, hash_at(json));
  return entry;
}

Result<TokenizerIdentity> tokenizer_of(const Json& manifest) {
  COSHARD_TRY(manifest.object_at("tokenizer"));
  const Json& json = *manifest.find("tokenizer");
  TokenizerIdentity identity;
  COSHARD_ASSIGN(identity.id, json.string_at("id"));
  COSHARD_ASSIGN(identity.sha256, hash_at(json));
  if (json.find("file") != nullptr) {
    COSHARD_ASSIGN(identity.file, json.string_at("file"));
  }
  return identity;
}

}  // namespace

std::uint64_t Manifest::tokens() const {
  std::uint64_t sum = 0;
  for (const ShardEntry& shard : shards) sum += shard.tokens;
  return sum;
}

DType token_dtype(std::int64_t vocab) { return vocab > 65'536 ? DType::kU32 : DType::kU16; }

Result<Manifest> parse_manifest(std::string_view text) {
  COSHARD_ASSIGN(const Json json, Json::parse(text));
  COSHARD_ASSIGN(const std::string kind, json.string_at("kind"));
  COSHARD_ASSIGN(const std::uint64_t version, json.natural_at("version"));
  if (kind != kFormatName || version != kVersion)
    return invalid("expected " + std::string(kFormatName) + " version " + std::to_string(kVersion) +
                   ", found " + kind + " version " + std::to_string(version));
  Manifest manifest;
  COSHARD_ASSIGN(const std::string format, json.string_at("format"));
  COSHARD_ASSIGN(manifest.format, value_of(kFormats, "format", format));
  COSHARD_ASSIGN(const std::string dtype, json.string_at("dtype"));
  COSHARD_ASSIGN(manifest.dtype, value_of(kTypes, "dtype", dtype));
  COSHARD_ASSIGN(const std::uint64_t vocab, json.natural_at("vocab"));
  if (vocab < 1 || vocab > kVocabMax)
    return invalid("\"vocab\": expected 1 to 2^31, found " + std::to_string(vocab));
  manifest.vocab = static_cast<std::int64_t>(vocab);
  COSHARD_ASSIGN(manifest.tokenizer, tokenizer_of(json));
  COSHARD_ASSIGN(const Json::Array* shards, json.array_at("shards"));
  if (shards->empty() || shards->size() > limits::kListItemsMax)
    return invalid("\"shards\": expected 1 to " + std::to_string(limits::kListItemsMax) +
                   ", found " + std::to_string(shards->size()));
  for (const Json& shard : *shards) {
    COSHARD_ASSIGN(ShardEntry entry, shard_of(shard));
    if (entry.tokens > (std::uint64_t{1} << 62) / limits::kListItemsMax)
      return invalid("\"tokens\": " + std::to_string(entry.tokens) + " is absurd");
    manifest.shards.push_back(std::move(entry));
  }
  return manifest;
}

std::string manifest_text(const Manifest& manifest) {
  Json::Object tokenizer{{"id", manifest.tokenizer.id},
                         {"sha256", to_hex(manifest.tokenizer.sha256)}};
  if (!manifest.tokenizer.file.empty()) tokenizer.emplace_back("file", manifest.tokenizer.file);
  Json::Array shards;
  for (const ShardEntry& shard : manifest.shards)
    shards.push_back(Json::Object{
        {"path", shard.path}, {"tokens", shard.tokens}, {"sha256", to_hex(shard.sha256)}});
  const Json json = Json::Object{{"kind", std::string(kFormatName)},
                                 {"version", kVersion},
                                 {"format", name_of(kFormats, manifest.format)},
                                 {"dtype", name_of(kTypes, manifest.dtype)},
                                 {"vocab", manifest.vocab},
                                 {"tokenizer", std::move(tokenizer)},
                                 {"shards", std::move(shards)}};
  return json.text(2) + "\n";
}

}  // namespace coshard::shard
