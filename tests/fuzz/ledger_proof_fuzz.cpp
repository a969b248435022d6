// Any bytes as a Merkle proof: index, two sizes, then hashes. A proof that verifies must stop doing
// so when its root changes.
// SPDX-License-Identifier: Apache-2.0
#include <cstdint>

#include "ledger/merkle.h"
#include "protocol/base/check.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  using namespace coshard;
  constexpr std::size_t kNumbers = 24;
  if (size < kNumbers + 2 * sizeof(Hash)) return 0;
  const ByteView view(bytes, size);
  const auto index = get_le<std::uint64_t>(view);
  const auto old_size = get_le<std::uint64_t>(view.subspan(8));
  const auto new_size = get_le<std::uint64_t>(view.subspan(16));
  std::vector<Hash> hashes;
  for (std::size_t at = kNumbers; at + sizeof(Hash) <= size; at += sizeof(Hash)) {
    hashes.push_back(*to_array<32>(view.subspan(at, sizeof(Hash))));
  }
  const auto path = std::span(hashes).subspan(2);
  Hash other = hashes[1];
  other[0] ^= 1;
  if (ledger::verify_inclusion(LogIndex(index), new_size, hashes[0], path, hashes[1])) {
    COSHARD_CHECK(!ledger::verify_inclusion(LogIndex(index), new_size, hashes[0], path, other));
  }
  if (ledger::verify_consistency(old_size, new_size, hashes[0], hashes[1], path)) {
    COSHARD_CHECK(!ledger::verify_consistency(old_size, new_size, hashes[0], other, path));
  }
  return 0;
}
