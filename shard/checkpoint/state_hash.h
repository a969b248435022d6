// The digest of parameters at checkpoints and joins (design 3.1): SHA-256 over 1 MiB chunks,
// tensors in name order, so that a joiner can check each chunk as it arrives and a replica can
// compare the whole with 32 bytes. Pure.
//
//   tensor hash = SHA-256(SHA-256(chunk 0) || SHA-256(chunk 1) || ...), chunks of 1 MiB, the last
//   one shorter state hash  = SHA-256(for each tensor in ascending byte order of names: u32 LE name
//   length || name || tensor hash)
//
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "crypto/hash.h"
#include "protocol/base/bytes.h"

namespace coshard::shard {

inline constexpr std::size_t kStateChunkBytes = std::size_t{1} << 20;

/// Hashes one tensor's bytes, given in pieces of any size. One thread.
class TensorHasher {
 public:
  void update(ByteView bytes);
  /// Hashes of the chunks; the object starts over.
  std::vector<Hash> finish_chunks();
  /// Hash over the chunks' hashes; the object starts over.
  Hash finish();

 private:
  crypto::Sha256 chunk_;
  std::size_t chunk_bytes_ = 0;
  std::vector<Hash> chunks_;
};

Hash tensor_hash(const std::vector<Hash>& chunks);
Hash state_hash(const std::map<std::string, Hash>& tensor_hashes);

}  // namespace coshard::shard
