// Bytes of token shards as llm.c, modded-nanogpt and Megatron write them.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "protocol/base/bytes.h"

namespace coshard::shard {

inline Bytes llm_c_header(std::uint32_t magic, std::uint32_t version, std::uint32_t tokens) {
  Bytes header;
  put_le(header, magic);
  put_le(header, version);
  put_le(header, tokens);
  header.resize(1024);
  return header;
}

/// `code` is Megatron's number of the token type: 1 uint8, 4 int32, 8 uint16, 6 float64.
inline Bytes megatron_index(std::uint8_t code, const std::vector<std::uint32_t>& lengths) {
  const std::uint64_t item = code == 1 ? 1 : code == 4 ? 4 : code == 6 ? 8 : 2;
  Bytes index{'M', 'M', 'I', 'D', 'I', 'D', 'X', 0, 0};
  put_le(index, std::uint64_t{1});
  index.push_back(code);
  put_le(index, std::uint64_t{lengths.size()});
  put_le(index, std::uint64_t{lengths.size() + 1});
  for (const std::uint32_t length : lengths) put_le(index, length);
  std::uint64_t at = 0;
  for (const std::uint32_t length : lengths) {
    put_le(index, at);
    at += length * item;
  }
  for (std::uint64_t document = 0; document <= lengths.size(); ++document) put_le(index, document);
  return index;
}

}  // namespace coshard::shard
