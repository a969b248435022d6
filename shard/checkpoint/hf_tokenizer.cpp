// See hf_tokenizer.h.
// SPDX-License-Identifier: Apache-2.0
#include "shard/checkpoint/hf_tokenizer.h"

#include "shard/data/file.h"
#include "shard/data/json.h"

namespace coshard::shard {
namespace {

/// UTF-8 of a code point below U+0800, as byte-level BPE needs.
std::string utf8(std::uint32_t code) {
  if (code < 0x80) return std::string(1, static_cast<char>(code));
  return {static_cast<char>(0xC0U | (code >> 6)), static_cast<char>(0x80U | (code & 0x3FU))};
}

/// GPT-2's printable stand-ins: bytes that are visible Latin-1 characters stand for themselves, the
/// others, in order, for U+0100 and up.
Json::Object byte_vocabulary() {
  Json::Object vocabulary;
  std::uint32_t next = 256;
  for (std::uint32_t byte = 0; byte < 256; ++byte) {
    const bool visible = (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte != 0xAD);
    vocabulary.emplace_back(utf8(visible ? byte : next++), std::uint64_t{byte});
  }
  return vocabulary;
}

Json byte_level(bool use_regex) {
  return Json::Object{{"type", "ByteLevel"},
                      {"add_prefix_space", false},
                      {"trim_offsets", true},
                      {"use_regex", use_regex}};
}

}  // namespace

std::string byte_tokenizer_json() {
  Json::Object model{{"type", "BPE"},
                     {"dropout", Json()},
                     {"unk_token", Json()},
                     {"continuing_subword_prefix", Json()},
                     {"end_of_word_suffix", Json()},
                     {"fuse_unk", false},
                     {"byte_fallback", false},
                     {"vocab", byte_vocabulary()},
                     {"merges", Json::Array{}}};
  const Json json = Json::Object{{"version", "1.0"},         {"truncation", Json()},
                                 {"padding", Json()},        {"added_tokens", Json::Array{}},
                                 {"normalizer", Json()},     {"pre_tokenizer", byte_level(false)},
                                 {"post_processor", Json()}, {"decoder", byte_level(true)},
                                 {"model", std::move(model)}};
  return json.text(1) + "\n";
}

Result<void> write_hf_tokenizer(const Tokenizer& tokenizer, std::int64_t sequence,
                                const std::filesystem::path& folder) {
  const bool bytes = tokenizer.model().empty();
  Json::Object config{{"tokenizer_class", bytes ? "PreTrainedTokenizerFast" : "LlamaTokenizer"},
                      {"model_max_length", sequence},
                      {"clean_up_tokenization_spaces", false}};
  if (!bytes) {
    config.emplace_back("add_bos_token", false);
    config.emplace_back("add_eos_token", false);
  }
  COSHARD_TRY(write_atomically(folder / "tokenizer_config.json",
                               as_bytes(Json(std::move(config)).text(2) + "\n")));
  if (bytes) {
    COSHARD_TRY(write_atomically(folder / "tokenizer.json", as_bytes(byte_tokenizer_json())));
  } else {
    COSHARD_TRY(write_atomically(folder / "tokenizer.model", tokenizer.model()));
  }
  return {};
}

}  // namespace coshard::shard
