// See state_hash.h.
// SPDX-License-Identifier: Apache-2.0
#include "shard/checkpoint/state_hash.h"

#include <algorithm>
#include <utility>

namespace coshard::shard {

void TensorHasher::update(ByteView bytes) {
  while (!bytes.empty()) {
    const std::size_t count = std::min(bytes.size(), kStateChunkBytes - chunk_bytes_);
    chunk_.update(bytes.first(count));
    chunk_bytes_ += count;
    bytes = bytes.subspan(count);
    if (chunk_bytes_ == kStateChunkBytes) {
      chunks_.push_back(chunk_.finish());
      chunk_bytes_ = 0;
    }
  }
}

std::vector<Hash> TensorHasher::finish_chunks() {
  if (chunk_bytes_ > 0) chunks_.push_back(chunk_.finish());
  chunk_bytes_ = 0;
  return std::exchange(chunks_, {});
}

Hash TensorHasher::finish() { return tensor_hash(finish_chunks()); }

Hash tensor_hash(const std::vector<Hash>& chunks) {
  crypto::Sha256 sha;
  for (const Hash& chunk : chunks) sha.update(chunk);
  return sha.finish();
}

Hash state_hash(const std::map<std::string, Hash>& tensor_hashes) {
  crypto::Sha256 sha;
  for (const auto& [name, hash] : tensor_hashes) {
    Bytes length;
    put_le(length, static_cast<std::uint32_t>(name.size()));
    sha.update(length).update(as_bytes(name)).update(hash);
  }
  return sha.finish();
}

}  // namespace coshard::shard
